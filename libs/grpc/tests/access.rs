//! Who gets in, and who may call what: over real TLS.

mod support;

use std::time::Duration;

use l2sces_grpc::TlsArgs;
use l2sces_pki::Role;
use l2sces_proto::dns::v1::{ListRecordsRequest, record_service_client::RecordServiceClient};
use support::{Pki, TestServer, apply, tls_args};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

async fn server(pki: &Pki) -> TestServer {
    TestServer::start(pki.tls(Role::InterDomainDns)).await
}

#[tokio::test]
async fn a_role_that_is_allowed_may_call_and_the_handler_knows_it() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let mut client = server.client(&pki.tls(Role::SliceManager));
    let records = client.list_records(ListRecordsRequest::default()).await.unwrap().into_inner();
    let key = records.records[0].key.clone().unwrap();
    assert_eq!(key.host, "spiffe://l2sces/slice-manager/test");
}

#[tokio::test]
async fn another_role_is_refused_but_may_ask_for_health() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let tls = pki.tls(Role::SpsAgent);
    let refused = server.client(&tls).apply_record(apply("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("sps-agent"), "{refused}");

    let mut health = HealthClient::new(server.channel(&tls));
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status, 1, "SERVING");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = server(&pki).await;
    // The stranger trusts the server's authority, so it is the server that refuses.
    other.tls(Role::SliceManager);
    let tls = tls_args(&pki.dir.path().join("ca.pem"), other.dir.path(), "slice-manager");
    let refused = server.client(&tls).apply_record(apply("a")).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Unavailable | Code::Unknown), "{refused:?}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = server(&pki).await;
    let refused = server.client(&other.tls(Role::Admin)).apply_record(apply("a")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pki.authority.certificate_pem()));
    let endpoint = Endpoint::from_shared(server.endpoint()).unwrap().tls_config(tls).unwrap();
    let mut client = RecordServiceClient::new(endpoint.connect_lazy());
    let refused = client.apply_record(apply("a")).await.unwrap_err();
    assert_ne!(refused.code(), Code::PermissionDenied, "it got as far as the access control");
}

#[tokio::test]
async fn plaintext_garbage_and_silence_disturb_nobody() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let closed = timeout(Duration::from_secs(5), async {
        let mut answer = Vec::new();
        let _ = garbage.read_to_end(&mut answer).await;
    });
    closed.await.expect("the server hangs up on garbage");
    server.client(&pki.tls(Role::Admin)).apply_record(apply("a")).await.unwrap();

    // Whoever never finishes its handshake is dropped.
    let closed = timeout(Duration::from_secs(8), silent[0].read(&mut [0])).await;
    assert!(matches!(closed.expect("the server hangs up on silence"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn with_plaintext_everybody_may_call() {
    let tls = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
    let server = TestServer::start(tls.clone()).await;
    server.client(&tls).apply_record(apply("a")).await.unwrap();
}
