//! What is measured can be scraped over TCP, and only that, by whoever behaves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod support;

use std::time::Duration;

use l2sces_telemetry::{LogFormat, TelemetryArgs, init};
use support::{complaints, exchange, scrape};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

/// More connections than the endpoint serves at a time.
const SILENT: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_served_until_the_guard_is_dropped() {
    let args = TelemetryArgs {
        log_format: LogFormat::Text,
        log_filter: "error".into(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
    };
    let guard = init("test-service", &args).unwrap();
    let address = guard.metrics_address().unwrap();
    metrics::describe_histogram!("l2sces_test_duration_seconds", "How long tests take.");
    metrics::histogram!("l2sces_test_duration_seconds").record(0.003);

    // Clients that connect and say nothing do not keep others from being served for long.
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }

    let response = exchange(address, "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("l2sces_build_info{{service=\"test-service\",version=\"{version}\"}} 1\n");
    assert!(body.contains(&build), "{body}");
    let bucket = |bound: &str, count: u32| {
        format!("l2sces_test_duration_seconds_bucket{{le=\"{bound}\"}} {count}\n")
    };
    assert!(body.contains(&bucket("0.0025", 0)) && body.contains(&bucket("0.005", 1)), "{body}");
    assert_eq!(complaints(body), "", "{body}");

    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", "405 Method Not"),
        ("no HTTP\r\n\r\n", "400 Bad Request"),
        (&format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)), "431 Request"),
    ] {
        let response = exchange(address, request).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
    }

    assert!(scrape(address).await.contains(&build));
    drop(guard);
    let free = async {
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), free).await.expect("the endpoint ends");
}
