//! Nodes with an Open vSwitch of their own, joined by real tunnels.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use crate::{
    relay::Relay,
    support::{Controller, OpenVswitch, run},
};

/// Makes what joins the nodes.
pub(crate) fn make_underlay() {
    run("ip", "link add cables type bridge".split_whitespace());
    run("ip", "link set cables up".split_whitespace());
}

/// A node: an Open vSwitch with an underlay address, `10.9.0.NUMBER`, and a bridge with a tunnel to
/// each of its peers, whose number the tunnel's port has.
pub(crate) async fn node(
    controller: &Controller,
    number: u64,
    peers: &[u64],
    bfd_interval_ms: Option<u64>,
) -> (OpenVswitch, Relay) {
    let ovs = OpenVswitch::start().await;
    // Else the kernel answers ARP requests for the underlay bridge's address by the wrong port.
    ovs.inside("sysctl -qw net.ipv4.conf.all.arp_ignore=1");
    ovs.inside("ip link set lo up");
    let pid = ovs.pid();
    let cable = format!("link add u{number} type veth peer name underlay netns {pid}");
    run("ip", cable.split_whitespace());
    run("ip", format!("link set u{number} master cables up").split_whitespace());
    ovs.inside("ip link set underlay up");
    ovs.vsctl(
        "add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy underlay",
    );
    ovs.inside(&format!("ip address add 10.9.0.{number}/24 dev br-phy"));
    ovs.inside("ip link set br-phy up");
    let bridge = format!("br{number}");
    let relay = controller.relay(&ovs, &bridge);
    ovs.add_bridge(&bridge, number).await;
    let bfd = bfd_interval_ms.map_or_else(String::new, |interval| {
        format!("bfd:enable=true bfd:min_tx={interval} bfd:min_rx={interval}")
    });
    for peer in peers {
        ovs.vsctl(&format!(
            "add-port {bridge} {number}-{peer} -- set interface {number}-{peer} type=geneve \
             ofport_request={peer} options:remote_ip=10.9.0.{peer} \
             options:local_ip=10.9.0.{number} options:key=flow {bfd}"
        ));
    }
    (ovs, relay)
}

/// Echo requests from one namespace to an address, until they are stopped.
pub(crate) struct Pings {
    process: Child,
    what: String,
    directory: tempfile::TempDir,
}

impl Pings {
    /// Starts them, one every 100 ms: a socket of a node holds those that come in while the node
    /// has no processor.
    pub(crate) fn start(from: &OpenVswitch, to: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = File::create(directory.path().join("output")).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter", "-t", &from.pid(), "-n"])
            .args(["ping", "-n", "-i", "0.1", to])
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .unwrap();
        let what = format!("from the node of {} to {to}", from.directory().display());
        Self { process, what, directory }
    }

    /// Stops them. Each was answered once, but for the last, whose answers may be under way.
    pub(crate) fn end(mut self) {
        run("kill", ["-INT", &self.process.id().to_string()]);
        self.process.wait().unwrap();
        let text = std::fs::read_to_string(self.directory.path().join("output")).unwrap();
        let answered = text.lines().filter_map(|line| line.split_once("icmp_seq="));
        let answered = answered.filter_map(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
        let mut answered: Vec<_> = answered.collect();
        answered.sort_unstable();
        let wanted: Vec<_> = (1..=answered.last().copied().unwrap_or_default()).collect();
        assert!(answered.len() > 1 && answered == wanted, "{}: {answered:?}", self.what);
    }
}
