//! Talking to the endpoint of metrics.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends a request and returns all that comes back until the connection ends.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    timeout(Duration::from_secs(20), talk).await.expect("the connection ends in time")
}

/// What Prometheus' own checker says of metrics; nothing where it is not installed.
pub(crate) fn complaints(metrics: &str) -> String {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return String::new() };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// What Prometheus would get.
pub(crate) async fn scrape(address: SocketAddr) -> String {
    let response = exchange(address, "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await;
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}
