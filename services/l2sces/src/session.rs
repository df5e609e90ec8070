use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use l2sces_grpc::{Callee, Channel, Dialer};
use l2sces_proto::slice::v1::{
    cluster_service_client::ClusterServiceClient, network_service_client::NetworkServiceClient,
    slice_service_client::SliceServiceClient,
};
use tonic::{Code, Status};

use crate::{
    args::{ConnectionArgs, Format},
    error::CliError,
    output::Output,
    progress::Progress,
};

/// Clients of the slice-manager's services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) clusters: ClusterServiceClient<Channel>,
    pub(crate) slices: SliceServiceClient<Channel>,
    pub(crate) networks: NetworkServiceClient<Channel>,
}

/// What a command works with.
pub(crate) struct Session {
    pub(crate) api: Api,
    pub(crate) output: Output,
    pub(crate) progress: Progress,
    endpoint: String,
}

impl Session {
    /// Nothing is connected until the first call.
    pub(crate) fn new(connection: &ConnectionArgs, format: Format) -> Result<Self, CliError> {
        let (endpoint, channel) = dial(connection)?;
        let api = Api {
            clusters: ClusterServiceClient::new(channel.clone()),
            slices: SliceServiceClient::new(channel.clone()),
            networks: NetworkServiceClient::new(channel),
        };
        Ok(Self { api, output: Output::stdout(format), progress: Progress::stderr(), endpoint })
    }

    /// The error of a failed call.
    pub(crate) fn failed(&self, status: Status) -> CliError {
        CliError::Call { endpoint: self.endpoint.clone(), status: Box::new(status) }
    }
}

/// The endpoint that the command line names, and a channel to the service there. Nothing is connected until
/// the first call.
pub(crate) fn dial(connection: &ConnectionArgs) -> Result<(String, Channel), CliError> {
    dial_to(Callee::Service, connection)
}

/// The same to another than a service.
pub(crate) fn dial_to(
    callee: Callee,
    connection: &ConnectionArgs,
) -> Result<(String, Channel), CliError> {
    let Some(endpoint) = connection.endpoint.clone() else {
        return Err(CliError::Usage("--endpoint (or L2SCES_ENDPOINT) is needed".into()));
    };
    let dialer =
        Dialer::new(&connection.tls).map_err(|error| CliError::Usage(error.to_string()))?;
    let channel = dialer.channel_to(callee, &endpoint);
    let channel = channel.map_err(|error| CliError::Usage(error.to_string()))?;
    Ok((endpoint, channel))
}

/// Makes a call, again when the slice-manager was unavailable: it may be about to restart. Every
/// call may be repeated; writes carry a request id, so that they are done once.
pub(crate) async fn call<T>(attempt: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
    (|| attempt())
        .retry(pauses().with_max_times(3))
        .when(|status| status.code() == Code::Unavailable)
        .await
}

/// Pauses between attempts to reach the slice-manager.
pub(crate) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
}

/// An id that makes repeating a write harmless.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
