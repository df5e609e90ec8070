use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use l2sces_custom_resources::L2Network;
use thiserror::Error;
use tonic::Status;

/// Where pods and networks are looked up, as they are now.
#[async_trait]
pub(crate) trait Directory: Send + Sync {
    /// A pod, if there is one.
    ///
    /// # Errors
    /// Nobody can tell.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, DirectoryError>;
    /// A network, if there is one.
    ///
    /// # Errors
    /// Nobody can tell.
    async fn network(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<L2Network>, DirectoryError>;
}

/// The API server does not tell.
#[derive(Debug, Error)]
#[error("the API server does not answer: {0}")]
pub(crate) struct DirectoryError(#[from] kube::Error);

impl From<DirectoryError> for Status {
    fn from(error: DirectoryError) -> Self {
        tracing::warn!(%error, "cannot look up what an attachment needs");
        Self::unavailable(error.to_string())
    }
}

/// The API server.
pub(crate) struct KubernetesDirectory {
    client: Client,
}

impl KubernetesDirectory {
    /// The directory that is behind this client.
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Directory for KubernetesDirectory {
    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, DirectoryError> {
        Ok(Api::namespaced(self.client.clone(), namespace).get_opt(name).await?)
    }

    async fn network(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<L2Network>, DirectoryError> {
        Ok(Api::namespaced(self.client.clone(), namespace).get_opt(name).await?)
    }
}
