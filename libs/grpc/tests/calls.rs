//! What happens to calls: errors, deadlines, reflection, shutdown.

mod support;

use std::{
    error::Error,
    io, iter,
    time::{Duration, Instant},
};

use l2sces_grpc::{DEFAULT_DEADLINE, Dialer, TlsArgs};
use l2sces_proto::dns::v1::record_service_client::RecordServiceClient;
use support::{DEPARTURE, STAGE, TestServer, apply};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
    time::timeout,
};
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};
use tonic_types::StatusExt;

/// Sooner than the deadline of a call that has no other.
const SOON: Duration = Duration::from_secs(8);
/// How long to wait for what would never come by itself.
const PATIENCE: Duration = Duration::from_secs(20);

fn plaintext() -> TlsArgs {
    TlsArgs { insecure_plaintext: true, ..TlsArgs::default() }
}

#[tokio::test]
async fn a_violation_names_its_field_in_the_status_details() {
    let server = TestServer::start(plaintext()).await;
    let refused = server.client(&plaintext()).apply_record(apply("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "record.key.host");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_bad_input() {
    let server = TestServer::start(plaintext()).await;
    let mut client = server.client(&plaintext());
    let refused = client.apply_record(apply(&"x".repeat(5 << 20))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("too large"), "{refused:?}");
    client.apply_record(apply("a")).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_bad_input() {
    let server = TestServer::start(plaintext()).await;
    let mut client = tonic::client::Grpc::new(server.channel(&plaintext()));
    client.ready().await.unwrap();
    // The same field number as `record`, with another wire type.
    let codec = tonic_prost::ProstCodec::<u64, ()>::default();
    let path = http::uri::PathAndQuery::from_static("/l2sces.dns.v1.RecordService/ApplyRecord");
    let refused = client.unary(Request::new(7_u64), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_call() {
    let server = TestServer::start(plaintext()).await;
    let mut client = server.client(&plaintext());
    let mut other = client.clone();
    let waiting = tokio::spawn(async move {
        let mut request = Request::new(apply("hang"));
        request.set_timeout(Duration::from_millis(500));
        other.apply_record(request).await
    });
    let failed = client.apply_record(apply("panic")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    client.apply_record(apply("a")).await.unwrap();
    // A call on the same connection went on until its own deadline.
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_one() {
    let server = TestServer::start(plaintext()).await;
    let started = Instant::now();
    let failed = server.client(&plaintext()).apply_record(apply("hang")).await.unwrap_err();
    assert_eq!(failed.code(), Code::DeadlineExceeded, "{failed:?}");
    let taken = started.elapsed();
    assert!(taken >= DEFAULT_DEADLINE - Duration::from_millis(50), "{taken:?}");
    assert!(taken < DEFAULT_DEADLINE + Duration::from_secs(5), "{taken:?}");
}

#[tokio::test]
async fn connecting_to_nobody_fails_at_once() {
    // Bound, so that nobody else gets the port, and not listened on.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = format!("http://{}", socket.local_addr().unwrap());
    let dialer = l2sces_grpc::Dialer::new(&plaintext()).unwrap();
    let mut nobody = RecordServiceClient::new(dialer.channel(&unused).unwrap());
    let started = Instant::now();
    let failed = nobody.apply_record(apply("a")).await.unwrap_err();
    assert!(started.elapsed() < SOON);
    assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
    // Somebody who does not answer at all is given up after 5 s, which is no refusal.
    let causes = iter::successors(failed.source(), |cause| (*cause).source());
    let mut failures = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
    let is_refusal = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    assert!(failures.any(is_refusal), "{failed:?}");
}

#[tokio::test]
async fn reflection_describes_what_is_served_in_both_versions() {
    let server = TestServer::start(plaintext()).await;
    let channel = server.channel(&plaintext());
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let describe = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "l2sces.dns.v1.RecordService".into(),
        )),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client
        .server_reflection_info(tokio_stream::iter([list, describe]))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> =
        answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
    let MessageResponse::ListServicesResponse(services) = &answers[0] else {
        panic!("{answers:?}")
    };
    let mut names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["grpc.health.v1.Health", "l2sces.dns.v1.RecordService"]);
    assert!(matches!(answers[1], MessageResponse::FileDescriptorResponse(_)), "{answers:?}");

    let list = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers =
        client.server_reflection_info(tokio_stream::iter([list])).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
}

#[tokio::test]
async fn shutdown_ends_streams_with_unavailable_and_does_not_wait_for_them() {
    let mut server = TestServer::start(plaintext()).await;
    let mut health = HealthClient::new(server.channel(&plaintext()));
    let mut stream = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());

    server.shut_down();
    let ended = timeout(PATIENCE, stream.message()).await.expect("the stream ends").unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert!(
        ended.message().contains("shutting down"),
        "not by a connection that is cut: {ended:?}"
    );
    // Less than the 5 s for which a server waits for calls.
    let soon = Duration::from_millis(4_500);
    timeout(soon, &mut server.task).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn a_handler_runs_to_its_end_though_the_client_has_gone() {
    let server = TestServer::start(plaintext()).await;
    let mut client = server.client(&plaintext());
    let mut stage = STAGE.subscribe();
    let call = tokio::spawn(async move { client.apply_record(apply("slow")).await });
    stage.wait_for(|stage| *stage == "started").await.unwrap();
    // The only clone of the channel goes with the call, and the connection with the channel.
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // By the time that others have been served, the server has seen the connection go.
    for _ in 0..10 {
        server.client(&plaintext()).apply_record(apply("a")).await.unwrap();
    }
    STAGE.send_replace("released");
    let finished = stage.wait_for(|stage| *stage == "finished");
    timeout(SOON, finished).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_is_told_that_the_client_has_gone() {
    let server = TestServer::start(plaintext()).await;
    let mut client = server.client(&plaintext());
    let mut departure = DEPARTURE.subscribe();
    let call = tokio::spawn(async move { client.apply_record(apply("depart")).await });
    departure.wait_for(|stage| *stage == "waiting").await.unwrap();
    call.abort();
    let noticed = departure.wait_for(|stage| *stage == "noticed");
    timeout(SOON, noticed).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_call_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let channel = Dialer::new(&plaintext()).unwrap().channel(&endpoint).unwrap();
    let mut client = RecordServiceClient::new(channel);
    let call = tokio::spawn(async move { client.apply_record(apply("a")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    // Whoever is called reads what comes, and is gone before it has answered.
    assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
    drop(stream);
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
}
