//! H1: how long it takes to set a network up.
//!
//! The protocol is that of the paper: two pods stand in different clusters, with interfaces that are
//! on their nodes' switches but in no network; one pings the other every 5 ms, all the time. Each
//! run asks for a network of the two, and ends when the first request comes to the other pod.
//!
//! Two clocks run. One starts where the paper's does, when the request comes to the provider's
//! controller between the clusters: here when the sco-provider receives `ApplyNetwork`. The other
//! starts with whoever wants the network, right before `CreateNetwork` is sent to the slice-manager.
//! Both include what the paper's does not: the switches of both nodes, beside those of the gateways.

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use l2sces_lab::{
    Unit,
    probe::{Pinging, Recording},
    wait,
};

use super::{
    data,
    published::setup_time as published,
    report::{Outcome, Section},
    testbed::{Host, Testbed},
};
use crate::{
    calls::{self, Call},
    durations::Durations,
    narrator::Narrator,
    networks::{Attached, Member, Networks, POD_INTERFACE, PortName, ReadyPorts},
};

const INTERVAL: Duration = Duration::from_millis(published::PING_INTERVAL_MS);
/// Pauses of the paper's script: before the request, and after the run.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(1);
/// How long a network may take at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pods bring their addresses along, as the paper's do.
const NO_ADDRESSES: &str = "";
const PING: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const PONG: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);

/// The times of a run.
struct Run {
    /// When whoever wants the network asked for it.
    requested: SystemTime,
    /// When the request came to the sco-provider.
    at_provider: SystemTime,
    /// When the first ping came to the other pod.
    pinged: SystemTime,
}

impl Run {
    fn since_provider(&self) -> Duration {
        self.pinged.duration_since(self.at_provider).unwrap_or_default()
    }

    fn since_request(&self) -> Duration {
        self.pinged.duration_since(self.requested).unwrap_or_default()
    }
}

pub(super) async fn run(
    binaries: &Path,
    directory: &Path,
    runs: u16,
    judges_speed: bool,
    narrator: &Narrator,
) -> Result<Section> {
    let testbed = Testbed::that_logs(calls::LOG_FILTER, binaries, narrator).await?;
    let pair = Pair::up(&testbed).await?;
    let mut ready = testbed.networks.watch().await?;
    let _pinging = Pinging::start(pair.hosts[0].pod.namespace(), PONG, INTERVAL)?;
    // As in the paper, where the network is there before the first run deletes it.
    pair.set_up(&testbed.networks, "before", &mut ready).await?;
    testbed.networks.delete("before").await?;
    let recording = directory.join("setup_time.pcap");
    let mut spans = Vec::new();
    for run in 1..=runs {
        let name = format!("run-{run}");
        spans.push(measure(&pair, &testbed.networks, &name, &recording, &mut ready).await?);
        tokio::time::sleep(AFTER).await;
        testbed.networks.delete(&name).await?;
    }
    let calls = calls::served(&testbed.lab, &Unit::ScoProvider)?;
    testbed.lab.down().await?;
    let runs = spans.into_iter().map(|span| span_with_provider(span, &calls));
    let runs: Vec<_> = runs.collect::<Result<_>>()?;
    write(directory, &runs)?;
    section(
        &Durations::of(runs.iter().map(Run::since_provider).collect())?,
        &Durations::of(runs.iter().map(Run::since_request).collect())?,
        judges_speed,
    )
}

