//! How many flow-mods per second one switch takes from this library, encoding included.

use std::{path::PathBuf, time::Instant};

use clap::Parser;
use l2sces_model::MacAddress;
use l2sces_openflow::{Action, Change, Flow, FlowKey, Instruction, Match};
use l2sces_southbound::{SessionConfig, SwitchConnection, connect_unix};

/// Adds flows (metadata, eth_dst -> output) to a switch and deletes them one by one; prints
/// `flow_mods_per_second add|delete_strict RATE flows N`.
#[derive(Parser)]
struct Args {
    /// Management socket of the bridge, as unix:PATH.
    #[arg(long, value_parser = socket)]
    connect: PathBuf,
    /// How many flows.
    #[arg(long, default_value_t = 50_000)]
    flows: u32,
    /// Have the switch tell of the changes of others, but not while these are made, as a controller
    /// does when it makes many.
    #[arg(long)]
    monitor: bool,
}

fn socket(text: &str) -> Result<PathBuf, String> {
    text.strip_prefix("unix:").map(PathBuf::from).ok_or_else(|| "must begin with unix:".to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let switch = connect_unix(args.connect, SessionConfig::default()).await?;
    if args.monitor {
        switch.handle.monitor_flows().await?;
    }
    let flows: Vec<Flow> = (0..args.flows).map(flow).collect();
    let deletions = flows.iter().map(|flow| Change::DeleteFlow(flow.key.clone())).collect();
    let additions = flows.into_iter().map(Change::AddFlow).collect();
    measure(&switch, "add", additions, args.monitor).await?;
    measure(&switch, "delete_strict", deletions, args.monitor).await
}

async fn measure(
    switch: &SwitchConnection,
    name: &str,
    changes: Vec<Change>,
    monitor: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let count = changes.len();
    let start = Instant::now();
    if monitor {
        switch.handle.cancel_monitor().await?;
    }
    let applied = switch.handle.apply(changes).await?;
    if monitor {
        switch.handle.monitor_flows().await?;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    if let Some((index, error)) = applied.errors.first() {
        return Err(format!("flow {index}: {error}").into());
    }
    #[allow(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!("flow_mods_per_second {name} {rate:.0} flows {count}");
    }
    Ok(())
}

fn flow(number: u32) -> Flow {
    let [a, b, c, d] = number.to_be_bytes();
    let matching = Match::any().metadata(7, u64::MAX).eth_dst(MacAddress::new([2, 0, a, b, c, d]));
    Flow {
        key: FlowKey { table: 5, priority: 100, matching },
        cookie: 1,
        idle_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![Action::Output(1)])],
    }
}
