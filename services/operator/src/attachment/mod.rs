//! Attaching pods: what the sps-agents ask on behalf of their nodes' network plugins
//! (l2sces.attachment.v1). Any replica answers; nothing is remembered but who is being attached.
//!
//! - `request`: what is asked, once it makes sense.
//! - `directory`: pods and networks, as the API server has them.
//! - `wish`: what a pod asks for.
//! - `attacher`: carrying it out, by ports of the sdn-controller.
//! - `sandboxes`: one sandbox is attached or detached at a time.
//! - `ports`: the sdn-controller's ports of sandboxes.
//! - `progress`: how they fare, for those who wait for them.
//! - `sweep`: removes what is left of pods that are gone.

mod attacher;
mod directory;
mod ports;
mod progress;
mod request;
mod sandboxes;
mod sweep;
mod wish;

use l2sces_grpc::{Peer, departure, peer};
use l2sces_model::Name;
use l2sces_pki::{Identity, Role};
use l2sces_proto::attachment::v1::{
    AttachRequest, AttachResponse, CheckRequest, CheckResponse, CollectRequest, CollectResponse,
    DetachRequest, DetachResponse, GetStatusRequest, GetStatusResponse,
    attachment_service_server::AttachmentService,
};
use tonic::{Request, Response, Status};

pub(crate) use attacher::Attacher;
pub(crate) use directory::{Directory, DirectoryError, KubernetesDirectory};
pub(crate) use ports::Ports;
pub(crate) use progress::Progress;
pub(crate) use sweep::sweep;

/// The roles that may call: agents, each for its own node only.
pub(crate) const CALLERS: [Role; 2] = [Role::SpsAgent, Role::Admin];

/// `l2sces.attachment.v1.AttachmentService` of the operator.
pub(crate) struct AttachmentApi {
    attacher: Attacher,
    cluster: Name,
}

impl AttachmentApi {
    /// The service of a cluster.
    pub(crate) fn new(attacher: Attacher, cluster: Name) -> Self {
        Self { attacher, cluster }
    }

    /// Makes sure that an agent speaks of its own node.
    fn check_node(&self, peer: Option<&Peer>, node: &str) -> Result<(), Status> {
        match peer.and_then(Peer::identity) {
            Some(caller) if !may_speak_for(caller, &self.cluster, node) => {
                let message =
                    format!("{caller} does not speak for node {node} of {}", self.cluster);
                Err(Status::permission_denied(message))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl AttachmentService for AttachmentApi {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        self.check_node(peer(&request), &request.get_ref().node)?;
        let given_up = departure(&request);
        let attachment = request::attachment(request.into_inner())?;
        let interfaces = self.attacher.attach(&attachment, &given_up).await?;
        Ok(Response::new(AttachResponse { interfaces }))
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        self.check_node(peer(&request), &request.get_ref().node)?;
        self.attacher.detach(&request::detachment(request.into_inner())?).await?;
        Ok(Response::new(DetachResponse {}))
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        self.check_node(peer(&request), &request.get_ref().node)?;
        let attachment = request::check(request.into_inner())?;
        let interfaces = self.attacher.check(&attachment).await?;
        Ok(Response::new(CheckResponse { interfaces }))
    }

    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        self.check_node(peer(&request), &request.get_ref().node)?;
        let removed = self.attacher.collect(&request::collection(request.into_inner())?).await?;
        Ok(Response::new(CollectResponse { removed }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let (ready, message) = match self.attacher.check_controller().await {
            Ok(()) => (true, String::new()),
            Err(status) => {
                (false, format!("the sdn-controller does not answer: {}", status.message()))
            }
        };
        Ok(Response::new(GetStatusResponse { ready, message }))
    }
}

/// Whether a caller may speak for a node of a cluster, by its name in Kubernetes: an agent's certificate has
/// the name that stands for it.
fn may_speak_for(caller: &Identity, cluster: &Name, node: &str) -> bool {
    let node = Name::standing_for(node);
    !caller.role.is_agent() || caller.is_of_node(cluster.as_str(), node.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_speak_for_their_own_nodes_whatever_those_are_called() {
        let cloud = "ip-10-0-0-1.ec2.internal";
        let here: Name = "a".parse().unwrap();
        let may = |caller: Result<Identity, _>, node| may_speak_for(&caller.unwrap(), &here, node);
        for node in ["a1", cloud] {
            let name = Name::standing_for(node);
            let agent_in = |cluster| Identity::in_cluster(Role::SpsAgent, cluster, name.as_str());
            assert!(may(agent_in("a"), node));
            assert!(!may(agent_in("b"), node));
            assert!(!may(Identity::in_cluster(Role::SpsAgent, "a", "other"), node));
            assert!(may(Identity::new(Role::SpsAgent, name.as_str()), node));
            assert!(!may(Identity::new(Role::SpsAgent, "other"), node));
            assert!(may(Identity::new(Role::Admin, "lab"), node));
        }
    }
}
