//! Every call is counted once, by its method and how it ended, and can be scraped.
#![expect(clippy::unwrap_used, reason = "test")]

mod support;

use std::{
    io::{Write, read_to_string},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use l2sces_pki::Role;
use l2sces_proto::dns::v1::DeleteRecordRequest;
use l2sces_telemetry::{LogFormat, TelemetryArgs};
use support::{Pki, TestServer, apply};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(20);

async fn scrape(address: SocketAddr) -> String {
    // In one go: who connects and says nothing is not waited for.
    let exchange = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
        read_to_string(stream)
    };
    spawn_blocking(exchange).await.unwrap().unwrap()
}

/// Scrapes until there is a line: a call ends at its server later than at its client.
async fn measured(address: SocketAddr, line: &str) {
    let mut metrics = String::new();
    let wait = async {
        while !metrics.lines().any(|measured| measured == line) {
            metrics = scrape(address).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(PATIENCE, wait).await.is_ok();
    assert!(found, "no {line} in {metrics}");
}

fn count(method: &str, code: &str, calls: u32) -> String {
    let name = "l2sces_rpc_server_duration_seconds_count";
    format!("{name}{{method=\"{method}\",code=\"{code}\"}} {calls}")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_method_and_code() {
    let telemetry = TelemetryArgs {
        log_format: LogFormat::Text,
        log_filter: "off,metrics=error,l2sces_telemetry=error".into(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
    };
    let telemetry = l2sces_telemetry::init("test", &telemetry).unwrap();
    let metrics = telemetry.metrics_address().unwrap();

    let pki = Pki::new();
    let mut server = TestServer::start(pki.tls(Role::ScoProvider)).await;
    let admin = pki.tls(Role::Admin);
    let mut client = server.client(&admin);
    let mut stranger = server.client(&pki.tls(Role::SpsAgent));

    client.apply_record(apply("a")).await.unwrap();
    client.apply_record(apply("a")).await.unwrap();
    client.apply_record(apply("")).await.unwrap_err();
    client.apply_record(apply("panic")).await.unwrap_err();
    client.delete_record(DeleteRecordRequest::default()).await.unwrap_err();
    stranger.apply_record(apply("a")).await.unwrap_err();
    // Another leaves while its call runs.
    let running = "l2sces_rpc_server_running{method=\"l2sces.dns.v1.RecordService/ApplyRecord\"}";
    measured(metrics, &format!("{running} 0")).await;
    let mut leaving = client.clone();
    let call = tokio::spawn(async move { leaving.apply_record(apply("hang")).await });
    measured(metrics, &format!("{running} 1")).await;
    call.abort();
    for path in ["/l2sces.dns.v1.RecordService/Guess", "/any/Guess", "/\"}/{"] {
        let mut grpc = tonic::client::Grpc::new(server.channel(&admin));
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        grpc.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
    }
    let watch = HealthCheckRequest::default();
    let watch = HealthClient::new(server.channel(&admin)).watch(watch).await.unwrap();

    let apply = "l2sces.dns.v1.RecordService/ApplyRecord";
    for line in [
        count(apply, "OK", 2),
        count(apply, "INVALID_ARGUMENT", 1),
        count(apply, "INTERNAL", 1),
        count(apply, "PERMISSION_DENIED", 1),
        count(apply, "CANCELLED", 1),
        count("l2sces.dns.v1.RecordService/DeleteRecord", "UNIMPLEMENTED", 1),
        count("unknown", "UNIMPLEMENTED", 1),
        count("unknown", "PERMISSION_DENIED", 2),
        format!("l2sces_rpc_server_running{{method=\"{apply}\"}} 0"),
        "l2sces_rpc_server_running{method=\"grpc.health.v1.Health/Watch\"} 1".to_owned(),
    ] {
        measured(metrics, &line).await;
    }
    let text = scrape(metrics).await;
    assert!(!text.contains("Guess"), "a path that the client made up is a label: {text}");

    server.shut_down();
    drop(watch);
    measured(metrics, "l2sces_rpc_server_running{method=\"grpc.health.v1.Health/Watch\"} 0").await;
}
