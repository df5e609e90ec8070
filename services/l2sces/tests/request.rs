//! The real program against an issuer of certificates.
#![expect(clippy::unwrap_used, reason = "what helps tests may panic as they do")]

use std::{fs, future::pending, path::Path, process::Stdio};

use l2sces_grpc::{Access, serve_openly};
use l2sces_pki::{Authority, CredentialPaths, Credentials, Identity, Role};
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, IssueCertificateResponse,
    issuer_service_server::{IssuerService, IssuerServiceServer},
};
use tokio::{net::TcpListener, process::Command};
use tonic::{Request, Response, Status, service::Routes};

/// Takes whoever shows the token "good" for the agent of node a1.
struct Issuer(Authority);

#[tonic::async_trait]
impl IssuerService for Issuer {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let IssueCertificateRequest { csr_pem, token } = request.into_inner();
        if token != "good" {
            return Err(Status::unauthenticated("the token is not valid"));
        }
        let sans = ["10.0.0.11".to_owned()];
        let certificate_pem = self.0.certify(&csr_pem, &agent(), &sans).unwrap();
        Ok(Response::new(IssueCertificateResponse { certificate_pem }))
    }
}

fn agent() -> Identity {
    Identity::new(Role::SpsAgent, "a1").unwrap()
}

/// Starts an issuer with an authority in the directory; its endpoint.
async fn start(dir: &Path) -> String {
    let authority = Authority::create().unwrap();
    authority.save(dir).unwrap();
    let operator = Identity::new(Role::Operator, "a").unwrap();
    let sans = ["127.0.0.1".to_owned()];
    authority.issue(&operator, &sans).unwrap().save(dir, "operator").unwrap();
    let [ca, cert, key] = ["ca.pem", "operator.pem", "operator.key"].map(|name| dir.join(name));
    let credentials = Credentials::load(&CredentialPaths { ca, cert, key }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let service = IssuerServiceServer::new(Issuer(authority));
    let access = Access::new().allow::<IssuerServiceServer<Issuer>>(&[]);
    tokio::spawn(async move {
        serve_openly(listener, &credentials, Routes::new(service), access, pending()).await
    });
    endpoint
}

/// Asks for a certificate with a token; what is said on stderr if that fails.
async fn request(endpoint: &str, ca: &Path, token: &str, dir: &Path) -> Result<(), String> {
    let token_file = dir.join("token");
    fs::write(&token_file, format!("{token}\n")).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_l2sces"))
        .args(["pki", "request", "--endpoint", endpoint, "--tls-ca"])
        .arg(ca)
        .arg("--token-file")
        .arg(token_file)
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    if ran.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(ran.stderr).unwrap())
}

#[tokio::test]
async fn an_agent_gets_a_certificate_for_a_key_of_its_own() {
    let (issuer, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let endpoint = start(issuer.path()).await;
    let ca = issuer.path().join("ca.pem");
    // Again, as an agent does that is restarted.
    for _ in 0..2 {
        request(&endpoint, &ca, "good", own.path()).await.unwrap();
        let [cert, key] = ["own.pem", "own.key"].map(|name| own.path().join(name));
        let credentials = Credentials::load(&CredentialPaths { ca: ca.clone(), cert, key });
        assert_eq!(credentials.unwrap().identity(), Some(&agent()));
    }
}

#[tokio::test]
async fn without_a_valid_token_or_from_a_stranger_there_is_none() {
    let (issuer, stranger) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = tempfile::tempdir().unwrap();
    let endpoint = start(issuer.path()).await;
    start(stranger.path()).await;
    let [ca, other] = [&issuer, &stranger].map(|dir| dir.path().join("ca.pem"));
    let refused = request(&endpoint, &ca, "bad", own.path()).await.unwrap_err();
    assert!(refused.contains("the token is not valid"), "{refused}");
    let refused = request(&endpoint, &other, "good", own.path()).await.unwrap_err();
    assert!(refused.starts_with("error: "), "{refused}");
    assert!(!own.path().join("own.pem").exists() && !own.path().join("own.key").exists());
}
