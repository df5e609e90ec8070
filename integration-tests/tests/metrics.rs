//! Every service of a lab tells what it measures.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, World, members_of};
use l2sces_lab::{Namespace, Unit, wait};
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

/// Waits until the agent of a node tells something of its ports and tunnels.
async fn told(world: &World, node: &str, what: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
    let service = world.lab.layout().service(&Unit::SpsAgent(node.to_owned()))?;
    wait::holds(what, LIMIT, || async {
        let metrics = scrape(&world.lab.control(), service.metrics).await;
        let metrics = metrics.map_err(|error| format!("{error:#}"))?;
        if holds(&metrics) { Ok(()) } else { Err(metrics) }
    })
    .await?;
    Ok(())
}

/// The value of a sample whose name and labels begin like this.
fn value(metrics: &str, sample: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(sample))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_tell_what_ports_and_tunnels_carry() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    blue[0].reaches(&blue[1]).await?;
    let labels = "{slice=\"s1\",network=\"blue\",port=\"blue-a1\"}";
    let remote = format!("remote=\"{}\"", world.lab.node("a2")?.underlay_address);
    let tunnel = |metrics: &str, name: &str| {
        let lines = metrics.lines().filter(|line| line.contains(&remote));
        let line = lines.into_iter().find(|line| line.starts_with(name))?;
        line.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    // Three requests and answers, and the question for the address.
    let carried = |metrics: &str| {
        ["receive", "transmit"].into_iter().all(|direction| {
            let port = format!("l2sces_port_{direction}_packets_total{labels}");
            let bytes = format!("l2sces_port_{direction}_bytes_total{labels}");
            let link = format!("l2sces_tunnel_{direction}_packets_total");
            value(metrics, &port) >= Some(4.0)
                && value(metrics, &bytes) >= Some(4.0 * 42.0)
                && tunnel(metrics, &link) >= Some(4.0)
        }) && tunnel(metrics, "l2sces_tunnel_up") == Some(1.0)
            && value(metrics, "l2sces_switch_connected{bridge=\"br-sps\"}") == Some(1.0)
    };
    told(&world, "a1", "what the pings were is told", carried).await?;

    world.lab.set_pair("a1", "a2", false).await?;
    let broken = |metrics: &str| tunnel(metrics, "l2sces_tunnel_up") == Some(0.0);
    told(&world, "a1", "the broken tunnel is told", broken).await?;
    world.lab.set_pair("a1", "a2", true).await?;

    world.delete_network("blue").await?;
    let forgotten = |metrics: &str| {
        !metrics.contains("blue") && value(metrics, "l2sces_switch_ports{") == Some(0.0)
    };
    told(&world, "a1", "the ports are gone", forgotten).await?;
    world.down().await
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
