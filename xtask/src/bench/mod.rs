//! `cargo xtask bench`: our figures beside those of others, from one run on one machine.

mod activity;
mod attachments;
mod flow_mod_limit;
mod flow_mods;
mod model;
mod network_setup;
mod numbered;
mod switches;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use l2sces_lab::{packages, require_root};
use serde_json::Value;

use crate::{
    narrator::Narrator,
    workspace::{self, Profile},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Networks made, or ports or pods attached, one after the other, each timed
    #[arg(long, default_value_t = 30)]
    rounds: u16,
    /// Networks that exist beforehand in the second part of the comparison
    #[arg(long, default_value_t = 500)]
    background: u16,
    /// Pods attached at the same time
    #[arg(long, default_value_t = 200)]
    crowd: u16,
    /// Flows added, and deleted one by one
    #[arg(long, default_value_t = 50_000)]
    flows: u32,
    /// Measure debug builds: for trying the benchmarks out, the figures mean nothing
    #[arg(long)]
    dev: bool,
    /// Only this benchmark
    #[arg(long)]
    only: Option<Benchmark>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Benchmark {
    /// Network set-up on two switches, beside OVN's
    NetworkSetup,
    /// Flow-mods per second, beside the switch's own limit
    FlowMods,
    /// The core with 1,000 switches and up to 10,000 networks
    Model,
    /// Pods attached by the network plugin on one node, beside other plugins
    Attachments,
    /// A dozen real switches: ports, repairs, and what everything uses while idle
    Switches,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    require_root()?;
    for packages in [packages::LAB, packages::PROBES, packages::OVN] {
        workspace::ensure_packages(packages).await?;
    }
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    println!("Building (the first time takes some minutes) ...");
    let binaries = workspace::build(profile).await?;
    let narrator = Narrator::new();
    let wanted = |benchmark| args.only.is_none_or(|only| only == benchmark);
    if wanted(Benchmark::FlowMods) {
        let result = flow_mods::run(profile, &binaries, args.flows, &narrator).await?;
        write("flow_mods", &result)?;
    }
    if wanted(Benchmark::Model) {
        let result = model::run(profile, &binaries, &narrator).await?;
        write("model", &result)?;
    }
    if wanted(Benchmark::Switches) {
        let result = switches::run(&binaries, args.rounds, &narrator).await?;
        write("switches", &result)?;
    }
    if wanted(Benchmark::Attachments) {
        workspace::ensure_kubernetes().await?;
        let result = attachments::run(&binaries, args.rounds, args.crowd, &narrator).await?;
        write("attachments", &result)?;
    }
    if wanted(Benchmark::NetworkSetup) {
        let backgrounds = [0, args.background];
        let result = network_setup::run(&binaries, args.rounds, backgrounds, &narrator).await?;
        write("network_setup", &result)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes figures to target/bench/NAME.json.
fn write(name: &str, figures: &Value) -> Result<()> {
    let directory = workspace::target()?.join("bench");
    let path = directory.join(name).with_extension("json");
    let text = serde_json::to_string_pretty(figures)?;
    let write = |path: &Path| fs::create_dir_all(&directory).and_then(|()| fs::write(path, text));
    write(&path).with_context(|| format!("write {}", path.display()))?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
