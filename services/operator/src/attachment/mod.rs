//! Attaching pods: what the sps-agents ask on behalf of their nodes' network plugins
//! (l2sces.attachment.v1). Any replica answers; nothing is remembered but who is being attached.
//!
//! - `request`: what is asked, once it makes sense.
//! - `directory`: pods and networks, as the API server has them.
//! - `wish`: what a pod asks for.
//! - `attacher`: carrying it out, by ports of the sdn-controller.
//! - `sandboxes`: one sandbox is attached or detached at a time.
//! - `ports`: the sdn-controller's ports of sandboxes.
//! - `sweep`: removes what is left of pods that are gone.

mod attacher;
mod directory;
mod ports;
mod request;
mod sandboxes;
mod sweep;
mod wish;

use l2sces_grpc::{Peer, peer};
use l2sces_pki::Role;
use l2sces_proto::attachment::v1::{
    AttachRequest, AttachResponse, CheckRequest, CheckResponse, CollectRequest, CollectResponse,
    DetachRequest, DetachResponse, GetStatusRequest, GetStatusResponse,
    attachment_service_server::AttachmentService,
};
use tonic::{Request, Response, Status};

pub use attacher::Attacher;
pub(crate) use directory::KubernetesDirectory;
pub use directory::{Directory, DirectoryError};
pub use ports::Ports;
pub(crate) use sweep::sweep;

/// The roles that may call: agents, each for its own node only.
pub const CALLERS: [Role; 2] = [Role::SpsAgent, Role::Admin];

/// `l2sces.attachment.v1.AttachmentService` of the operator.
pub struct AttachmentApi(Attacher);

impl AttachmentApi {
    /// The service.
    pub fn new(attacher: Attacher) -> Self {
        Self(attacher)
    }
}

#[tonic::async_trait]
impl AttachmentService for AttachmentApi {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        check_node(peer(&request), &request.get_ref().node)?;
        let attachment = request::attachment(request.into_inner())?;
        let interfaces = self.0.attach(&attachment).await?;
        Ok(Response::new(AttachResponse { interfaces }))
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        check_node(peer(&request), &request.get_ref().node)?;
        self.0.detach(&request::detachment(request.into_inner())?).await?;
        Ok(Response::new(DetachResponse {}))
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        check_node(peer(&request), &request.get_ref().node)?;
        let attachment = request::check(request.into_inner())?;
        let interfaces = self.0.check(&attachment).await?;
        Ok(Response::new(CheckResponse { interfaces }))
    }

    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        check_node(peer(&request), &request.get_ref().node)?;
        let removed = self.0.collect(&request::collection(request.into_inner())?).await?;
        Ok(Response::new(CollectResponse { removed }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let (ready, message) = match self.0.check_controller().await {
            Ok(()) => (true, String::new()),
            Err(status) => {
                (false, format!("the sdn-controller does not answer: {}", status.message()))
            }
        };
        Ok(Response::new(GetStatusResponse { ready, message }))
    }
}

/// Makes sure that an agent speaks of its own node.
fn check_node(peer: Option<&Peer>, node: &str) -> Result<(), Status> {
    match peer.and_then(Peer::identity) {
        Some(identity) if identity.role == Role::SpsAgent && identity.name != node => {
            let message =
                format!("the sps-agent of node {} does not speak for {node}", identity.name);
            Err(Status::permission_denied(message))
        }
        _ => Ok(()),
    }
}
