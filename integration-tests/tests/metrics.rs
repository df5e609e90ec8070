//! Every service of a lab tells what it measures.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use integration_tests::{World, members_of};
use l2sces_lab::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What Prometheus would get.
async fn scrape(namespace: &Namespace, address: SocketAddr) -> Result<String> {
    let mut stream = namespace.connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, metrics) = response.split_once("\r\n\r\n").context("no HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    Ok(metrics.to_owned())
}

/// Has Prometheus' own checker look; content where it is not installed.
fn check(metrics: &str) -> Result<()> {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return Ok(()) };
    promtool.stdin.take().context("no stdin")?.write_all(metrics.as_bytes())?;
    let output = promtool.wait_with_output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_answers_scrapes() -> Result<()> {
    let mut world = World::up().await?;
    members_of(&mut world, "blue").await?;
    for service in world.lab.layout().services() {
        let metrics = scrape(&world.lab.control(), service.metrics).await;
        let metrics = metrics.with_context(|| format!("{} is not measured", service.unit))?;
        let build = format!("l2sces_build_info{{service=\"{}\",", service.unit.program());
        // The lab waited for its health.
        let health = "_count{method=\"grpc.health.v1.Health/Check\",code=\"OK\"}";
        for expected in [&*build, health] {
            ensure!(metrics.contains(expected), "{}: no {expected} in {metrics}", service.unit);
        }
        check(&metrics).with_context(|| service.unit.to_string())?;
    }
    world.down().await
}
