//! A dozen real switches: how long a port and a repair take, and what everything uses while nobody
//! asks anything of it.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use comfy_table::{Table, presets};
use l2sces_lab::{
    Lab, Pod, Unit,
    probe::{Received, Stream, StreamReceiver, StreamSpec},
    wait,
};
use l2sces_model::MacAddress;
use l2sces_proto::fabric::v1::{ListLinksRequest, fabric_service_client::FabricServiceClient};
use serde_json::{Value, json};

use super::{
    activity::{self, Activity},
    numbered::{self, CLUSTER, ConfirmedPorts},
};
use crate::{
    durations::Durations,
    narrator::Narrator,
    networks::{Attached, Member, Networks, POD_INTERFACE},
    usage::Usage,
};

const SWITCHES: u16 = 12;
/// Cables cut.
const CUTS: u16 = 24;
/// How long nobody asks anything.
const QUIET: Duration = Duration::from_secs(60);
/// Between the frames by which an outage is measured.
const INTERVAL: Duration = Duration::from_millis(1);
/// Frames that come one after the other before and after a cut.
const STEADY: u32 = 200;
/// Default of the controllers' `--bfd-interval`.
const BFD_INTERVAL: Duration = Duration::from_millis(200);
/// How long a repair may take, beside a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// Goals: processors of a control plane, and MiB of a service.
const MOST_CORES: f64 = 0.005;
const MOST_MEMORY: f64 = 30.0;

pub(super) async fn run(binaries: &Path, rounds: u16, narrator: &Narrator) -> Result<Value> {
    narrator.chapter(&format!("{SWITCHES} real switches"));
    let nodes: Vec<_> = (1..=SWITCHES).map(|n| format!("a{n}")).collect();
    let topology = format!("{CLUSTER}={}", nodes.join(",")).parse()?;
    let lab = numbered::lab_that_counts(&topology, binaries, narrator).await?;
    numbered::make_interfaces(&lab, rounds).await?;
    let networks = Networks::open(&lab)?;
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    let pods = join(&lab, &networks, &nodes).await?;

    narrator.say(&format!("{rounds} ports attached"));
    let (confirmed, ready) = attach(&lab, &networks, &nodes, rounds).await?;
    narrator.say(&format!("{CUTS} tunnels cut"));
    let outages = Durations::of(cut(&lab, &pods).await?)?;
    narrator.say(&format!("{} s of quiet", QUIET.as_secs()));
    let activities = activity::of_quiet(&lab, QUIET).await?;
    lab.down().await?;

    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["MS", "P50", "P99", "GOAL"]);
    let row = |what: String, durations: &Durations, goal: String| {
        let [p50, p99] = [0.5, 0.99].map(|share| format!("{:.1}", durations.quantile(share)));
        [what, p50, p99, goal]
    };
    table.add_row(row("attach a port: to flows confirmed".to_owned(), &confirmed, String::new()));
    table.add_row(row("attach a port: to Ready".to_owned(), &ready, String::new()));
    let bfd = BFD_INTERVAL.as_secs_f64() * 1e3;
    table.add_row(row(
        "cut a tunnel: to traffic restored".to_owned(),
        &outages,
        format!("{:.0}", 4.0 * bfd + 40.0),
    ));
    println!("\n{table}");
    let intervals = |share| outages.quantile(share) / bfd;
    println!("  in BFD intervals of {bfd:.0} ms: {:.1} and {:.1}", intervals(0.5), intervals(0.99));
    let idle = report(&activities);
    Ok(json!({
        "switches": SWITCHES,
        "attach_to_flows_confirmed": confirmed.json(),
        "attach_to_ready": ready.json(),
        "bfd_interval_ms": bfd,
        "cut_to_restored": outages.json(),
        "idle": idle,
    }))
}

/// A network with a pod on every node.
async fn join(lab: &Lab, networks: &Networks, nodes: &[&str]) -> Result<Vec<(Pod, MacAddress)>> {
    let mut ready = networks.watch().await?;
    networks.create(&numbered::network_name(0), "").await?;
    let mut pods = Vec::new();
    let mut names = Vec::new();
    for (number, node) in (1..).zip(nodes) {
        let pod = lab.pod(node, node).await?;
        pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let mac = MacAddress::new([2, 1, 0, 0, 0, number]);
        let member = Member { mac, address: None };
        let name = numbered::port_name(0, node);
        networks.attach(&name, node, Attached::Namespace(&pod), member).await?;
        names.push(name);
        pods.push((pod, mac));
    }
    ready.wait_for(names).await?;
    Ok(pods)
}

/// Attaches one port after the other to the network.
async fn attach(
    lab: &Lab,
    networks: &Networks,
    nodes: &[&str],
    rounds: u16,
) -> Result<(Durations, Durations)> {
    let mut ready = networks.watch().await?;
    let mut confirmed = ConfirmedPorts::watch(lab).await?;
    let mut durations = (Vec::new(), Vec::new());
    for (round, node) in (0..rounds).zip(nodes.iter().cycle()) {
        let port = numbered::port_name(0, &format!("extra-{round}"));
        let start = Instant::now();
        let (attached, confirmed, ready) = tokio::join!(
            numbered::attach_interface(networks, port.clone(), node, round),
            confirmed.wait_for([port.clone()]),
            ready.wait_for([port]),
        );
        attached?;
        durations.0.push(confirmed? - start);
        durations.1.push(ready? - start);
    }
    Ok((Durations::of(durations.0)?, Durations::of(durations.1)?))
}

