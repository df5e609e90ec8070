//! `cargo xtask lab`: a lab that stays until it is taken down.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use l2sces_lab::{Lab, LabOptions, Namespace, Topology, Unit, packages};

use crate::{
    cli::{Cli, create_cluster},
    narrator::Narrator,
    workspace::{self, Profile},
};

/// How long a service may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Bring up a lab and register its clusters; describe it in target/lab/lab.json
    Up {
        #[command(flatten)]
        name: LabName,
        /// Clusters and nodes; a star marks gateways, and `kubernetes:` in front a Kubernetes cluster
        #[arg(long, default_value = "a=a1*,a2 b=b1*,b2")]
        topology: Topology,
        /// The same as --topology 'kubernetes:a=a1,a2 kubernetes:b=b1,b2'
        #[arg(long, conflicts_with = "topology")]
        kubernetes: bool,
        /// Leave registering the clusters to you
        #[arg(long)]
        unregistered: bool,
        /// Only nodes with Open vSwitch and Postgres, none of our services
        #[arg(long)]
        no_services: bool,
        /// Filter of the services' logs
        #[arg(long, default_value = "info")]
        log_filter: String,
    },
    /// Take a lab down, and check that nothing is left
    Down {
        #[command(flatten)]
        name: LabName,
    },
    /// Run a command inside, with all that the command line `l2sces` needs
    Exec {
        #[command(flatten)]
        name: LabName,
        /// Where: `ctl`, a node, a pod, or a Kubernetes cluster, of which kubectl is then told
        #[arg(long = "in", value_name = "PLACE", default_value = "ctl")]
        place: String,
        /// The command
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Make a pod on a node and print the path of its network namespace
    Pod {
        #[command(flatten)]
        lab: LabName,
        /// The node
        #[arg(long)]
        node: String,
        /// Name of the pod
        pod: String,
    },
    /// Kill a process (SIGKILL), start it again and wait until it is healthy
    Restart {
        #[command(flatten)]
        name: LabName,
        /// The process, as `status` calls it
        process: Unit,
    },
    /// Show processes, namespaces and pods
    Status {
        #[command(flatten)]
        name: LabName,
    },
}

/// Which lab.
#[derive(clap::Args)]
pub(crate) struct LabName {
    /// Name of the lab; several can be up at once
    #[arg(long, default_value = "lab")]
    name: String,
}

impl LabName {
    /// Where the lab is described: target/lab/lab.json, or target/lab/NAME/lab.json.
    fn path(&self) -> Result<PathBuf> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            bail!("--name must consist of letters, digits, '-' and '_'");
        }
        let directory = workspace::target()?.join("lab");
        Ok(match self.name.as_str() {
            "lab" => directory.join("lab.json"),
            name => directory.join(name).join("lab.json"),
        })
    }

    fn open(&self) -> Result<Lab> {
        Ok(Lab::open(&self.path()?)?)
    }
}

