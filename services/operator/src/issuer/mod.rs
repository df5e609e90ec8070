//! Certificates for the agents of the cluster, so that no key ever leaves the pod that uses it. Here it is
//! found out what an agent is; who signs is elsewhere.

mod authority;
mod turns;
mod workload;

use std::{future::pending, net::SocketAddr};

use anyhow::Context;
use kube::Client;
use l2sces_grpc::{Access, Channel, TlsArgs, departure, serve_openly, shutdown_signal};
use l2sces_pki::Role;
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, IssueCertificateResponse,
    issuer_service_server::{IssuerService, IssuerServiceServer},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};

use authority::RemoteAuthority;
use turns::Turns;
use workload::Refusal;

/// Where certificates are issued.
#[derive(Clone, Debug, clap::Args)]
pub struct IssuerArgs {
    /// Address and port that certificates are issued on, to agents that have none; the sco-provider
    /// signs them [default: none are]
    #[arg(long, env = "L2SCES_ISSUER_LISTEN", value_name = "ADDRESS:PORT")]
    pub issuer_listen: Option<SocketAddr>,
}

/// Issues certificates, if that is asked for, until the process is told to end. Agents have to be in
/// pods of the namespace; the sco-provider signs.
///
/// # Errors
/// The address cannot be listened on, or there is no certificate for it.
pub(crate) async fn serve(
    args: &IssuerArgs,
    tls: &TlsArgs,
    client: &Client,
    namespace: &str,
    sco_provider: Channel,
) -> anyhow::Result<()> {
    let Some(address) = args.issuer_listen else { return pending().await };
    let credentials = tls.credentials()?.context("--issuer-listen needs TLS")?;
    let listener = TcpListener::bind(address).await.context("--issuer-listen")?;
    let issuer = Issuer {
        client: client.clone(),
        namespace: namespace.to_owned(),
        authority: RemoteAuthority::new(sco_provider),
        turns: Turns::new(),
    };
    let routes = Routes::new(IssuerServiceServer::new(issuer));
    // Nobody has a role there: who asks shows a token.
    let access =
        Access::new().allow::<IssuerServiceServer<Issuer>>(&[Role::SpsAgent, Role::NedAgent]);
    serve_openly(listener, &credentials, routes, access, shutdown_signal()).await?;
    // The operator ends when its own API has.
    pending().await
}

/// The service.
struct Issuer {
    client: Client,
    namespace: String,
    authority: RemoteAuthority,
    turns: Turns,
}

#[tonic::async_trait]
impl IssuerService for Issuer {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let departure = departure(&request);
        let IssueCertificateRequest { csr_pem, token } = request.into_inner();
        let turn = self.turns.next(&departure).await?;
        let workload = workload::of_token(&self.client, &self.namespace, &token).await?;
        drop(turn);
        let certificate_pem = self.authority.certify(csr_pem, &workload).await?;
        tracing::info!(?workload, "issued a certificate");
        Ok(Response::new(IssueCertificateResponse { certificate_pem }))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Token(_) => Self::unauthenticated(message),
            Refusal::Stranger(_) => Self::permission_denied(message),
            Refusal::Kubernetes(error) => {
                tracing::warn!(%error, "cannot look up whose certificate is asked for");
                Self::unavailable("the API server does not answer")
            }
        }
    }
}
