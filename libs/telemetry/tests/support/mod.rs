//! Talking to the endpoint of metrics.

use std::{
    io::{Write, read_to_string},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::task::spawn_blocking;

/// Sends a request and returns all that comes back until the connection ends.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let request = request.to_owned();
    // In one go: who connects and says nothing is not waited for.
    let talk = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request.as_bytes())?;
        read_to_string(stream)
    };
    spawn_blocking(talk).await.unwrap().expect("the connection ends in time")
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