/// The lab that `cargo xtask lab` finds without a name.
pub(crate) fn default_path() -> Result<PathBuf> {
    LabName { name: "lab".to_owned() }.path()
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up { name, topology, kubernetes, unregistered, no_services, log_filter } => {
            let topology = if kubernetes { Topology::two_kubernetes_clusters() } else { topology };
            workspace::ensure_packages(packages::LAB).await?;
            if !topology.kubernetes.is_empty() {
                workspace::ensure_kubernetes().await?;
            }
            workspace::ensure_packages(packages::PROBES).await?;
            let binaries = workspace::build(Profile::Dev).await?;
            let options = LabOptions {
                binaries: Some(binaries),
                services: !no_services,
                detached: true,
                link: Some(name.path()?),
                log_filter,
                ..LabOptions::default()
            };
            up(&name, &topology, options, !unregistered && !no_services).await?;
        }
        Command::Down { name } => {
            name.open()?.down().await?;
            println!("The lab is down; nothing is left of it.");
        }
        Command::Exec { name, place, command } => exec(&name.open()?, &place, &command)?,
        Command::Pod { lab, node, pod } => {
            println!("{}", lab.open()?.pod(&node, &pod).await?.path());
        }
        Command::Restart { name, process } => {
            let lab = name.open()?;
            lab.kill(&process).await?;
            lab.start(&process).await?;
        }
        Command::Status { name } => return status(&name.open()?).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(
    name: &LabName,
    topology: &Topology,
    options: LabOptions,
    register: bool,
) -> Result<()> {
    let narrator = Narrator::new();
    narrator.chapter("Bringing up the lab");
    let lab = Lab::up(topology, options).await?;
    if register && !lab.layout().clusters.is_empty() {
        narrator.chapter("Registering its clusters");
        let cli = Cli::new(&lab, &narrator);
        for cluster in &lab.layout().clusters {
            if let Err(error) = cli.run(&create_cluster(cluster)).await {
                lab.down().await?;
                return Err(error);
            }
        }
    }
    narrator.chapter("The lab is up");
    let kubernetes = &lab.layout().kubernetes.clusters;
    let flag = if name.name == "lab" { String::new() } else { format!(" --name {}", name.name) };
    println!(
        "\n  described in {}\n  state, sockets and logs in {}\n\n\
         Try:\n  cargo xtask lab status{flag}\n  cargo xtask lab exec{flag} -- l2sces cluster list\n  \
         cargo xtask lab down{flag}",
        name.path()?.display(),
        lab.layout().directory.display(),
    );
    if let Some(cluster) = kubernetes.first() {
        println!("  cargo xtask lab exec{flag} --in {} -- kubectl get nodes", cluster.name);
    }
    Ok(())
}

/// Becomes the command, inside the lab.
fn exec(lab: &Lab, place: &str, command: &[String]) -> Result<()> {
    let layout = lab.layout();
    let (program, arguments) = command.split_first().context("a command is missing")?;
    let cluster = layout.kubernetes.clusters.iter().find(|cluster| cluster.name == place);
    // The program is looked up where this process would look, which knows nothing of the lab.
    let program = [&layout.binaries, &layout.kubernetes.binaries]
        .map(|directory| directory.join(program))
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(program));
    let mut command = match cluster {
        Some(cluster) => {
            let mut command = Namespace::named(&cluster.namespace).command(&program)?;
            command.env("KUBECONFIG", &cluster.kubeconfig);
            command
        }
        None if layout.kubernetes.node(place).is_ok() => lab.node_command(place, &program)?,
        None => namespace(lab, place)?.command(&program)?,
    };
    command
        .args(arguments)
        .envs(lab.environment()?)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    let error = command.as_std_mut().exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}

fn namespace(lab: &Lab, place: &str) -> Result<Namespace> {
    if place == "ctl" {
        return Ok(lab.control());
    }
    if let Ok(node) = lab.node(place) {
        return Ok(Namespace::named(&node.namespace));
    }
    let pods = lab.pods();
    let pod = pods.iter().find(|pod| pod.name() == place);
    Ok(pod
        .with_context(|| format!("the lab has no node and no pod {place:?}"))?
        .namespace()
        .clone())
}

async fn status(lab: &Lab) -> Result<ExitCode> {
    let layout = lab.layout();
    println!("lab {} in {}\n", layout.id, layout.directory.display());
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["PROCESS", "PID", "WHERE", "STATE"]);
    let mut is_well = true;
    for process in lab.processes() {
        let unit = process.spec.unit;
        let pid = lab.pid(&unit);
        let state = match pid {
            None => Err("not running".to_owned()),
            Some(_) if unit.is_service() => lab.health(&unit, ANSWER).await.map(|()| "serving"),
            Some(_) => Ok("running"),
        };
        is_well &= state.is_ok();
        let namespace = process.spec.namespace.unwrap_or_else(|| "-".to_owned());
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let state = state.map_or_else(|why| why, str::to_owned);
        table.add_row([unit.to_string(), pid, namespace, state]);
    }
    println!("{table}\n");
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["NAMESPACE", "WHAT"]);
    table.add_row([layout.control.namespace.as_str(), "control services"]);
    table.add_row([layout.wan.namespace.as_str(), "cables between the gateways"]);
    for cluster in &layout.clusters {
        let what = format!("cables between the nodes of cluster {}", cluster.name);
        table.add_row([cluster.underlay.namespace.clone(), what]);
        for node in &cluster.nodes {
            let kind = if node.gateway.is_some() { "gateway" } else { "node" };
            table.add_row([node.namespace.clone(), format!("{kind} {}", node.name)]);
        }
    }
    for cluster in &layout.kubernetes.clusters {
        let what = format!("control plane of Kubernetes cluster {}", cluster.name);
        table.add_row([cluster.namespace.clone(), what]);
        for node in &cluster.nodes {
            table.add_row([node.namespace.clone(), format!("Kubernetes node {}", node.name)]);
        }
    }
    for pod in lab.pods() {
        let what = format!("pod {} on {}", pod.name(), pod.node());
        table.add_row([pod.namespace().name().to_owned(), what]);
    }
    println!("{table}");
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
