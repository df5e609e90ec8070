//! The time until a new network is live on two switches: ours beside OVN's.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use futures::{
    StreamExt, TryFutureExt, TryStreamExt,
    future::{try_join, try_join_all},
    stream,
};
use l2sces_lab::{Lab, probe::first_reply};
use l2sces_model::MacAddress;
use serde_json::{Value, json};
use tokio::process::Command;

use super::numbered::{self, ConfirmedPorts, port_name};
use crate::{
    durations::Durations,
    narrator::Narrator,
    networks::{Attached, Member, Networks, PATIENCE, POD_INTERFACE, PortName},
    workspace,
};

/// Background networks made at the same time.
const AT_ONCE: usize = 16;
/// How many times as fast as OVN ours is to be, by the number of background networks.
const GOALS: [f64; 2] = [5.0, 50.0];
/// Networks made with pods, each pinged through.
const PINGS: u16 = 10;
const PING_INTERVAL: Duration = Duration::from_millis(2);
const ADDRESSES: &str = "10.1.0.0/24";
/// The nodes that every network has a port on.
const NODES: [&str; 2] = ["a1", "a2"];

/// How long ours took, by what it was waited for.
struct Ours {
    /// Until both switches had confirmed the flows: what OVN is asked for.
    confirmed: Durations,
    /// Until whoever asked could read that both ports are ready.
    ready: Durations,
    /// With pods whose interfaces had to be made: until a ping from one to the other was answered.
    pinged: Durations,
}

pub(super) async fn run(
    binaries: &Path,
    rounds: u16,
    backgrounds: [u16; 2],
    narrator: &Narrator,
) -> Result<Value> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "MS",
        "BACKGROUND NETWORKS",
        "MIN",
        "MEDIAN",
        "90 %",
        "MAX",
        "RATIO",
        "GOAL",
    ]);
    let mut figures = Vec::new();
    for (background, goal) in backgrounds.into_iter().zip(GOALS) {
        let what = format!("{rounds} networks beside {background} others");
        narrator.chapter(&format!("Network set-up on two switches, ours: {what}"));
        let ours = ours(binaries, rounds, background, narrator).await?;
        narrator.chapter(&format!("Network set-up on two switches, OVN: {what}"));
        let ovn = Durations::of(ovn(rounds, background).await?)?;
        let ratio = ovn.median() / ours.confirmed.median();
        let mut row = |what: &str, durations: &Durations, [ratio, goal]: [String; 2]| {
            let mut row = vec![what.to_owned(), background.to_string()];
            row.extend(durations.row());
            row.extend([ratio, goal]);
            table.add_row(row);
        };
        row("OVN: flows confirmed", &ovn, Default::default());
        let compared = [format!("{ratio:.1} times as fast"), format!("{goal:.0}")];
        row("ours: flows confirmed", &ours.confirmed, compared);
        row("ours: both ports Ready", &ours.ready, Default::default());
        row("ours: two new pods ping", &ours.pinged, Default::default());
        figures.push(json!({
            "background_networks": background,
            "ours_to_flows_confirmed": ours.confirmed.json(),
            "ours_to_ready": ours.ready.json(),
            "ours_to_first_ping_of_new_pods": ours.pinged.json(),
            "ovn_to_flows_confirmed": ovn.json(),
            "ovn_median_to_ours": ratio,
        }));
    }
    println!("\n{table}");
    Ok(Value::from(figures))
}

async fn ovn(rounds: u16, background: u16) -> Result<Vec<Duration>> {
    let script = workspace::root().join("xtask/bench/ovn_network_setup.sh");
    // It cleans up after itself, so it is not to be killed when this is interrupted.
    let output = Command::new("bash")
        .arg(&script)
        .args([rounds.to_string(), background.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("run {}", script.display()))?;
    if !output.status.success() {
        bail!("{}: {}", script.display(), output.status);
    }
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| Ok(Duration::from_micros(line.parse()?)))
        .collect()
}

async fn ours(binaries: &Path, rounds: u16, background: u16, narrator: &Narrator) -> Result<Ours> {
    let lab = numbered::lab(&"a=a1,a2".parse()?, binaries, narrator).await?;
    numbered::make_interfaces(&lab, background + rounds).await?;

    let networks = Networks::open(&lab)?;
    stream::iter(0..background)
        .map(|number| numbered::create(&networks, number, &NODES))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut ready = networks.watch().await?;
    ready.wait_for((0..background).flat_map(port_names)).await?;
    let mut confirmed = ConfirmedPorts::watch(&lab).await?;
    let mut durations = (Vec::new(), Vec::new());
    for number in background..background + rounds {
        let start = Instant::now();
        let (created, confirmed, ready) = tokio::join!(
            numbered::create(&networks, number, &NODES),
            confirmed.wait_for(port_names(number)),
            ready.wait_for(port_names(number)),
        );
        created?;
        durations.0.push(confirmed? - start);
        durations.1.push(ready? - start);
    }
    let mut pinged = Vec::new();
    for number in background + rounds..background + rounds + PINGS {
        pinged.push(ping(&lab, &networks, number).await?);
    }
    lab.down().await?;
    Ok(Ours {
        confirmed: Durations::of(durations.0)?,
        ready: Durations::of(durations.1)?,
        pinged: Durations::of(pinged)?,
    })
}

/// Makes a network with a new pod on each node, and pings from one to the other until the first
/// answer.
async fn ping(lab: &Lab, networks: &Networks, number: u16) -> Result<Duration> {
    let mut pods = Vec::new();
    for (host, node) in (1..).zip(NODES) {
        let pod = lab.pod(node, &format!("{node}-{number}")).await?;
        let member = Member {
            mac: MacAddress::new([2, 1, 0, 0, 0, host]),
            address: Some(Ipv4Addr::new(10, 1, 0, host)),
        };
        pods.push((node, pod, member));
    }
    let (_, from, _) = pods.first().context("no pod")?;
    let destination = Ipv4Addr::new(10, 1, 0, 2);
    let start = Instant::now();
    let create = async {
        networks.create(&numbered::network_name(number), ADDRESSES).await?;
        let attach = pods.iter().map(|(node, pod, member)| async {
            let name = port_name(number, node);
            networks.attach(&name, node, Attached::Namespace(pod), *member).await
        });
        try_join_all(attach).await?;
        Ok(())
    };
    let answer = first_reply(from.namespace(), POD_INTERFACE, destination, PING_INTERVAL, PATIENCE);
    let (answered, ()) = try_join(answer.map_err(anyhow::Error::from), create).await?;
    for (_, pod, _) in &pods {
        lab.delete_pod(pod)?;
    }
    Ok(answered - start)
}

fn port_names(number: u16) -> [PortName; 2] {
    NODES.map(|node| port_name(number, node))
}
