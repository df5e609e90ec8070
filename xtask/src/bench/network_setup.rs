//! The time until a new network is live on two switches: ours beside OVN's.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    figures::Durations,
    networks::{self, Networks, PortName},
};
use crate::{narrator::Narrator, workspace};

/// Background networks made at the same time.
const AT_ONCE: usize = 16;
/// The nodes that every network has a port on.
const NODES: [&str; 2] = ["a1", "a2"];

pub(super) async fn run(
    binaries: &Path,
    rounds: u16,
    backgrounds: [u16; 2],
    narrator: &Narrator,
) -> Result<Value> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["MS", "BACKGROUND NETWORKS", "MIN", "MEDIAN", "90 %", "MAX", "RATIO"]);
    let mut figures = Vec::new();
    for background in backgrounds {
        let what = format!("{rounds} networks beside {background} others");
        narrator.chapter(&format!("Network set-up on two switches, ours: {what}"));
        let ours = Durations::of(ours(binaries, rounds, background, narrator).await?)?;
        narrator.chapter(&format!("Network set-up on two switches, OVN: {what}"));
        let ovn = Durations::of(ovn(rounds, background).await?)?;
        let ratio = ovn.median() / ours.median();
        let row = |whose: &str, durations: &Durations, ratio: String| {
            let mut row = vec![whose.to_owned(), background.to_string()];
            row.extend(durations.row());
            row.push(ratio);
            row
        };
        table.add_row(row("OVN", &ovn, String::new()));
        table.add_row(row("ours", &ours, format!("{ratio:.1} times as fast")));
        figures.push(json!({
            "background_networks": background,
            "ours": ours.json(), "ovn": ovn.json(), "ovn_median_to_ours": ratio,
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

async fn ours(
    binaries: &Path,
    rounds: u16,
    background: u16,
    narrator: &Narrator,
) -> Result<Vec<Duration>> {
    let lab = networks::lab(&"a=a1,a2".parse()?, binaries, narrator).await?;
    networks::make_interfaces(&lab, background + rounds).await?;

    let networks = Networks::open(&lab)?;
    stream::iter(0..background)
        .map(|number| networks.create(number, &NODES))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut watch = networks.watch().await?;
    watch.wait_for((0..background).flat_map(port_names).collect()).await?;
    let mut durations = Vec::new();
    for number in background..background + rounds {
        let start = Instant::now();
        networks.create(number, &NODES).await?;
        watch.wait_for(port_names(number).into()).await?;
        durations.push(start.elapsed());
    }
    lab.down().await?;
    Ok(durations)
}

fn port_names(number: u16) -> [PortName; 2] {
    NODES.map(|node| (format!("n{number}"), node.to_owned()))
}
