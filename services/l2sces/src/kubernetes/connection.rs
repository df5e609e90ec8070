//! The API server of a cluster.

use std::error::Error;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use l2sces_pki::install_crypto_provider;

use crate::{args::KubeconfigFlags, error::CliError};

/// A cluster's API server, as an administrator reaches it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// URL of the API server.
    pub(crate) endpoint: String,
}

/// Finds the API server as kubectl does: in a pod without a kubeconfig it is that of the pod's cluster. Nothing
/// is connected until the first call.
pub(crate) async fn connect(flags: &KubeconfigFlags) -> Result<Connection, CliError> {
    install_crypto_provider();
    let options =
        KubeConfigOptions { context: flags.context.clone(), ..KubeConfigOptions::default() };
    let config = match &flags.kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        },
        None => match Config::from_kubeconfig(&options).await {
            Err(error) if options.context.is_none() => Config::incluster().map_err(|_| error),
            config => config,
        },
    };
    let config =
        config.map_err(|error| CliError::Usage(format!("--kubeconfig: {}", causes(&error))))?;
    let endpoint = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let client = Client::try_from(config)
        .map_err(|error| CliError::Usage(format!("--kubeconfig: {}", causes(&error))))?;
    Ok(Connection { client, endpoint })
}

/// The error of a call about something, as people are told it.
pub(crate) fn explained(subject: &str, error: kube::Error) -> CliError {
    let reason = match error {
        kube::Error::Api(status) => status.message,
        other => causes(&other),
    };
    CliError::Failed(format!("{subject}: {reason}"))
}

/// An error and what it came from, without what is said twice.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
