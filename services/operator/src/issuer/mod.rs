//! Certificates for the agents of the cluster, so that no key ever leaves the pod that uses it.

mod workload;

use std::{future::pending, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use kube::Client;
use l2sces_grpc::{Access, TlsArgs, Violations, serve_openly, shutdown_signal};
use l2sces_pki::{Authority, Role};
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, IssueCertificateResponse,
    issuer_service_server::{IssuerService, IssuerServiceServer},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};

use workload::Refusal;

/// Where certificates are issued, and by whom.
#[derive(Clone, Debug, clap::Args)]
pub struct IssuerArgs {
    /// Address and port that certificates are issued on, to agents that have none [default: none are]
    #[arg(long, env = "L2SCES_ISSUER_LISTEN", value_name = "ADDRESS:PORT", requires = "issuer_ca")]
    pub issuer_listen: Option<SocketAddr>,
    /// Directory of the authority that signs them: ca.pem and ca.key
    #[arg(long, env = "L2SCES_ISSUER_CA", value_name = "DIR")]
    pub issuer_ca: Option<PathBuf>,
}

/// Issues certificates, if that is asked for, until the process is told to end. Agents have to be in
/// pods of the namespace.
///
/// # Errors
/// The authority cannot be read, or the address cannot be listened on.
pub(crate) async fn serve(
    args: &IssuerArgs,
    tls: &TlsArgs,
    client: &Client,
    namespace: &str,
) -> anyhow::Result<()> {
    let (Some(address), Some(directory)) = (args.issuer_listen, &args.issuer_ca) else {
        return pending().await;
    };
    let credentials = tls.credentials()?.context("--issuer-listen needs TLS")?;
    let authority = Authority::load(directory).context("--issuer-ca")?;
    let listener = TcpListener::bind(address).await.context("--issuer-listen")?;
    let issuer = Issuer::new(client.clone(), namespace, authority);
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
    authority: Authority,
}

impl Issuer {
    fn new(client: Client, namespace: &str, authority: Authority) -> Self {
        Self { client, namespace: namespace.to_owned(), authority }
    }
}

#[tonic::async_trait]
impl IssuerService for Issuer {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let IssueCertificateRequest { csr_pem, token } = request.into_inner();
        let workload = workload::of_token(&self.client, &self.namespace, &token).await?;
        let addresses: Vec<_> = workload.addresses.into_iter().collect();
        let signed = self.authority.certify(&csr_pem, &workload.identity, &addresses);
        let certificate_pem = signed.map_err(|error| {
            let mut violations = Violations::new();
            violations.add("csr_pem", error.to_string());
            violations.into_status()
        })?;
        tracing::info!(identity = %workload.identity, ?addresses, "issued a certificate");
        Ok(Response::new(IssueCertificateResponse { certificate_pem }))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Token(_) => Self::unauthenticated(message),
            Refusal::Stranger(_) | Refusal::Identity(_) => Self::permission_denied(message),
            Refusal::Kubernetes(error) => {
                tracing::warn!(%error, "cannot look up whose certificate is asked for");
                Self::unavailable("the API server does not answer")
            }
        }
    }
}
