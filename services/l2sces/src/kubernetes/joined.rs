use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use l2sces_model::Name;

use super::{
    NAMESPACE,
    configuration::{CLUSTER, SCO_PROVIDER, SETTINGS, SLICE_MANAGER},
    explained,
};
use crate::error::CliError;

/// What a cluster was told when it joined.
pub(crate) struct Joined {
    /// Endpoint of the sco-provider.
    pub(crate) sco_provider: Option<String>,
    /// Endpoint of the slice-manager that knows the cluster; `None`: none does.
    pub(crate) slice_manager: Option<String>,
}

/// What the cluster was told, if it has joined, which must have been by this name.
pub(crate) async fn joined(client: &Client, name: &Name) -> Result<Option<Joined>, CliError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let settings = maps.get_opt(SETTINGS).await;
    let settings = settings.map_err(|error| explained("ConfigMap l2sces", error))?;
    let Some(settings) = settings else { return Ok(None) };
    let setting = |key: &str| settings.data.as_ref()?.get(key).cloned();
    match setting(CLUSTER) {
        Some(other) if other != name.as_str() => {
            Err(CliError::Usage(format!("this Kubernetes cluster is {other}, not {name}")))
        }
        _ => Ok(Some(Joined {
            sco_provider: setting(SCO_PROVIDER),
            slice_manager: settings.annotations().get(SLICE_MANAGER).cloned(),
        })),
    }
}
