//! The door for the node's network plugin: a local socket, behind which all that is asked is passed on
//! to whoever knows pods and networks.
//!
//! - `attempts`: which of two attempts to attach a sandbox is the later.
//! - `records`: what sandboxes have been attached to, for as long as they are there.
//! - `restoration`: attaches them again when they have lost it.

mod attempts;
mod records;
mod restoration;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use l2sces_grpc::{Access, Channel, Dialer, departure, failed_precondition, serve_local};
use l2sces_model::MacAddress;
use l2sces_proto::attachment::v1::{
    AttachRequest, AttachResponse, AttachedInterface, CheckRequest, CheckResponse, CollectRequest,
    CollectResponse, DetachRequest, DetachResponse, GetStatusRequest, GetStatusResponse,
    attachment_service_client::AttachmentServiceClient,
    attachment_service_server::{AttachmentService, AttachmentServiceServer},
};
use l2sces_switch_agent::{Agent, NamespaceAttachment, inspect};
use tonic::{Request, Response, Status, service::Routes};

use attempts::Attempts;
use records::Records;
use restoration::Restoration;

/// How long an attachment may take: the plugin itself waits a little longer.
const ATTACH_DEADLINE: Duration = Duration::from_secs(50);

/// Where it is noted what is attached, beside the socket.
const RECORDS: &str = "attachments";

/// Flags of the door.
#[derive(Clone, Debug, Args)]
pub(crate) struct AttachmentArgs {
    /// Socket on which the node's network plugin (l2sces-cni) is served; none if unset
    #[arg(
        long,
        env = "L2SCES_ATTACHMENT_SOCKET",
        value_name = "PATH",
        requires = "operator",
        requires = "node"
    )]
    attachment_socket: Option<PathBuf>,
    /// Who knows pods and networks, such as the operator of a Kubernetes cluster
    #[arg(long, env = "L2SCES_OPERATOR", value_name = "URL")]
    operator: Option<String>,
    /// Name of this node, as the operator knows it and as it stands in the agent's certificate
    #[arg(long, env = "L2SCES_NODE", value_name = "NAME")]
    node: Option<String>,
}

/// Passes on what the plugin asks.
pub(crate) struct AttachmentRelay {
    socket: PathBuf,
    node: String,
    operator: AttachmentServiceClient<Channel>,
    agent: Arc<Agent>,
    attempts: Arc<Attempts>,
    records: Records,
}

impl AttachmentRelay {
    /// The relay that the flags ask for, if they ask for one.
    ///
    /// # Errors
    /// The operator's URL cannot be used.
    pub(crate) fn new(
        args: AttachmentArgs,
        dialer: &Dialer,
        agent: Arc<Agent>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(socket), Some(operator), Some(node)) =
            (args.attachment_socket, args.operator, args.node)
        else {
            return Ok(None);
        };
        let channel = dialer.channel(&operator).context("--operator")?;
        let operator = AttachmentServiceClient::new(channel);
        let records = Records::new(socket.with_file_name(RECORDS));
        Ok(Some(Self { socket, node, operator, agent, attempts: Arc::default(), records }))
    }

    /// Serves the plugin until `shutdown` resolves, and gives sandboxes back what they lose meanwhile.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let path = self.socket.clone();
        let restoration = Restoration {
            node: self.node.clone(),
            records: self.records.clone(),
            attempts: Arc::clone(&self.attempts),
            agent: Arc::clone(&self.agent),
            operator: self.operator.clone(),
        };
        let access = Access::new().allow::<AttachmentServiceServer<Self>>(&[]);
        let routes = Routes::new(AttachmentServiceServer::new(self));
        tokio::select! {
            served = serve_local(&path, routes, access, shutdown) => Ok(served?),
            () = restoration.run() => anyhow::bail!("nobody looks for lost ports any more"),
        }
    }
}

#[tonic::async_trait]
impl AttachmentService for AttachmentRelay {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        let departure = departure(&request);
        let (node, attempt) = (self.node.clone(), self.attempts.next());
        let body = AttachRequest { node, attempt, ..request.into_inner() };
        let mut request = Request::new(body.clone());
        request.set_timeout(ATTACH_DEADLINE);
        let mut operator = self.operator.clone();
        // A plugin that was killed waits for nothing: then the operator undoes what it has made for it.
        let attached = departure.run_until_cancelled(operator.attach(request)).await;
        let attached = attached
            .unwrap_or_else(|| Err(Status::cancelled("the plugin has gone")))
            .map(answer)?;
        warn_of(self.records.note(&body, &attached.get_ref().interfaces));
        Ok(attached)
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        let body = DetachRequest { node: self.node.clone(), ..request.into_inner() };
        // Before its ports go: they are not to come back.
        warn_of(self.records.forget(&body));
        self.operator.clone().detach(body).await.map(answer)
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let body = CheckRequest { node: self.node.clone(), ..request.into_inner() };
        let path = PathBuf::from(&body.namespace_path);
        let response = self.operator.clone().check(body).await?.into_inner();
        for interface in &response.interfaces {
            let wanted = as_made(interface, path.clone())?;
            if let Some(difference) = inspect(&wanted).await? {
                return Err(failed_precondition("network", &interface.network, difference));
            }
        }
        Ok(Response::new(response))
    }

    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        let body = CollectRequest { node: self.node.clone(), ..request.into_inner() };
        warn_of(self.records.collect(&body));
        self.operator.clone().collect(body).await.map(answer)
    }

    /// What the node itself can do: whether the operator is there is nothing that another node could
    /// help with.
    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let ready = self.agent.is_connected();
        let message = if ready { "" } else { "the database of Open vSwitch does not answer" };
        Ok(Response::new(GetStatusResponse { ready, message: message.to_owned() }))
    }
}

/// That something could not be noted keeps no pod from starting or ending.
fn warn_of(noted: io::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "cannot note what is attached: what a sandbox loses it does not get back");
    }
}

/// An answer without what the connection to the operator says of itself.
fn answer<T>(response: Response<T>) -> Response<T> {
    Response::new(response.into_inner())
}

/// An interface as it was made in the namespace.
fn as_made(interface: &AttachedInterface, path: PathBuf) -> Result<NamespaceAttachment, Status> {
    let unreadable = |what: &str| Status::internal(format!("the operator's answer: {what}"));
    let address = Some(interface.address.as_str()).filter(|address| !address.is_empty());
    Ok(NamespaceAttachment {
        path,
        interface: interface.name.parse().map_err(|_| unreadable("an interface's name"))?,
        mac: MacAddress::parse_unicast(&interface.mac).map_err(|_| unreadable("a MAC address"))?,
        address: address.map(str::parse).transpose().map_err(|_| unreadable("an IP address"))?,
        mtu: interface.mtu,
    })
}
