//! Flow-mods per second into one Open vSwitch: ours, encoding included and as a controller sends many,
//! beside the limit.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use l2sces_lab::{Lab, LabOptions, command};
use serde_json::{Value, json};

use super::flow_mod_limit;
use crate::{
    narrator::Narrator,
    workspace::{self, Profile, cargo},
};

/// Runs of each, in turn, so that both meet the same machine.
const RUNS: usize = 5;

pub(super) async fn run(
    profile: Profile,
    binaries: &Path,
    flows: u32,
    narrator: &Narrator,
) -> Result<Value> {
    narrator.chapter(&format!("Flow-mods per second, {flows} flows, {RUNS} runs of each in turn"));
    let mut build = cargo()?;
    build.args(["build", "--quiet", "--package", "l2sces-southbound"]).args(profile.flag());
    workspace::run(build.args(["--example", "flow_mod_rate"])).await?;
    let program = binaries.join("examples/flow_mod_rate");

    let options = LabOptions { services: false, ..LabOptions::default() };
    let lab = Lab::up(&"a=a1".parse()?, options).await?;
    let node = lab.node("a1")?;
    node.vsctl([
        "add-br",
        "br0",
        "--",
        "set",
        "Bridge",
        "br0",
        "datapath_type=netdev",
        "fail_mode=secure",
    ])
    .await?;
    let socket = node.openflow("br0");
    let path = socket.trim_start_matches("unix:").to_owned();
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        let path = path.clone();
        let limit =
            tokio::task::spawn_blocking(move || flow_mod_limit::measure(Path::new(&path), flows));
        let limit = limit.await??;
        rates.entry(("add", "limit")).or_default().push(limit.add);
        rates.entry(("delete", "limit")).or_default().push(limit.delete);
        let mut ours = command::command(&program);
        ours.args(["--monitor", "--connect", &socket, "--flows", &flows.to_string()]);
        let said = command::run(&mut ours).await?;
        rates.entry(("add", "ours")).or_default().push(rate(&said, "add")?);
        rates.entry(("delete", "ours")).or_default().push(rate(&said, "delete_strict")?);
    }
    lab.down().await?;

    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["FLOW-MODS/S", "OURS", "THE SWITCH'S LIMIT", "RATIO", "GOAL"]);
    let mut figures = json!({ "flows": flows, "runs": RUNS });
    for kind in ["add", "delete"] {
        let [ours, limit] = ["ours", "limit"].map(|whose| median(rates.get(&(kind, whose))));
        let ratio = ours / limit;
        table.add_row([
            kind.to_owned(),
            format!("{ours:.0}"),
            format!("{limit:.0}"),
            format!("{ratio:.2}"),
            "0.80".to_owned(),
        ]);
        figures[kind] = json!({
            "ours_per_second": ours, "limit_per_second": limit, "ratio": ratio,
        });
    }
    println!("\n{table}");
    Ok(figures)
}

/// Reads "flow_mods_per_second KIND RATE flows N".
fn rate(text: &str, kind: &str) -> Result<f64> {
    text.lines()
        .find_map(|line| {
            let rest = line.strip_prefix("flow_mods_per_second ")?;
            rest.strip_prefix(kind)?.split_whitespace().next()?.parse().ok()
        })
        .with_context(|| format!("no rate of {kind} in {text:?}"))
}

fn median(rates: Option<&Vec<f64>>) -> f64 {
    let mut sorted = rates.cloned().unwrap_or_default();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
