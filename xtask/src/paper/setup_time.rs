//! H1: how long it takes to set a network up.
//!
//! The protocol is that of the paper: two pods stand in different clusters, with interfaces that are
//! on their nodes' switches but in no network; one pings the other every 5 ms, all the time. Each
//! run asks for a network of the two, and ends when the first request comes to the other pod.
//!
//! The clock starts right before `CreateNetwork` is sent to the slice-manager, where a provider asks
//! for networks. It so includes what the paper's does not, whose request goes to the controller of
//! the gateways: storing what is wanted, and the switches of both nodes.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use l2sces_lab::{probe::Recording, wait};
use tokio::process::Child;

use super::{
    data,
    published::setup_time as published,
    report::{Outcome, Section},
    testbed::{Host, Testbed},
};
use crate::{
    durations::Durations,
    narrator::Narrator,
    networks::{Attached, Networks, POD_INTERFACE, PortName, ReadyPorts},
};

const INTERVAL: Duration = Duration::from_millis(published::PING_INTERVAL_MS);
/// Pauses of the paper's script: before the request, and after the run.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(1);
/// How long a network may take at most.
const PATIENCE: Duration = Duration::from_secs(30);
const CIDR: &str = "192.168.1.0/24";
const PING: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const PONG: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);

/// What a run took.
struct Run {
    requested: SystemTime,
    /// From the request to the first ping at the other pod.
    took: Duration,
}

pub(super) async fn run(
    binaries: &Path,
    directory: &Path,
    runs: u16,
    judges_speed: bool,
    narrator: &Narrator,
) -> Result<Section> {
    let testbed = Testbed::up(binaries, narrator).await?;
    let pair = Pair::up(&testbed).await?;
    let mut ready = testbed.networks.watch().await?;
    let _ping = ping(&pair.hosts[0])?;
    // As in the paper, where the network is there before the first run deletes it.
    pair.set_up(&testbed.networks, "before", &mut ready).await?;
    testbed.networks.delete("before").await?;
    let recording = directory.join("setup_time.pcap");
    let mut measured = Vec::new();
    for run in 1..=runs {
        let name = format!("run-{run}");
        measured.push(measure(&pair, &testbed.networks, &name, &recording, &mut ready).await?);
        tokio::time::sleep(AFTER).await;
        testbed.networks.delete(&name).await?;
    }
    testbed.lab.down().await?;
    write(directory, &measured)?;
    section(&Durations::of(measured.iter().map(|run| run.took).collect())?, judges_speed)
}

/// The two pods.
pub(super) struct Pair {
    hosts: [Host; 2],
    /// The nodes that they are on, which are no gateways.
    nodes: [&'static str; 2],
    far_ends: [String; 2],
}

impl Pair {
    pub(super) async fn up(testbed: &Testbed) -> Result<Self> {
        let nodes = ["a2", "b2"];
        let (ping, at_ping) = testbed.standing_pod(nodes[0], "ping", PING).await?;
        let (pong, at_pong) = testbed.standing_pod(nodes[1], "pong", PONG).await?;
        for (host, other) in [(&ping, &pong), (&pong, &ping)] {
            // In the paper a network is never away for long enough to be forgotten.
            let neighbor = format!(
                "neighbour replace {} lladdr {} dev {POD_INTERFACE} nud permanent\n",
                other.address, other.mac
            );
            host.pod.namespace().ip_batch(&neighbor).await?;
        }
        Ok(Self { hosts: [ping, pong], nodes, far_ends: [at_ping, at_pong] })
    }

    fn ports(&self, network: &str) -> [PortName; 2] {
        self.nodes.map(|node| (network.to_owned(), node.to_owned()))
    }

    /// Asks for a network of the two.
    async fn request(&self, networks: &Networks, network: &str) -> Result<()> {
        networks.create(network, CIDR).await?;
        let ports = self.ports(network);
        let attach = (0..2).map(|n| {
            let far_end = Attached::Interface(&self.far_ends[n]);
            networks.attach(&ports[n], self.nodes[n], far_end, self.hosts[n].member())
        });
        try_join_all(attach).await?;
        Ok(())
    }

