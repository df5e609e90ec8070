//! The time until a new network is live on two switches: ours beside OVN's.

use std::{
    collections::HashSet,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use futures::{StreamExt, TryStreamExt, stream};
use l2sces_lab::{Lab, LabOptions, Namespace, Unit};
use l2sces_proto::{
    resource::v1::{ChangeKind, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, CreateNetworkRequest, InterfaceAttachment, Network, NetworkSpec, Port,
        PortSpec, WatchPortsRequest, WatchPortsResponse,
        network_service_client::NetworkServiceClient, port_spec::Attachment,
    },
};
use serde_json::{Value, json};
use tokio::process::Command;
use tonic::{Streaming, transport::Channel};

use super::figures::Durations;
use crate::{
    cli::{Cli, create_cluster, words},
    narrator::Narrator,
    workspace,
};

/// How long a port may take to become ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Background networks made at the same time.
const AT_ONCE: usize = 16;
const SLICE: &str = "s1";

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
    let options = LabOptions {
        binaries: Some(binaries.to_owned()),
        log_filter: "warn".to_owned(),
        ..LabOptions::default()
    };
    let lab = Lab::up(&"a=a1,a2".parse()?, options).await?;
    let cli = Cli::new(&lab, narrator);
    for cluster in &lab.layout().clusters {
        cli.run_silently(&create_cluster(cluster)).await?;
    }
    cli.run_silently(&words(&format!("slice create {SLICE} --cluster a"))).await?;
    make_interfaces(&lab, background + rounds).await?;

    let networks = Networks::open(&lab).await?;
    stream::iter(0..background)
        .map(|number| networks.create(number))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut watch = networks.watch().await?;
    watch.wait_for((0..background).flat_map(port_names).collect()).await?;
    let mut durations = Vec::new();
    for number in background..background + rounds {
        let start = Instant::now();
        networks.create(number).await?;
        watch.wait_for(port_names(number).into()).await?;
        durations.push(start.elapsed());
    }
    lab.down().await?;
    Ok(durations)
}

/// Makes the interfaces that will be attached, as a hypervisor would make its taps.
async fn make_interfaces(lab: &Lab, count: u16) -> Result<()> {
    for node in lab.layout().nodes() {
        let namespace = Namespace::named(&node.namespace);
        // Router solicitations of a thousand interfaces would be measured too.
        namespace.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        let lines: String = (0..count)
            .map(|n| format!("link add p{n} up type veth peer name q{n}\nlink set q{n} up\n"))
            .collect();
        namespace.ip_batch(&lines).await?;
    }
    Ok(())
}

/// The nodes that every network has a port on, and the ports' names.
const NODES: [&str; 2] = ["a1", "a2"];

fn port_names(number: u16) -> [(String, String); 2] {
    NODES.map(|node| (format!("n{number}"), node.to_owned()))
}

struct Networks {
    client: NetworkServiceClient<Channel>,
}

impl Networks {
    async fn open(lab: &Lab) -> Result<Self> {
        Ok(Self { client: NetworkServiceClient::new(lab.channel(&Unit::SliceManager)?) })
    }

    /// Asks for a network with a port on each node.
    async fn create(&self, number: u16) -> Result<()> {
        let mut client = self.client.clone();
        let name = format!("n{number}");
        let network = Network {
            metadata: named(&name),
            slice: SLICE.to_owned(),
            spec: Some(NetworkSpec::default()),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        client.create_network(request).await?;
        let [high, low] = number.to_be_bytes();
        let attach = |(node, last): (&str, u8)| {
            let port = Port {
                metadata: named(node),
                slice: SLICE.to_owned(),
                network: name.clone(),
                spec: Some(PortSpec {
                    cluster: "a".to_owned(),
                    node: node.to_owned(),
                    attachment: Some(Attachment::Interface(InterfaceAttachment {
                        name: format!("p{number}"),
                    })),
                    mac: format!("02:00:00:{last:02x}:{high:02x}:{low:02x}"),
                    address: String::new(),
                }),
                status: None,
            };
            let mut client = self.client.clone();
            async move {
                let request = AttachPortRequest { port: Some(port), ..Default::default() };
                client.attach_port(request).await
            }
        };
        futures::try_join!(attach((NODES[0], 1)), attach((NODES[1], 2)))?;
        Ok(())
    }

    async fn watch(&self) -> Result<Watch> {
        let request = WatchPortsRequest { slice: SLICE.to_owned(), ..Default::default() };
        let stream = self.client.clone().watch_ports(request).await?.into_inner();
        Ok(Watch { stream })
    }
}

struct Watch {
    stream: Streaming<WatchPortsResponse>,
}

impl Watch {
    /// Waits until the ports, given as (network, name), have become ready.
    async fn wait_for(&mut self, mut ports: HashSet<(String, String)>) -> Result<()> {
        let ready = async {
            while !ports.is_empty() {
                let change = self.stream.message().await?.context("the watch has ended")?;
                if change.kind() != ChangeKind::Put {
                    continue;
                }
                let port = change.port.unwrap_or_default();
                let conditions = port.status.unwrap_or_default().conditions;
                let is_ready = conditions.iter().any(|condition| {
                    condition.r#type == "Ready" && condition.status() == ConditionStatus::True
                });
                if is_ready {
                    let name = port.metadata.unwrap_or_default().name;
                    ports.remove(&(port.network, name));
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, ready).await.context("ports did not become ready")?
    }
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}
