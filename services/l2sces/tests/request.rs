//! The real program against an issuer of certificates.
#![expect(clippy::unwrap_used, reason = "what helps tests may panic as they do")]

use std::{fs, future::pending, path::Path, process::Stdio, time::Duration};

use l2sces_grpc::{Access, serve_openly};
use l2sces_pki::{Authority, CredentialPaths, Credentials, Identity, Role};
use l2sces_proto::issuer::v1::{
    IssueCertificateRequest, IssueCertificateResponse,
    issuer_service_server::{IssuerService, IssuerServiceServer},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    task::JoinHandle,
    time::timeout,
};
use tonic::{Request, Response, Status, service::Routes};

/// How long it may take until the program says something: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it may be refused before it has read another token: it asks again after 1 s, 2 s, and so on.
const MOST_REFUSALS: usize = 4;

/// Takes whoever shows the token "good" for the agent of node a1. By the token "early" it has no authority
/// yet.
struct Issuer(Authority);

#[tonic::async_trait]
impl IssuerService for Issuer {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let IssueCertificateRequest { csr_pem, token } = request.into_inner();
        if token == "early" {
            return Err(Status::failed_precondition("there is no authority"));
        }
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

/// Starts an issuer with an authority in the directory; its endpoint, and what it runs in.
async fn start(dir: &Path) -> (String, JoinHandle<()>) {
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
    let serving = tokio::spawn(async move {
        let routes = Routes::new(service);
        serve_openly(listener, &credentials, routes, access, pending()).await.unwrap();
    });
    (endpoint, serving)
}

/// The program that asks for a certificate with a token.
fn program(endpoint: &str, ca: &Path, token: &str, dir: &Path) -> Command {
    let token_file = dir.join("token");
    fs::write(&token_file, format!("{token}\n")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_l2sces"));
    program.args(["pki", "request", "--endpoint", endpoint, "--tls-ca"]).arg(ca);
    program.arg("--token-file").arg(token_file).arg("--dir").arg(dir);
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    program
}

/// Asks for a certificate with a token; what is said on stderr if that fails.
async fn request(endpoint: &str, ca: &Path, token: &str, dir: &Path) -> Result<(), String> {
    let ran = program(endpoint, ca, token, dir).output().await.unwrap();
    if ran.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(ran.stderr).unwrap())
}

#[tokio::test]
async fn an_agent_gets_a_certificate_for_a_key_of_its_own() {
    let (issuer, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (endpoint, _) = start(issuer.path()).await;
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
async fn a_valid_certificate_is_kept_while_nobody_signs() {
    let (issuer, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (endpoint, serving) = start(issuer.path()).await;
    let ca = issuer.path().join("ca.pem");
    let files = || ["own.pem", "own.key"].map(|name| fs::read(own.path().join(name)).unwrap());
    // One that never had any waits.
    let refused = request(&endpoint, &ca, "early", own.path()).await.unwrap_err();
    assert!(refused.contains("there is no authority"), "{refused}");
    request(&endpoint, &ca, "good", own.path()).await.unwrap();
    let first = files();

    request(&endpoint, &ca, "early", own.path()).await.unwrap();
    assert_eq!(files(), first);
    // Whoever is refused for what it is itself is told so.
    let refused = request(&endpoint, &ca, "bad", own.path()).await.unwrap_err();
    assert!(refused.contains("the token is not valid"), "{refused}");
    assert_eq!(files(), first);
    serving.abort();
    let _ = serving.await;
    let ran = program(&endpoint, &ca, "good", own.path()).output().await.unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success() && said.contains("own.pem is kept"), "{said}");
    assert!(said.contains("cannot reach"), "{said}");
    assert_eq!(files(), first);

    // One of another authority is none, nor is one without its key.
    let stranger = tempfile::tempdir().unwrap();
    Authority::create().unwrap().save(stranger.path()).unwrap();
    let other = stranger.path().join("ca.pem");
    request(&endpoint, &other, "good", own.path()).await.unwrap_err();
    fs::remove_file(own.path().join("own.key")).unwrap();
    request(&endpoint, &ca, "good", own.path()).await.unwrap_err();
}

#[tokio::test]
async fn without_a_valid_token_or_from_a_stranger_there_is_none() {
    let (issuer, stranger) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = tempfile::tempdir().unwrap();
    let (endpoint, _) = start(issuer.path()).await;
    start(stranger.path()).await;
    let [ca, other] = [&issuer, &stranger].map(|dir| dir.path().join("ca.pem"));
    let refused = request(&endpoint, &ca, "bad", own.path()).await.unwrap_err();
    assert!(refused.contains("the token is not valid"), "{refused}");
    let refused = request(&endpoint, &other, "good", own.path()).await.unwrap_err();
    assert!(refused.starts_with("error: "), "{refused}");
    assert!(!own.path().join("own.pem").exists() && !own.path().join("own.key").exists());
}

#[tokio::test]
async fn a_certificate_is_kept_until_the_program_is_asked_to_end() {
    let (issuer, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (endpoint, _) = start(issuer.path()).await;
    let ca = issuer.path().join("ca.pem");
    fs::write(own.path().join("own.pem"), "of no use").unwrap();
    let mut program = program(&endpoint, &ca, "bad", own.path()).arg("--keep").spawn().unwrap();
    let mut said = BufReader::new(program.stderr.take().unwrap()).lines();
    let mut next = async || timeout(PATIENCE, said.next_line()).await.unwrap().unwrap().unwrap();
    let refused = next().await;
    assert!(refused.contains("the token is not valid"), "{refused}");
    // The kubelet renews it in its file.
    fs::write(own.path().join("token"), "good").unwrap();
    let mut line = next().await;
    for _ in 0..MOST_REFUSALS {
        if line != refused {
            break;
        }
        line = next().await;
    }
    assert!(line.ends_with("own.pem is renewed"), "{line}");
    let [cert, key] = ["own.pem", "own.key"].map(|name| own.path().join(name));
    let credentials = Credentials::load(&CredentialPaths { ca, cert, key });
    assert_eq!(credentials.unwrap().identity(), Some(&agent()));
    let pid = Pid::from_raw(program.id().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(program.wait().await.unwrap().success());
}
