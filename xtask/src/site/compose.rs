//! The docker-compose stack, brought up for itself: it has a name and addresses of its own, so that
//! it does not get in the way of one that somebody uses.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use l2sces_lab::{
    Namespace, Pod, TableRows,
    command::{self, Output},
    connect, table_rows,
};
use l2sces_pki::{CredentialPaths, Credentials};
use tokio::process::Command;
use tonic::transport::Channel;

use super::{Host, Site, SiteNode};
use crate::{
    narrator::Narrator,
    workspace::{self, root},
};

/// Name of the stack: part of the names of its containers, volumes and networks.
const PROJECT: &str = "l2sces-demo";
/// First half of its addresses, in which the compose file gives the rest.
const PREFIX: [u8; 2] = [10, 250];
/// The nodes: name, cluster, what it is.
const NODES: [(&str, &str, &str); 4] =
    [("a1", "a", "gateway"), ("a2", "a", "node"), ("b1", "b", "gateway"), ("b2", "b", "node")];
/// Bridges of the nodes that hold the underlay addresses, and are not ours.
const UNDERLAY_BRIDGES: [&str; 2] = ["br-phy", "br-wan"];
/// Label by which Compose knows what is a stack's.
const LABEL: &str = "com.docker.compose.project";

/// The stack, up.
pub(crate) struct Compose {
    program: ComposeProgram,
    credentials: Credentials,
    /// Where Postgres is, as superuser.
    database: String,
    /// Namespaces: of the slice-manager, and of the last node of each cluster.
    hosts: Vec<(String, Namespace)>,
    pods: Mutex<Vec<Pod>>,
}

/// How Compose is called on this machine.
#[derive(Clone, Copy, Debug)]
enum ComposeProgram {
    /// `docker compose`: version 2 and later.
    Plugin,
    /// `docker-compose`.
    Standalone,
}

impl Compose {
    /// Why there can be no stack on this machine; `None`: there can.
    pub(crate) async fn obstacle() -> Option<String> {
        let mut docker = command::command("docker");
        let told = command::output(docker.args(["version", "--format", "{{.Server.Version}}"]));
        match told.await {
            Err(_) => return Some("Docker is not installed".to_owned()),
            Ok(output) if !output.status.success() => {
                return Some(format!("no Docker daemon answers: {}", output.stderr.trim()));
            }
            Ok(_) => {}
        }
        ComposeProgram::find().await.err().map(|error| error.to_string())
    }

    /// Builds the images and brings the stack up, without the clusters that it registers by itself.
    /// On an error nothing is left of it.
    pub(crate) async fn up() -> Result<Self> {
        if let Some(obstacle) = Self::obstacle().await {
            bail!("{obstacle}");
        }
        let program = ComposeProgram::find().await?;
        println!("Building the images (the first time takes a quarter of an hour and more) ...");
        let mut build = program.command();
        build.arg("build").stdout(Stdio::inherit()).stderr(Stdio::inherit());
        workspace::run(&mut build).await?;
        let up = async {
            command::run(program.command().args(["up", "--detach"])).await?;
            for (_, cluster, _) in NODES.into_iter().filter(|(_, _, what)| *what == "gateway") {
                program.exec("cli", &["l2sces", "cluster", "delete", cluster]).await?;
            }
            Self::open(program).await
        };
        match up.await {
            Ok(compose) => Ok(compose),
            Err(error) => {
                match program.logs().await {
                    Ok(logs) => println!("{logs}"),
                    // It says less of what went wrong than the first error.
                    Err(error) => println!("There are no logs: {error:#}"),
                }
                remove(program).await?;
                Err(error)
            }
        }
    }

    /// The stack that is up.
    async fn open(program: ComposeProgram) -> Result<Self> {
        let password = program.exec("postgres", &["cat", "/run/postgres/password"]).await?;
        let postgres = inspect(&program.container("postgres").await?, ADDRESSES).await?;
        let database = format!("postgres://postgres:{}@{postgres}/l2sces", password.trim());
        let mut hosts = Vec::new();
        for service in ["slice-manager", "a2", "b2"] {
            let namespace = namespace(&program.container(service).await?).await?;
            hosts.push((service.to_owned(), namespace));
        }
        let credentials = credentials(&program.container("cli").await?).await?;
        Ok(Self { program, credentials, database, hosts, pods: Mutex::default() })
    }