    /// Asks for a network of the two, and waits until it is ready.
    pub(super) async fn set_up(
        &self,
        networks: &Networks,
        network: &str,
        ready: &mut ReadyPorts,
    ) -> Result<()> {
        self.request(networks, network).await?;
        ready.wait_for(self.ports(network)).await?;
        Ok(())
    }
}

/// Pings from the first pod to the second all the time, as the paper does.
fn ping(from: &Host) -> Result<Child> {
    let mut ping = from.pod.namespace().command("ping")?;
    ping.args(["-q", "-n", "-s", "8", "-i", &INTERVAL.as_secs_f64().to_string(), "-I"]);
    ping.args([POD_INTERFACE, &PONG.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(ping.spawn()?)
}

async fn measure(
    pair: &Pair,
    networks: &Networks,
    network: &str,
    path: &Path,
    ready: &mut ReadyPorts,
) -> Result<Run> {
    let filter = format!("icmp[icmptype] == icmp-echo and src host {PING}");
    let pong = pair.hosts[1].pod.namespace();
    let recording = Recording::start(pong, POD_INTERFACE, &filter, path).await?;
    tokio::time::sleep(BEFORE).await;
    ensure!(recording.frames()?.is_empty(), "pings come before there is a network");
    let requested = SystemTime::now();
    pair.request(networks, network).await?;
    let first = wait::until("a ping comes", PATIENCE, || async {
        recording.frames().ok()?.first().map(|frame| frame.time)
    })
    .await?;
    recording.stop().await?;
    // Or deleting it would overtake its creation.
    ready.wait_for(pair.ports(network)).await?;
    Ok(Run { requested, took: first.duration_since(requested)? })
}

fn write(directory: &Path, runs: &[Run]) -> Result<()> {
    let mut table = data::table(directory, "setup_time.csv")?;
    table.write_record(["run", "request_epoch_ns", "first_icmp_after_ms", "estimate_ms"])?;
    for (number, run) in (1..).zip(runs) {
        let requested = run.requested.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
        let took = run.took.as_secs_f64() * 1e3;
        table.write_record([
            number.to_string(),
            requested.to_string(),
            format!("{took:.3}"),
            format!("{:.3}", estimate(took)),
        ])?;
    }
    table.flush()?;
    let mut table = data::table(directory, "setup_time_published.csv")?;
    table.write_record(["share", "estimate_ms"])?;
    for (share, estimate) in published::QUANTILES {
        table.write_record([share.to_string(), estimate.to_string()])?;
    }
    Ok(table.flush()?)
}

/// When the network was up, by the paper's estimator: half an interval, on average, before the first
/// ping came. In milliseconds, as is what it took.
fn estimate(took: f64) -> f64 {
    took - INTERVAL.as_secs_f64() * 1e3 / 2.0
}

fn section(took: &Durations, judges_speed: bool) -> Result<Section> {
    let estimates = |share| estimate(took.quantile(share));
    let row = |what: &str, paper: f64, ours: f64| {
        [what.to_owned(), format!("{paper:.1} ms"), format!("{ours:.1} ms")]
    };
    let mean = took.mean();
    let median = estimates(0.5);
    let evidence = format!(
        "median {median:.1} ms (the paper's: {:.0} ms), the longest {:.1} ms, {} runs",
        published::MEDIAN,
        estimates(1.0),
        took.count()
    );
    Ok(Section {
        title: "H1: network set-up",
        claim: "a network is set up within 10 ms (median)",
        outcome: Outcome::of(median < published::MEDIAN, evidence).judged(judges_speed),
        method: "Two pods in different clusters, on nodes that are no gateways; their interfaces are \
                 on the switches of their nodes, but in no network. One pings the other every 5 ms, \
                 all the time. A run deletes the network, waits half a second, in which no ping may \
                 come, and asks for another. The clock starts right before `CreateNetwork` is sent \
                 to the slice-manager and stops when the kernel of the other pod receives the first \
                 ping; both ports are asked for by `AttachPort` within that time. The paper's clock \
                 starts before the request to the controller of its gateways, which is told of two \
                 ports that stand; nothing within its clusters is part of it. As there, half the \
                 interval between pings is subtracted for the estimate.",
        table: vec![
            ["estimate".to_owned(), "paper".to_owned(), "here".to_owned()],
            row("median", published::MEDIAN, median),
            row("mean", published::MEAN, estimate(mean)),
            row("90 %", published::P90, estimates(0.9)),
            row("99 %", published::P99, estimates(0.99)),
            row("longest", published::MOST, estimates(1.0)),
            ["runs".to_owned(), published::RUNS.to_string(), took.count().to_string()],
            [
                "median of what was measured, nothing subtracted".to_owned(),
                format!("{:.1} ms, by two clocks", published::MEASURED_MEDIAN),
                format!("{:.1} ms", took.median()),
            ],
        ],
        plot: "h1_setup_time",
    })
}
