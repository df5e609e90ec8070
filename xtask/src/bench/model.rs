//! The core at scale: what one change costs as the rest grows.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use l2sces_lab::command;
use serde_json::{Value, json};

use crate::{
    narrator::Narrator,
    workspace::{self, Profile, cargo},
};

const SWITCHES: u32 = 1000;
const PORTS_PER_NETWORK: u32 = 10;
/// Numbers of networks, the first of which is what the others are compared with.
const NETWORKS: [u32; 3] = [1000, 3000, 10_000];
/// Changes of each kind.
const ROUNDS: u32 = 500;
/// The figures that must not grow with the networks.
const CHANGES: [&str; 6] =
    ["attach_p50_us", "attach_p99_us", "cut_p50_us", "cut_p99_us", "heal_p50_us", "heal_p99_us"];

pub(super) async fn run(profile: Profile, binaries: &Path, narrator: &Narrator) -> Result<Value> {
    let mut build = cargo()?;
    build.args(["build", "--quiet", "--package", "l2sces-fabric"]).args(profile.flag());
    workspace::run(build.args(["--example", "model_scale"])).await?;
    let program = binaries.join("examples/model_scale");
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = ["NETWORKS", "PORTS", "BUILD S", "RSS MIB"].map(str::to_owned);
    table.set_header(heads.into_iter().chain(CHANGES.map(|change| format!("{change} (RATIO)"))));
    let mut sizes = Vec::new();
    let mut first: Option<BTreeMap<String, f64>> = None;
    for networks in NETWORKS {
        narrator.chapter(&format!("The core with {SWITCHES} switches and {networks} networks"));
        let mut model = command::command(&program);
        model.args([SWITCHES, networks, PORTS_PER_NETWORK, ROUNDS].map(|n| n.to_string()));
        let figures = parse(&command::run(&mut model).await?)?;
        let base = first.get_or_insert_with(|| figures.clone());
        let figure = |name: &str| figures.get(name).copied().unwrap_or(f64::NAN);
        let mut row = vec![networks.to_string(), format!("{:.0}", figure("ports"))];
        row.push(format!("{:.1}", figure("build_ms") / 1e3));
        row.push(format!("{:.0}", figure("rss_mib")));
        row.extend(CHANGES.map(|change| {
            let ratio = figure(change) / base.get(change).copied().unwrap_or(f64::NAN);
            format!("{:.0} ({ratio:.2})", figure(change))
        }));
        table.add_row(row);
        sizes.push(json!({ "networks": networks, "figures": figures }));
    }
    println!("\n{table}");

    Ok(json!({ "switches": SWITCHES, "sizes": sizes }))
}

/// Reads "NAME VALUE" lines.
fn parse(text: &str) -> Result<BTreeMap<String, f64>> {
    let figure = |line: &str| -> Result<(String, f64)> {
        let (name, value) = line.split_once(' ').with_context(|| format!("no figure: {line:?}"))?;
        Ok((name.to_owned(), value.parse()?))
    };
    text.lines().map(figure).collect()
}