    fn made(&self) -> MutexGuard<'_, Vec<Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a tool of Open vSwitch on a node; it must succeed. Returns what it printed.
    async fn switch(&self, node: &str, command_line: &[&str]) -> Result<String> {
        self.program.exec(&format!("{node}-ovs-vswitchd"), command_line).await
    }
}

impl Site for Compose {
    fn nodes(&self) -> Vec<SiteNode> {
        let node = |(name, cluster, description): (&str, &str, &str)| SiteNode {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            description: description.to_owned(),
        };
        NODES.into_iter().map(node).collect()
    }

    async fn register(&self, narrator: &Narrator) -> Result<()> {
        narrator.say("$ docker-compose run --rm clusters");
        let mut run = self.program.command();
        command::run(run.args(["run", "--rm", "-T", "clusters"])).await?;
        Ok(())
    }

    async fn l2sces(&self, arguments: &[String]) -> Result<Output> {
        let mut exec = self.program.command();
        exec.args(["exec", "-T", "cli", "l2sces"]).args(arguments);
        Ok(command::output(&mut exec).await?)
    }

    fn slice_manager(&self) -> Result<Channel> {
        let (_, namespace) = &self.hosts[0];
        let endpoint = format!("https://{}:50051", address([0, 10]));
        Ok(connect(namespace, &endpoint, &self.credentials)?)
    }

    async fn pod(&self, node: &str, name: &str) -> Result<Pod> {
        let container = format!("{PROJECT}-{name}");
        let mut run = self.program.command();
        run.args([
            "run",
            "--detach",
            "--no-deps",
            "--name",
            &container,
            "one",
            "sleep",
            "infinity",
        ]);
        command::run(&mut run).await?;
        let pod = Pod::new(name, node, namespace(&container).await?);
        self.made().push(pod.clone());
        Ok(pod)
    }

    fn pods(&self) -> Vec<Pod> {
        self.made().clone()
    }

    fn dns(&self) -> SocketAddr {
        (IpAddr::from(address([0, 53])), 53).into()
    }

    fn resolvers(&self) -> Vec<Host> {
        let host = |(name, namespace): &(String, Namespace)| Host {
            name: name.clone(),
            namespace: namespace.clone(),
        };
        self.hosts.iter().map(host).collect()
    }

    async fn table_rows(&self) -> Result<Vec<TableRows>> {
        Ok(table_rows(&self.database).await?)
    }

    async fn made_on(&self, node: &str) -> Result<Vec<String>> {
        let mut made = Vec::new();
        for bridge in self.switch(node, &["ovs-vsctl", "list-br"]).await?.lines() {
            if UNDERLAY_BRIDGES.contains(&bridge) {
                continue;
            }
            let ports = self.switch(node, &["ovs-vsctl", "list-ports", bridge]).await?;
            let dump = ["ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", bridge];
            let flows = self.switch(node, &dump).await?;
            let flows = flows.lines().filter(|line| line.contains("table=")).count();
            let ports = ports.lines().count();
            made.push(format!("{bridge} on {node} with {ports} ports, {flows} flows"));
        }
        let veths = namespace(&self.program.container(node).await?).await?.veths().await?;
        // Docker calls its own eth0, eth1 and so on.
        let ours = veths.iter().filter(|name| !name.starts_with("eth"));
        made.extend(ours.map(|veth| format!("interface {veth} on {node}")));
        Ok(made)
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        let is_warning = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        Ok(self.program.logs().await?.lines().filter(is_warning).map(str::to_owned).collect())
    }

    fn suggestions(&self) -> String {
        let [first, second] = PREFIX;
        format!(
            "
  export COMPOSE_PROJECT_NAME={PROJECT} L2SCES_PREFIX={first}.{second}
  docker-compose ps
  docker-compose exec cli l2sces port list --slice s1 --network blue
  docker exec {PROJECT}-blue-a1 ping -c 3 10.1.0.22
  docker-compose exec cli dig @inter-domain-dns b2.b.blue.s1.inter.l2sces
  docker-compose restart sdn-controller-a

  docker-compose down --volumes"
        )
    }

    async fn down(self) -> Result<&'static str> {
        remove(self.program).await?;
        Ok("no container, volume, network, namespace or interface")
    }
}

impl ComposeProgram {
    async fn find() -> Result<Self> {
        let answers = async |program: &str, arguments: &[&str]| {
            let output = command::output(command::command(program).args(arguments)).await;
            output.is_ok_and(|output| output.status.success())
        };
        if answers("docker", &["compose", "version"]).await {
            return Ok(Self::Plugin);
        }
        if answers("docker-compose", &["version"]).await {
            return Ok(Self::Standalone);
        }
        bail!("Docker Compose is not installed")
    }

