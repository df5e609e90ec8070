//! How long a node takes to attach pods, by the real network plugin and all that it asks: beside plugins
//! that ask nobody, from the CNI project, which make a pair of interfaces into a bridge of the kernel and
//! choose an address.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use comfy_table::{Table, presets};
use futures::future::try_join_all;
use integration_tests::container_runtime::{Call, Runtime, Sandbox};
use l2sces_lab::LabOptions;
use serde_json::{Value, json};

use crate::{durations::Durations, narrator::Narrator};

/// The node.
const NODE: &str = "a1";
/// Where Debian has the plugins of the CNI project.
const OTHERS: &str = "/usr/lib/cni";

/// Whose plugin is called.
#[derive(Clone, Copy)]
enum Plugin {
    Ours,
    Bridge,
}

pub(super) async fn run(
    binaries: &Path,
    rounds: u16,
    crowd: u16,
    narrator: &Narrator,
) -> Result<Value> {
    narrator.chapter(&format!("Pods attached on one node: {rounds} in turn, {crowd} at once"));
    let options = LabOptions {
        binaries: Some(binaries.to_owned()),
        log_filter: "warn".to_owned(),
        ..LabOptions::default()
    };
    let runtime = Runtime::up_with(options).await?;
    let ours = pods(&runtime, "ours", rounds + crowd).await?;
    let bridge = pods(&runtime, "bridge", rounds + crowd).await?;

    // In turn, so that both meet the same machine.
    let mut single = (Vec::new(), Vec::new());
    let rounds = usize::from(rounds);
    for (ours, bridge) in ours[..rounds].iter().zip(&bridge) {
        single.0.push(attach(&runtime, Plugin::Ours, ours).await?);
        single.1.push(attach(&runtime, Plugin::Bridge, bridge).await?);
    }
    let crowd = (
        attach_all(&runtime, Plugin::Ours, &ours[rounds..]).await?,
        attach_all(&runtime, Plugin::Bridge, &bridge[rounds..]).await?,
    );
    let detaching = ours.iter().map(|sandbox| runtime.detach(sandbox));
    try_join_all(detaching).await?;
    runtime.only(&[]).await?;
    runtime.down().await?;

    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["MS", "MIN", "P50", "P99", "MAX", "P50 TO BRIDGE'S"]);
    let mut figures = json!({});
    for (what, (ours, bridge)) in [("in turn", single), ("at once", crowd)] {
        let (ours, bridge) = (Durations::of(ours)?, Durations::of(bridge)?);
        let ratio = ours.median() / bridge.median();
        let mut row = |whose: &str, durations: &Durations, ratio: String| {
            let mut row = vec![format!("{whose}: {} {what}", durations.count())];
            let shares = [0.0, 0.5, 0.99, 1.0];
            row.extend(shares.map(|share| format!("{:.1}", durations.quantile(share))));
            row.push(ratio);
            table.add_row(row);
        };
        row("bridge and host-local", &bridge, String::new());
        row("ours", &ours, format!("{ratio:.1}"));
        figures[what] = json!({
            "ours": ours.json(), "bridge": bridge.json(), "ours_median_to_bridge": ratio,
        });
    }
    println!("\n{table}");
    Ok(figures)
}

/// Pods that wait to be attached.
async fn pods(runtime: &Runtime, name: &str, count: u16) -> Result<Vec<Sandbox>> {
    let names: Vec<_> = (0..count).map(|number| format!("{name}-{number}")).collect();
    runtime.pods(NODE, &names, Some("blue")).await
}

/// Attaches pods at the same time; how long each took.
async fn attach_all(
    runtime: &Runtime,
    plugin: Plugin,
    sandboxes: &[Sandbox],
) -> Result<Vec<Duration>> {
    try_join_all(sandboxes.iter().map(|sandbox| attach(runtime, plugin, sandbox))).await
}

/// Attaches a pod; how long the plugin took.
async fn attach(runtime: &Runtime, plugin: Plugin, sandbox: &Sandbox) -> Result<Duration> {
    let add = Call::about(sandbox, "ADD");
    let (call, configuration) = match plugin {
        Plugin::Ours => (add, runtime.alone(NODE, "1.0.0")?),
        Plugin::Bridge => {
            let call = add.of(Path::new(OTHERS), "bridge");
            (call, bridge(&runtime.lab.layout().directory))
        }
    };
    let begun = Instant::now();
    runtime.succeed(&call, &configuration).await?;
    Ok(begun.elapsed())
}

/// The configuration of the plugin `bridge`, which keeps its addresses in a directory.
fn bridge(directory: &Path) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "bridge": "cni0",
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.0.0/16" }]],
            "dataDir": directory.join("host-local"),
        },
    })
}
