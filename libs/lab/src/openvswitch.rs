//! One Open vSwitch per node, in the node's network namespace, with the bridges that hold the
//! node's underlay addresses. Those stand for the host's own network configuration: nobody of ours
//! manages them.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use l2sces_model::MacAddress;

use crate::{
    command,
    error::{Context, LabError},
    kubernetes,
    layout::{Layout, Node, UNDERLAY_BRIDGE, UNDERLAY_PREFIX, WAN_BRIDGE},
    namespace::Namespace,
    process::{ProcessSpec, Supervisor},
    unit::Unit,
    wait,
};

/// The node's interface to its cluster's underlay, a port of [`UNDERLAY_BRIDGE`].
pub(crate) const UNDERLAY_INTERFACE: &str = "eth-phy";
/// The gateway's interface to the WAN, a port of [`WAN_BRIDGE`].
pub(crate) const WAN_INTERFACE: &str = "eth-wan";

/// How long Open vSwitch may take to carry something out; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a node's Open vSwitch, before all else on the machine if `comes_first`, and makes its underlay
/// bridges.
pub(crate) async fn up(
    layout: &Layout,
    node: &Node,
    supervisor: &Supervisor,
    comes_first: bool,
) -> Result<(), LabError> {
    fs::create_dir_all(&node.directory).context(|| format!("make {}", node.directory.display()))?;
    let database = node.directory.join("conf.db");
    command::run(
        command::command("ovsdb-tool")
            .arg("create")
            .arg(&database)
            .arg("/usr/share/openvswitch/vswitch.ovsschema"),
    )
    .await?;
    let unit = Unit::OvsdbServer(node.name.clone());
    let remote = format!("--remote=punix:{}", node.ovsdb.display());
    let database = database.display().to_string();
    supervisor
        .add(process(layout, node, unit.clone(), "/usr/sbin/ovsdb-server", vec![database, remote]))
        .await?;
    wait::holds(&format!("{unit} listens"), PATIENCE, || async {
        match supervisor.check_alive(&unit) {
            Err(error) => Ok(Err(error)),
            Ok(()) if node.ovsdb.exists() => Ok(Ok(())),
            Ok(()) => Err(String::new()),
        }
    })
    .await??;
    vsctl(node, ["--no-wait", "init"]).await?;
    let system_id = format!("external_ids:system-id={}", node.name);
    vsctl(node, ["--no-wait", "set", "Open_vSwitch", ".", &system_id]).await?;
    let unit = Unit::OvsVswitchd(node.name.clone());
    let remote = format!("unix:{}", node.ovsdb.display());
    let vswitchd = process(layout, node, unit, "/usr/sbin/ovs-vswitchd", vec![remote]);
    supervisor.add(if comes_first { vswitchd.coming_first() } else { vswitchd }).await?;
    for (bridge, interface, address) in underlays(node) {
        add_underlay(node, bridge, interface, address).await?;
    }
    restore_addresses(layout, node).await
}

fn process(
    layout: &Layout,
    node: &Node,
    unit: Unit,
    program: &str,
    mut arguments: Vec<String>,
) -> ProcessSpec {
    let socket = node.directory.join(format!("{}.ctl", unit.program()));
    let directory = node.directory.display().to_string();
    arguments.push(format!("--unixctl={}", socket.display()));
    arguments.extend(["-vconsole:info".to_owned(), "-vsyslog:off".to_owned()]);
    ProcessSpec {
        program: Path::new(program).to_owned(),
        arguments,
        environment: ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"]
            .map(|variable| (variable.to_owned(), directory.clone()))
            .into(),
        namespace: Some(node.namespace.clone()),
        user: None,
        log: layout.log(&unit),
        unit,
    }
}

/// The bridges that hold the node's underlay addresses, the interface of each, and the address.
fn underlays(node: &Node) -> impl Iterator<Item = (&'static str, &'static str, Ipv4Addr)> {
    let wan = node.gateway.as_ref().map(|gateway| (WAN_BRIDGE, WAN_INTERFACE, gateway.wan_address));
    std::iter::once((UNDERLAY_BRIDGE, UNDERLAY_INTERFACE, node.underlay_address)).chain(wan)
}

/// The MAC address of the bridge that holds an underlay address.
pub(crate) fn hardware_address(address: Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = address.octets();
    MacAddress::new([0x0a, 0x70, a, b, c, d])
}

async fn add_underlay(
    node: &Node,
    bridge: &str,
    interface: &str,
    address: Ipv4Addr,
) -> Result<(), LabError> {
    // A bridge takes the MAC address of its first port unless told otherwise; then the kernel
    // would answer on the interface too, and every ping be answered twice.
    let mac = format!("other_config:hwaddr=\"{}\"", hardware_address(address));
    vsctl(
        node,
        [
            "add-br",
            bridge,
            "--",
            "set",
            "Bridge",
            bridge,
            "datapath_type=netdev",
            &mac,
            "--",
            "add-port",
            bridge,
            interface,
        ],
    )
    .await?;
    Ok(())
}

/// Gives the underlay bridges their addresses and routes, which they lose with ovs-vswitchd: what the
/// host's network configuration does.
pub(crate) async fn restore_addresses(layout: &Layout, node: &Node) -> Result<(), LabError> {
    let namespace = Namespace::named(&node.namespace);
    for (bridge, _, address) in underlays(node) {
        let mut lines = format!(
            "address replace {address}/{UNDERLAY_PREFIX} dev {bridge}\nlink set {bridge} up\n"
        );
        if bridge == WAN_BRIDGE {
            lines += &kubernetes::wan_routes(&layout.kubernetes);
        }
        wait::holds(&format!("{bridge} of {} is there", node.name), PATIENCE, || async {
            namespace.ip_batch(&lines).await.map_err(|error| error.to_string())
        })
        .await?;
    }
    Ok(())
}

/// Runs `ovs-vsctl` on a node's Open vSwitch and returns what it printed.
pub(crate) async fn vsctl<'a>(
    node: &Node,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<String, LabError> {
    let database = format!("--db=unix:{}", node.ovsdb.display());
    let timeout = format!("--timeout={}", PATIENCE.as_secs());
    let mut command = command::command("ovs-vsctl");
    command.args([&database, "--retry", &timeout]).args(arguments);
    Ok(command::run(&mut command).await?)
}