    /// A command on the stack.
    fn command(self) -> Command {
        let mut command = match self {
            Self::Plugin => {
                let mut docker = command::command("docker");
                docker.arg("compose");
                docker
            }
            Self::Standalone => command::command("docker-compose"),
        };
        let [first, second] = PREFIX;
        command
            .current_dir(root())
            .env("COMPOSE_PROJECT_NAME", PROJECT)
            .env("L2SCES_PREFIX", format!("{first}.{second}"))
            // Any that is free: nobody connects to it.
            .env("L2SCES_PORT", "0");
        command
    }

    /// The last that each container has logged.
    async fn logs(self) -> Result<String> {
        Ok(command::run(self.command().args(["logs", "--no-color", "--tail=50"])).await?)
    }

    /// The identifier of a service's container.
    async fn container(self, service: &str) -> Result<String> {
        let identifier = command::run(self.command().args(["ps", "--quiet", service])).await?;
        Ok(identifier.trim().to_owned())
    }

    /// Runs a program in a service's container; it must succeed. Returns what it printed.
    async fn exec(self, service: &str, command_line: &[&str]) -> Result<String> {
        let mut exec = self.command();
        Ok(command::run(exec.args(["exec", "-T", service]).args(command_line)).await?)
    }
}

/// Template for what a container's addresses are, if it has one.
const ADDRESSES: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";

/// What Docker knows of an object, by a template of docker-inspect(1).
async fn inspect(object: &str, template: &str) -> Result<String> {
    let mut docker = command::command("docker");
    let told = command::run(docker.args(["inspect", "--format", template, object])).await?;
    Ok(told.trim().to_owned())
}

/// The network namespace of a container.
async fn namespace(container: &str) -> Result<Namespace> {
    Ok(Namespace::at(inspect(container, "{{.NetworkSettings.SandboxKey}}").await?))
}

/// The administrator's credentials, out of the container that has them.
async fn credentials(container: &str) -> Result<Credentials> {
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let mut copy = command::command("docker");
    copy.arg("cp").arg(format!("{container}:/etc/l2sces/.")).arg(directory.path());
    command::run(&mut copy).await?;
    let file = |name: &str| directory.path().join(name);
    Ok(Credentials::load(&CredentialPaths {
        ca: file("ca.pem"),
        cert: file("admin-compose.pem"),
        key: file("admin-compose.key"),
    })?)
}

/// An address of the stack, by its second half.
fn address([third, fourth]: [u8; 2]) -> Ipv4Addr {
    let [first, second] = PREFIX;
    Ipv4Addr::new(first, second, third, fourth)
}

/// Removes the stack, and checks that nothing is left of it.
async fn remove(program: ComposeProgram) -> Result<()> {
    let list = async |arguments: &[&str]| -> Result<Vec<String>> {
        let mut docker = command::command("docker");
        let filter = format!("label={LABEL}={PROJECT}");
        docker.args(arguments).args(["--quiet", "--filter", &filter]);
        Ok(command::run(&mut docker).await?.lines().map(str::to_owned).collect())
    };
    let containers = list(&["ps", "--all", "--no-trunc"]).await?;
    let namespaces =
        try_join_all(containers.iter().map(|container| namespace(container.as_str()))).await?;
    let networks = list(&["network", "ls", "--no-trunc"]).await?;
    command::run(program.command().args(["down", "--volumes", "--remove-orphans"])).await?;

    let mut left = Vec::new();
    for (what, arguments) in [
        ("container", &["ps", "--all"][..]),
        ("volume", &["volume", "ls"]),
        ("network", &["network", "ls"]),
    ] {
        left.extend(list(arguments).await?.iter().map(|name| format!("{what} {name}")));
    }
    // The empty file that a namespace was mounted on stays for a while.
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    for namespace in namespaces {
        // A container that has ended has none.
        let Some(name) = namespace.path().file_name() else { continue };
        let is_mounted = |line: &str| {
            line.split(' ').nth(1).and_then(|path| Path::new(path).file_name()) == Some(name)
        };
        if mounts.lines().any(is_mounted) {
            left.push(format!("namespace {}", namespace.name()));
        }
    }
    for network in networks {
        let bridge = format!("br-{}", &network[..12]);
        if Path::new("/sys/class/net").join(&bridge).exists() {
            left.push(format!("interface {bridge}"));
        }
    }
    if left.is_empty() { Ok(()) } else { bail!("left: {}", left.join(", ")) }
}