/// Looks up when the request of a run came to the sco-provider: it is the first call there, because
/// nothing else happens then.
fn span_with_provider((requested, pinged): Span, calls: &[Call]) -> Result<Run> {
    let request = calls.iter().find(|call| (requested..pinged).contains(&call.time));
    let at_provider = request.context("the sco-provider was not asked for the network")?.time;
    Ok(Run { requested, at_provider, pinged })
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
        networks.create(network, NO_ADDRESSES).await?;
        let ports = self.ports(network);
        let attach = (0..2).map(|n| {
            let far_end = Attached::Interface(&self.far_ends[n]);
            let member = Member { address: None, ..self.hosts[n].member() };
            networks.attach(&ports[n], self.nodes[n], far_end, member)
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

/// When a network was asked for, and when the first ping came.
type Span = (SystemTime, SystemTime);

async fn measure(
    pair: &Pair,
    networks: &Networks,
    network: &str,
    path: &Path,
    ready: &mut ReadyPorts,
) -> Result<Span> {
    let filter = format!("icmp[icmptype] == icmp-echo and src host {PING}");
    let pong = pair.hosts[1].pod.namespace();
    let recording = Recording::start(pong, POD_INTERFACE, &filter, path).await?;
    tokio::time::sleep(BEFORE).await;
    ensure!(recording.frames()?.is_empty(), "pings come before there is a network");
    let requested = SystemTime::now();
    pair.request(networks, network).await?;
    let pinged = wait::until("a ping comes", PATIENCE, || async {
        recording.frames().ok()?.first().map(|frame| frame.time)
    })
    .await?;
    recording.stop().await?;
    // Or deleting it would overtake its creation.
    ready.wait_for(pair.ports(network)).await?;
    Ok((requested, pinged))
}

fn write(directory: &Path, runs: &[Run]) -> Result<()> {
    let mut table = data::table(directory, "setup_time.csv")?;
    table.write_record([
        "run",
        "request_epoch_ns",
        "first_icmp_after_request_ms",
        "first_icmp_after_provider_ms",
        "estimate_from_request_ms",
        "estimate_from_provider_ms",
    ])?;
    for (number, run) in (1..).zip(runs) {
        let requested = run.requested.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
        let times = [run.since_request(), run.since_provider()];
        let times = times.map(|time| time.as_secs_f64() * 1e3);
        let figures = times.into_iter().chain(times.map(estimate));
        let figures = figures.map(|figure| format!("{figure:.3}"));
        table
            .write_record([number.to_string(), requested.to_string()].into_iter().chain(figures))?;
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

fn section(
    from_provider: &Durations,
    from_request: &Durations,
    judges_speed: bool,
) -> Result<Section> {
    let row = |what: &str, paper: f64, figure: fn(&Durations) -> f64| {
        let ours = [from_provider, from_request].map(|durations| estimate(figure(durations)));
        let ours = format!("{:.1} ms ({:.1} ms)", ours[0], ours[1]);
        [what.to_owned(), format!("{paper:.1} ms"), ours]
    };
    let [median, most] = [0.5, 1.0].map(|share| estimate(from_provider.quantile(share)));
    let evidence = format!(
        "median {median:.1} ms (the paper's: {:.0} ms), the longest {most:.1} ms, {} runs; median \
         {:.1} ms from when a user asks",
        published::MEDIAN,
        from_provider.count(),
        estimate(from_request.median()),
    );
    Ok(Section {
        title: "H1: network set-up",
        claim: "a network is set up within 10 ms (median)",
        outcome: Outcome::of(median < published::MEDIAN, evidence).judged(judges_speed),
        method: "Two pods in different clusters, on nodes that are no gateways; their interfaces are \
                 on the switches of their nodes, but in no network. They have their addresses, as the \
                 paper's pods do, so that networks have none to give. One pings the other every 5 ms, \
                 all the time. A run deletes the network, waits half a second, in which no ping may \
                 come, and asks for another, by `CreateNetwork` and, for each pod, `AttachPort`. It \
                 ends when the kernel of the other pod receives the first ping. The clock starts \
                 where the paper's does, when the request comes to the controller between the \
                 clusters: here when `ApplyNetwork` comes to the sco-provider. In parentheses: from \
                 right before `CreateNetwork` is sent to the slice-manager. The paper's controller is \
                 told of two ports that stand, and programs the gateways; here all switches on the \
                 way are programmed in that time, those of the nodes, too. As in the paper, half the \
                 interval between pings is subtracted for the estimate.",
        table: vec![
            ["estimate".to_owned(), "paper".to_owned(), "here".to_owned()],
            row("median", published::MEDIAN, Durations::median),
            row("mean", published::MEAN, Durations::mean),
            row("90 %", published::P90, |durations| durations.quantile(0.9)),
            row("99 %", published::P99, |durations| durations.quantile(0.99)),
            row("longest", published::MOST, |durations| durations.quantile(1.0)),
            ["runs".to_owned(), published::RUNS.to_string(), from_provider.count().to_string()],
            [
                "median of what was measured, nothing subtracted".to_owned(),
                format!("{:.1} ms, by two clocks", published::MEASURED_MEDIAN),
                format!("{:.1} ms ({:.1} ms)", from_provider.median(), from_request.median()),
            ],
        ],
        plot: "h1_setup_time",
    })
}
