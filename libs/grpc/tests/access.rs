//! Who gets in, and who may call what: over real TLS.

#![expect(clippy::unwrap_used, reason = "test")]

mod support;

use std::{future::pending, io, sync::Arc, time::Duration};

use l2sces_grpc::{Access, Callee, Dialer, TlsArgs, serve_openly};
use l2sces_pki::{CredentialPaths, Credentials, Identity, Role};
use l2sces_proto::dns::v1::{
    ListRecordsRequest, record_service_client::RecordServiceClient,
    record_service_server::RecordServiceServer,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use support::{Pki, Records, TestServer, apply, tls_args};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tonic::{
    Code,
    service::Routes,
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
async fn a_role_that_may_call_some_methods_may_call_no_others() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let mut client = server.client(&pki.tls(Role::SliceOperator));
    client.list_records(ListRecordsRequest::default()).await.unwrap();
    let refused = client.apply_record(apply("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let method = "slice-operator may not call l2sces.dns.v1.RecordService/ApplyRecord";
    assert!(refused.message().contains(method), "{refused}");
    let mut stranger = server.client(&pki.tls(Role::SpsAgent));
    let refused = stranger.list_records(ListRecordsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_server_of_one_cluster_is_called_by_nobody_of_another() {
    let pki = Pki::new();
    let identity = |role, name| Identity::new(role, name).unwrap();
    let one = TestServer::start(pki.tls_of(&identity(Role::SdnController, "a"))).await;
    let all = TestServer::start(pki.tls_of(&identity(Role::ScoProvider, "a"))).await;
    for (role, name, may_call_one) in [
        (Role::Operator, "a", true),
        (Role::Operator, "b", false),
        (Role::SliceManager, "b", true),
        (Role::Admin, "b", true),
    ] {
        let tls = pki.tls_of(&identity(role, name));
        let answer = one.client(&tls).list_records(ListRecordsRequest::default()).await;
        let refused = answer.err().map(|status| status.code());
        let expected = (!may_call_one).then_some(Code::PermissionDenied);
        assert_eq!(refused, expected, "{role} {name}");
        all.client(&tls).list_records(ListRecordsRequest::default()).await.unwrap();
    }
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
async fn an_agents_certificate_stands_for_no_service_and_a_services_for_no_agent() {
    let pki = Pki::new();
    let client = Dialer::new(&pki.tls(Role::Admin)).unwrap();
    for role in Role::ALL {
        let server = TestServer::start(pki.tls(role)).await;
        for (callee, is_wanted) in [
            (Callee::Service, !role.is_agent()),
            (Callee::Agent, role.is_agent()),
            (Callee::Anybody, true),
        ] {
            let channel = client.channel_to(callee, &server.endpoint()).unwrap();
            let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            let refused = answer.err().map(|status| status.code());
            let expected = (!is_wanted).then_some(Code::Unavailable);
            assert_eq!(refused, expected, "{callee:?} is {role}");
        }
    }
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
    let closed = timeout(Duration::from_secs(20), async {
        let mut answer = Vec::new();
        let _ = garbage.read_to_end(&mut answer).await;
    });
    closed.await.expect("the server hangs up on garbage");
    server.client(&pki.tls(Role::Admin)).apply_record(apply("a")).await.unwrap();

    // Whoever never finishes its handshake is dropped.
    let closed = timeout(Duration::from_secs(20), silent[0].read(&mut [0])).await;
    assert!(matches!(closed.expect("the server hangs up on silence"), Ok(0) | Err(_)));
}

/// More connections than a server has of one address whose clients it does not know, and fewer than it has
/// of all.
const MANY: usize = 128;

#[tokio::test]
async fn where_anybody_may_call_one_address_takes_no_places_from_others() {
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let own = credentials(&pki, Role::InterDomainDns);
    tokio::spawn(async move {
        let routes = Routes::new(RecordServiceServer::new(Records));
        let access = Access::new().allow::<RecordServiceServer<()>>(&[]);
        serve_openly(listener, &own, routes, access, pending()).await.unwrap();
    });
    let connector = TlsConnector::from(credentials(&pki, Role::Admin).client_config());
    let connect = async || -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.2:0".parse().unwrap())?;
        let stream = socket.connect(server).await?;
        connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
    };
    let mut kept = Vec::new();
    let refused = async {
        while let Ok(stream) = connect().await {
            kept.push(stream);
            assert!(kept.len() < MANY, "nobody is refused");
        }
    };
    timeout(Duration::from_secs(60), refused).await.unwrap();

    let channel = Dialer::without_certificate(&pki.dir.path().join("ca.pem")).unwrap();
    let channel = channel.channel(&format!("https://{server}")).unwrap();
    RecordServiceClient::new(channel).apply_record(apply("a")).await.unwrap();

    drop(kept);
    let let_in = async {
        while connect().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), let_in).await.unwrap();
}

#[tokio::test]
async fn with_plaintext_everybody_may_call() {
    let tls = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
    let server = TestServer::start(tls.clone()).await;
    server.client(&tls).apply_record(apply("a")).await.unwrap();
}

#[tokio::test]
async fn a_channel_and_a_server_show_a_certificate_that_was_renewed() {
    let pki = Pki::new();
    let server = server(&pki).await;
    let client_tls = pki.tls(Role::SliceManager);
    let channel = server.channel(&client_tls);
    let mut client = RecordServiceClient::new(channel);
    client.apply_record(apply("a")).await.unwrap();

    // Whoever accepts sees what the channel shows by then.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let mut to_us =
        RecordServiceClient::new(Dialer::new(&client_tls).unwrap().channel(&endpoint).unwrap());
    let acceptor = credentials(&pki, Role::InterDomainDns).server_config();
    let mut config = ServerConfig::clone(&acceptor);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut shown_to_us = async || {
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].clone()
        };
        let (shown, called) = tokio::join!(accept, to_us.apply_record(apply("a")));
        called.unwrap_err();
        shown
    };
    assert_eq!(shown_to_us().await, certificate(&pki, Role::SliceManager));

    pki.tls(Role::SliceManager);
    pki.tls(Role::InterDomainDns);
    let connector = TlsConnector::from(credentials(&pki, Role::Admin).client_config());
    let shown_by_server = async || {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let renewed = async {
        while shown_to_us().await != certificate(&pki, Role::SliceManager)
            || shown_by_server().await != certificate(&pki, Role::InterDomainDns)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), renewed).await.unwrap();
    // A connection that is there stays.
    client.apply_record(apply("a")).await.unwrap();
}

/// Credentials of a role, which are made if there are none.
fn credentials(pki: &Pki, role: Role) -> Credentials {
    let stem = pki.dir.path().join(role.as_str());
    let paths = || CredentialPaths {
        ca: pki.dir.path().join("ca.pem"),
        cert: stem.with_extension("pem"),
        key: stem.with_extension("key"),
    };
    Credentials::load(&paths()).unwrap_or_else(|_| {
        pki.tls(role);
        Credentials::load(&paths()).unwrap()
    })
}

fn certificate(pki: &Pki, role: Role) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(pki.dir.path().join(format!("{role}.pem"))).unwrap()
}
