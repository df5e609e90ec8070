use std::sync::Arc;

use l2sces_grpc::Channel;
use l2sces_model::Name;
use l2sces_proto::fabric::v1::{
    ApplyPortRequest, DeletePortRequest, ListPortsRequest, ListedPort, NamespaceAttachment, Port,
    PortKey, Version, fabric_service_client::FabricServiceClient, port::Attachment,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::services::ObjectState;

/// Word by which the sdn-controller says that a port is being deleted.
pub(super) const DELETING: &str = "Deleting";

/// Calls of the sdn-controller at a time: more than it has connections to its database for would only
/// wait there, and time out.
const MOST_CALLS: usize = 8;

/// Largest list of ports that is read, in bytes: some hundred thousand.
const LARGEST_LIST: usize = 64 << 20;

/// The ports of the cluster's sdn-controller that belong to sandboxes.
#[derive(Clone)]
pub(crate) struct Ports {
    client: FabricServiceClient<Channel>,
    /// Who asked first is first.
    calls: Arc<Semaphore>,
}

/// A port of a sandbox.
#[derive(Clone, Debug)]
pub(super) struct SandboxPort {
    pub(super) key: PortKey,
    pub(super) sandbox_id: String,
    /// Empty: not of an operator.
    pub(super) pod_uid: String,
    /// Name of the interface in the sandbox.
    pub(super) interface: String,
    pub(super) state: ObjectState,
}

impl SandboxPort {
    /// The port of a list, if it is a sandbox's.
    fn read(listed: ListedPort) -> Option<Self> {
        let port = listed.port?;
        let Attachment::Namespace(namespace) = port.attachment? else { return None };
        let NamespaceAttachment { interface_name, attachment_id, .. } = namespace;
        let uid = port.version.unwrap_or_default().uid;
        (!attachment_id.is_empty()).then(|| Self {
            key: PortKey { slice: port.slice, network: port.network, name: port.name },
            pod_uid: pod_uid(&uid, &attachment_id).unwrap_or_default().to_owned(),
            sandbox_id: attachment_id,
            interface: interface_name,
            state: ObjectState::from(&listed.state.unwrap_or_default()),
        })
    }
}

/// The version of a port: another sandbox of the same pod is another life of the port, of which nothing
/// that was known of the former holds. Of one life, what a later attempt has made counts.
pub(super) fn version(pod_uid: &str, sandbox_id: &str, attempt: i64) -> Version {
    Version { uid: format!("{pod_uid}/{sandbox_id}"), generation: attempt.max(1) }
}

/// The uid of the pod in a port's version.
fn pod_uid<'a>(uid: &'a str, sandbox_id: &str) -> Option<&'a str> {
    uid.strip_suffix(sandbox_id)?.strip_suffix('/')
}

impl Ports {
    /// The ports of the sdn-controller behind this channel.
    pub(crate) fn new(channel: Channel) -> Self {
        let client = FabricServiceClient::new(channel).max_decoding_message_size(LARGEST_LIST);
        Self { client, calls: Arc::new(Semaphore::new(MOST_CALLS)) }
    }

    /// Makes a port. Whoever does not want it any more while others have their turn has not made it.
    pub(super) async fn apply(
        &self,
        port: Port,
        unwanted: &CancellationToken,
    ) -> Result<ObjectState, Status> {
        let request = ApplyPortRequest { port: Some(port) };
        let turn = unwanted.run_until_cancelled(self.turn()).await;
        let _turn = turn.unwrap_or_else(|| Err(Status::cancelled("it is not wanted any more")))?;
        let state = self.client.clone().apply_port(request).await?.into_inner().state;
        Ok(ObjectState::from(&state.unwrap_or_default()))
    }

    /// The ports of a sandbox on a node.
    pub(super) async fn of(
        &self,
        node: &Name,
        sandbox_id: &str,
    ) -> Result<Vec<SandboxPort>, Status> {
        self.list(node.as_str(), sandbox_id).await
    }

    /// The ports of all sandboxes on a node.
    pub(super) async fn on(&self, node: &Name) -> Result<Vec<SandboxPort>, Status> {
        self.list(node.as_str(), "").await
    }

    /// The ports of all sandboxes.
    pub(super) async fn all(&self) -> Result<Vec<SandboxPort>, Status> {
        self.list("", "").await
    }

    /// Removes a port, if it is still that sandbox's.
    pub(super) async fn delete(&self, key: PortKey, sandbox_id: &str) -> Result<(), Status> {
        self.delete_made(key, sandbox_id, 0).await
    }

    /// Removes a port, if it is still that sandbox's, and as an attempt of this generation or one before
    /// has made it; 0: whichever has.
    pub(super) async fn delete_made(
        &self,
        key: PortKey,
        sandbox_id: &str,
        generation: i64,
    ) -> Result<(), Status> {
        let attachment_id = sandbox_id.to_owned();
        let request = DeletePortRequest { key: Some(key), attachment_id, generation };
        let _turn = self.turn().await?;
        self.client.clone().delete_port(request).await?;
        Ok(())
    }

    async fn list(&self, node: &str, attachment_id: &str) -> Result<Vec<SandboxPort>, Status> {
        let request =
            ListPortsRequest { node: node.to_owned(), attachment_id: attachment_id.to_owned() };
        let _turn = self.turn().await?;
        let ports = self.client.clone().list_ports(request).await?.into_inner().ports;
        Ok(ports.into_iter().filter_map(SandboxPort::read).collect())
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Status> {
        // It is never closed.
        self.calls.acquire().await.map_err(|_| Status::unavailable("the operator ends"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_of_a_pod_is_found_in_the_version_of_its_port() {
        let uid = version("b2c-77", "0f", 0).uid;
        assert_eq!(pod_uid(&uid, "0f"), Some("b2c-77"));
        assert_eq!(pod_uid("b2c-77", "0f"), None);
        assert_eq!(pod_uid("b2c/a/0f", "a/0f"), Some("b2c"));
    }
}
