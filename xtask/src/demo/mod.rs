//! `cargo xtask demo`: the main job of l2sces, shown in under a minute.

mod checks;
mod removal;

use std::{net::Ipv4Addr, process::ExitCode};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, LabOptions, Pod, Topology, packages, require_root};
use l2sces_model::MacAddress;

use crate::{
    cli::{Cli, attach_port, create_cluster, words},
    lab,
    narrator::Narrator,
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
    let lab = Lab::up(&Topology::two_clusters(), options).await?;
    introduce(&lab, &narrator);

    let mut verdicts = Verdicts::default();
    let told = tell(&lab, &narrator, args.keep, &mut verdicts).await;
    if let Err(error) = told {
        print_warnings(&lab);
        lab.down().await?;
        return Err(error);
    }
    if !verdicts.all_hold() {
        print_warnings(&lab);
    }
    if args.keep {
        print_summary(&narrator, &verdicts);
        print_next(&lab);
    } else {
        narrator.chapter("Taking the lab down");
        let down = lab.down().await.map(|()| "no process, namespace or file".to_owned());
        verdicts.record("nothing is left of the lab", down.map_err(|error| error.to_string()));
        print_summary(&narrator, &verdicts);
    }
    Ok(verdicts.exit_code())
}

fn introduce(lab: &Lab, narrator: &Narrator) {
    for cluster in &lab.layout().clusters {
        for node in &cluster.nodes {
            let role = match &node.gateway {
                Some(gateway) => format!("gateway, WAN address {}", gateway.wan_address),
                None => "node".to_owned(),
            };
            narrator.say(&format!(
                "cluster {}  {}  underlay address {}  {role}",
                cluster.name, node.name, node.underlay_address
            ));
        }
    }
}

async fn tell(lab: &Lab, narrator: &Narrator, keep: bool, verdicts: &mut Verdicts) -> Result<()> {
    let cli = Cli::new(lab, narrator);
    let tables_before = lab.table_rows().await?;
    narrator.chapter("Registering the clusters");
    for cluster in &lab.layout().clusters {
        cli.run(&create_cluster(cluster)).await?;
    }
    narrator.chapter("Creating a slice across both");
    let clusters: Vec<_> =
        lab.layout().clusters.iter().map(|cluster| format!("--cluster {}", cluster.name)).collect();
    cli.run(&words(&format!("slice create {SLICE} {}", clusters.join(" ")))).await?;

    let mut networks = Vec::new();
    for name in ["blue", "red"] {
        narrator.chapter(&format!("Creating network {name} with a pod on every node"));
        networks.push(create_network(lab, &cli, name).await?);
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
    verdicts.record("names resolve", checks::names(lab, &networks, narrator).await);
    narrator.chapter("A third network, against the clock");
    verdicts.record(
        "create network to first ping answered, across clusters",
        checks::time_to_first_ping(lab, narrator).await,
    );
    if !keep {
        narrator.chapter("Deleting everything");
        removal::delete_everything(lab, &cli).await?;
        verdicts.record(
            "nothing is left of slice, networks and clusters",
            removal::nothing_is_left(lab, &tables_before, &networks, narrator).await,
        );
    }
    Ok(())
}

/// Creates a network and attaches a pod on every node to it. Addresses and MAC addresses are the
/// same in every network.
async fn create_network(lab: &Lab, cli: &Cli<'_>, name: &'static str) -> Result<Network> {
    cli.run(&words(&format!("network create {name} --slice {SLICE} --cidr 10.1.0.0/24"))).await?;
    let mut members = Vec::new();
    for (cluster, number) in lab.layout().clusters.iter().zip(1_u8..) {
        for (node, last) in cluster.nodes.iter().zip(10 * number + 1..) {
            let pod = lab.pod(&node.name, &format!("{name}-{}", node.name)).await?;
            let address = Ipv4Addr::new(10, 1, 0, last);
            let mac = MacAddress::new([2, 0, 0, 0, 0, last]);
            let line = attach_port(lab, &pod, name, &address.to_string(), &mac.to_string())?;
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
fn print_warnings(lab: &Lab) {
    for process in lab.processes() {
        let Ok(log) = lab.log(&process.spec.unit) else { continue };
        let is_warning = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        let warnings: Vec<_> = log.lines().filter(is_warning).collect();
        for warning in &warnings[warnings.len().saturating_sub(5)..] {
            println!("{}: {warning}", process.spec.unit);
        }
    }
}

fn print_next(lab: &Lab) {
    let layout = lab.layout();
    let (dns, prefix) = (layout.control.dns.ip(), layout.prefix());
    println!(
        "\nIt is all still running. Try:\n
  cargo xtask lab status
  cargo xtask lab exec -- l2sces port list --slice {SLICE} --network blue
  cargo xtask lab exec --in blue-a1 -- ping -c 3 10.1.0.22
  cargo xtask lab exec --in a1 -- tcpdump -ni br-wan udp            # the tunnel between the clusters
  cargo xtask lab exec -- dig @{dns} b2.b.blue.{SLICE}.inter.l2sces
  cargo xtask lab restart sdn-controller-a                          # kill -9, then start again

  cargo xtask lab pod --node b1 mine
  cargo xtask lab exec -- l2sces port attach mine --slice {SLICE} --network blue --cluster b \\
      --node b1 --namespace /run/netns/{prefix}p-mine

  cargo xtask lab exec -- sh -c 'buf curl --protocol grpc \\
      --cacert $L2SCES_TLS_CA --cert $L2SCES_TLS_CERT --key $L2SCES_TLS_KEY \\
      $L2SCES_ENDPOINT/l2sces.slice.v1.NetworkService/ListNetworks'
  cargo xtask lab exec -- sh -c 'grpcurl \\
      -cacert $L2SCES_TLS_CA -cert $L2SCES_TLS_CERT -key $L2SCES_TLS_KEY \\
      ${{L2SCES_ENDPOINT#https://}} list'

  cargo xtask lab exec -- l2sces slice delete {SLICE} --force
  cargo xtask lab down"
    );
}

impl Network {
    /// The first member: the one that sends where one is enough.
    fn first(&self) -> Result<(&Member, &[Member])> {
        self.members.split_first().with_context(|| format!("{} has no members", self.name))
    }
}
