//! `cargo xtask demo`: the main job of l2sces, shown in under a minute.

mod checks;
mod removal;

use std::{net::Ipv4Addr, process::ExitCode};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, LabOptions, Pod, Topology, packages, require_root};
use l2sces_model::MacAddress;

use crate::{
    cli::{Cli, attach_port, words},
    lab,
    narrator::Narrator,
    site::{Compose, Site},
    verdict::Verdicts,
    workspace::{self, Profile},
};

/// The slice of the demo.
const SLICE: &str = "s1";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave everything running, and print what to try next
    #[arg(long)]
    keep: bool,
    /// In the containers of docker-compose.yml instead of a lab; needs Docker, on this machine
    #[arg(long)]
    compose: bool,
}

/// A network of the demo with a pod on every node.
struct Network {
    name: &'static str,
    members: Vec<Member>,
}

/// A pod in a network.
struct Member {
    pod: Pod,
    address: Ipv4Addr,
    mac: MacAddress,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    require_root()?;
    workspace::ensure_packages(packages::LAB).await?;
    workspace::ensure_packages(packages::PROBES).await?;
    if args.compose {
        return tell_in_containers(&Narrator::new(), args.keep).await;
    }
    println!("Building (the first time takes some minutes) ...");
    let binaries = workspace::build(Profile::Dev).await?;

    let narrator = Narrator::new();
    narrator.chapter("Bringing up two clusters of two nodes: an Open vSwitch each, our services");
    let options = LabOptions {
        binaries: Some(binaries),
        detached: args.keep,
        link: if args.keep { Some(lab::default_path()?) } else { None },
        ..LabOptions::default()
    };
    tell(Lab::up(&Topology::two_clusters(), options).await?, &narrator, args.keep).await
}

/// The demo in the containers of docker-compose.yml.
pub(crate) async fn tell_in_containers(narrator: &Narrator, keep: bool) -> Result<ExitCode> {
    narrator.chapter("Bringing up the containers of docker-compose.yml");
    tell(Compose::up().await?, narrator, keep).await
}

/// Tells the whole story, and takes the site down unless it is kept.
async fn tell(site: impl Site, narrator: &Narrator, keep: bool) -> Result<ExitCode> {
    for node in site.nodes() {
        narrator.say(&format!("cluster {}  {}  {}", node.cluster, node.name, node.description));
    }
    let mut verdicts = Verdicts::default();
    if let Err(error) = tell_story(&site, narrator, keep, &mut verdicts).await {
        print_warnings(&site).await?;
        site.down().await?;
        return Err(error);
    }
    if !verdicts.all_hold() {
        print_warnings(&site).await?;
    }
    if keep {
        print_summary(narrator, &verdicts);
        println!("\nIt is all still running. Try:\n{}", site.suggestions());
    } else {
        narrator.chapter("Taking it down");
        let down = site.down().await.map(str::to_owned);
        verdicts.record("nothing is left of what ran", down);
        print_summary(narrator, &verdicts);
    }
    Ok(verdicts.exit_code())
}

async fn tell_story(
    site: &impl Site,
    narrator: &Narrator,
    keep: bool,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let cli = Cli::new(site, narrator);
    let tables_before = site.table_rows().await?;
    narrator.chapter("Registering the clusters");
    site.register(narrator).await?;
    narrator.chapter("Creating a slice across both");
    let clusters: Vec<_> =
        site.clusters().iter().map(|cluster| format!("--cluster {cluster}")).collect();
    cli.run(&words(&format!("slice create {SLICE} {}", clusters.join(" ")))).await?;

    let mut networks = Vec::new();
    for name in ["blue", "red"] {
        narrator.chapter(&format!("Creating network {name} with a pod on every node"));
        networks.push(create_network(site, &cli, name).await?);
    }
    let [blue, red] = &networks[..] else { unreachable!("two networks were created") };

    narrator.chapter("Who reaches whom");
    for network in [blue, red] {
        verdicts.record(
            &format!("every pod of {} reaches every other", network.name),
            checks::reachability(network, narrator).await,
        );
    }
    narrator.chapter("Isolation: forged frames, floods and VLAN tags from every pod");
    for (from, to) in [(blue, red), (red, blue)] {
        verdicts.record(
            &format!("nothing of {} arrives in {}", from.name, to.name),
            checks::isolation(from, to, narrator).await,
        );
    }
    narrator.chapter("A ping to the broadcast address");
    for network in [blue, red] {
        verdicts.record(
            &format!("every member of {} answers a broadcast", network.name),
            checks::broadcast(network, narrator).await,
        );
    }
    narrator.chapter("A multicast stream to 239.94.1.1 in each network at once");
    verdicts.record(
        "multicast reaches every member and nobody else",
        checks::multicast(blue, red, narrator).await,
    );
    narrator.chapter("Names");
    verdicts.record("names resolve", checks::names(site, &networks, narrator).await);
    narrator.chapter("A third network, against the clock");
    verdicts.record(
        "create network to first ping answered, across clusters",
        checks::time_to_first_ping(site, narrator).await,
    );
    if !keep {
        narrator.chapter("Deleting everything");
        removal::delete_everything(site, &cli).await?;
        verdicts.record(
            "nothing is left of slice, networks and clusters",
            removal::nothing_is_left(site, &tables_before, &networks, narrator).await,
        );
    }
    Ok(())
}

/// Creates a network and attaches a pod on every node to it. Addresses and MAC addresses are the
/// same in every network.
async fn create_network<S: Site>(
    site: &S,
    cli: &Cli<'_, S>,
    name: &'static str,
) -> Result<Network> {
    cli.run(&words(&format!("network create {name} --slice {SLICE} --cidr 10.1.0.0/24"))).await?;
    let mut members = Vec::new();
    for (cluster, number) in site.clusters().iter().zip(1_u8..) {
        let nodes = site.nodes().into_iter().filter(|node| node.cluster == *cluster);
        for (node, last) in nodes.zip(10 * number + 1..) {
            let pod = site.pod(&node.name, &format!("{name}-{}", node.name)).await?;
            let address = Ipv4Addr::new(10, 1, 0, last);
            let mac = MacAddress::new([2, 0, 0, 0, 0, last]);
            let line = attach_port(site, &pod, name, &address.to_string(), &mac.to_string())?;
            cli.run(&line).await?;
            members.push(Member { pod, address, mac });
        }
    }
    Ok(Network { name, members })
}

fn print_summary(narrator: &Narrator, verdicts: &Verdicts) {
    let headline = if verdicts.all_hold() { "All of it held" } else { "NOT all of it held" };
    narrator.chapter(headline);
    println!("\n{verdicts}");
}

/// What the services warned of, for the person who sees the demo fail.
async fn print_warnings(site: &impl Site) -> Result<()> {
    for warning in site.warnings().await? {
        println!("{warning}");
    }
    Ok(())
}

impl Network {
    /// The first member: the one that sends where one is enough.
    fn first(&self) -> Result<(&Member, &[Member])> {
        self.members.split_first().with_context(|| format!("{} has no members", self.name))
    }
}