/// Cuts one tunnel after the other under a stream of frames, and tells how long none arrived.
async fn cut(lab: &Lab, pods: &[(Pod, MacAddress)]) -> Result<Vec<Duration>> {
    let pairs = (0..).flat_map(|distance| {
        (0..pods.len()).map(move |from| (from, (from + distance + 1) % pods.len()))
    });
    let mut outages = Vec::new();
    for (from, to) in pairs.filter(|(from, to)| from != to).take(CUTS.into()) {
        outages.push(cut_between(lab, &pods[from], &pods[to]).await?);
    }
    Ok(outages)
}

async fn cut_between(
    lab: &Lab,
    (from, source): &(Pod, MacAddress),
    (to, destination): &(Pod, MacAddress),
) -> Result<Duration> {
    let receiver = StreamReceiver::start(to.namespace())?;
    let spec = StreamSpec {
        interface: POD_INTERFACE.to_owned(),
        source: *source,
        destination: *destination,
        interval: INTERVAL,
    };
    let stream = Stream::start(from.namespace(), spec)?;
    let id = stream.id();
    let steady = |first: u32| steady_from(&receiver.of(id), first..stream.sent());
    wait::until("frames arrive", PATIENCE, || async { steady(0) }).await?;
    let cut_at = stream.sent();
    lab.set_pair(from.node(), to.node(), false).await?;
    let (lost, restored) = wait::until("frames arrive by another way", PATIENCE, || async {
        let lost = receiver.of(id).lost(cut_at..stream.sent()).first().copied()?;
        Some((lost, steady(lost)?))
    })
    .await?;
    stream.stop();
    ensure!(receiver.overlooked() == 0, "the machine is too busy to see every frame");
    lab.set_pair(from.node(), to.node(), true).await?;
    all_links_work(lab).await?;
    Ok(INTERVAL * (restored - lost))
}

/// The first of the frames since which every one has come, enough of them to be sure.
fn steady_from(received: &Received, mut numbers: Range<u32>) -> Option<u32> {
    let mut first = numbers.start;
    numbers.find_map(|number| {
        if !received.has(number) {
            first = number + 1;
        }
        (number + 1 >= first + STEADY).then_some(first)
    })
}

async fn all_links_work(lab: &Lab) -> Result<()> {
    let channel = lab.channel(&Unit::SdnController(CLUSTER.to_owned()))?;
    wait::holds("all links work", PATIENCE, || async {
        let mut client = FabricServiceClient::new(channel.clone());
        let answer = client.list_links(ListLinksRequest::default()).await;
        let links = answer.map_err(|status| status.to_string())?.into_inner().links;
        match links.iter().find(|link| !link.up) {
            Some(link) => Err(format!("{} to {}", link.source_node, link.target_node)),
            None => Ok(()),
        }
    })
    .await?;
    Ok(())
}

/// Prints what the processes of each program used, and what they did.
fn report(activities: &[Activity]) -> Value {
    let mut programs: BTreeMap<&str, Vec<&Activity>> = BTreeMap::new();
    for activity in activities {
        programs.entry(activity.usage.unit.program()).or_default().push(activity);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "IDLE",
        "PROCESSES",
        "CORES, ALL",
        "MIB, MOST",
        "WAKE-UPS/S, ALL",
        "STATEMENTS",
        "CALLS SERVED",
    ]);
    for (program, activities) in &programs {
        let statements: i64 = activities.iter().flat_map(|of| of.statements.values()).sum();
        let calls: u64 = activities.iter().flat_map(|of| of.calls.values()).sum();
        let usages = || activities.iter().map(|of| &of.usage);
        table.add_row([
            (*program).to_owned(),
            activities.len().to_string(),
            format!("{:.5}", usages().map(|usage| usage.cores).sum::<f64>()),
            format!("{:.1}", usages().map(|usage| usage.memory).fold(0.0, f64::max)),
            format!("{:.1}", usages().map(|usage| usage.wake_ups).sum::<f64>()),
            statements.to_string(),
            calls.to_string(),
        ]);
    }
    println!("\n{table}");
    for Activity { usage, statements, calls } in activities {
        for (statement, runs) in statements {
            println!("  {}: {runs} x {statement}", usage.unit);
        }
        for (method, count) in calls {
            println!("  {}: served {count} x {method}", usage.unit);
        }
    }
    let figures: Vec<_> = activities.iter().map(figures).collect();
    let usages = || activities.iter().map(|of| &of.usage);
    let cores = |is_meant: fn(&Unit) -> bool| -> f64 {
        usages().filter(|usage| is_meant(&usage.unit)).map(|usage| usage.cores).sum()
    };
    let controller = cores(|unit| matches!(unit, Unit::SdnController(_)));
    let agents = cores(|unit| matches!(unit, Unit::SpsAgent(_) | Unit::NedAgent(_)));
    let central =
        cores(|unit| matches!(unit, Unit::SliceManager | Unit::ScoProvider | Unit::InterDomainDns));
    let is_ours = |usage: &&Usage| {
        !matches!(usage.unit, Unit::Postgres | Unit::OvsdbServer(_) | Unit::OvsVswitchd(_))
    };
    let memory = usages().filter(is_ours).map(|usage| usage.memory).fold(0.0, f64::max);
    println!(
        "  cores: the cluster's controller {controller:.5}, its {SWITCHES} agents {agents:.5}, \
         the services for all clusters {central:.5} (goal: {MOST_CORES} each)"
    );
    println!("  most memory of one service: {memory:.1} MiB (goal: {MOST_MEMORY:.0})");
    json!({
        "controller_cores": controller, "agents_cores": agents, "central_cores": central,
        "most_memory_mib": memory, "processes": figures,
    })
}

fn figures(Activity { usage, statements, calls }: &Activity) -> Value {
    json!({
        "process": usage.unit.to_string(), "cores": usage.cores, "memory_mib": usage.memory,
        "wake_ups_per_second": usage.wake_ups, "statements": statements, "calls_served": calls,
    })
}
