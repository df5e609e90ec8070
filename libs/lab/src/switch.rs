//! Looking at the Open vSwitch of a node, with Open vSwitch's own tools.

use std::collections::BTreeMap;

use crate::{
    command,
    error::LabError,
    layout::{Node, UNDERLAY_BRIDGE, WAN_BRIDGE},
    namespace::Namespace,
    openvswitch,
};

/// What has passed a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received by the switch.
    pub received: u64,
    /// Frames sent by the switch.
    pub sent: u64,
}

impl Node {
    /// Runs `ovs-vsctl` on the node's Open vSwitch and returns what it printed.
    ///
    /// # Errors
    /// It failed.
    pub async fn vsctl<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<String, LabError> {
        openvswitch::vsctl(self, arguments).await
    }

    /// Runs `ovs-ofctl` on one of the node's bridges, such as `ovs-ofctl add-flow BRIDGE FLOW`, and
    /// returns what it printed.
    ///
    /// # Errors
    /// It failed, such as when there is no such bridge.
    pub async fn ofctl(
        &self,
        verb: &str,
        bridge: &str,
        arguments: &[&str],
    ) -> Result<String, LabError> {
        let mut ofctl = command::command("ovs-ofctl");
        ofctl.args(["--protocols=OpenFlow13", "--names", verb, &self.openflow(bridge)]);
        ofctl.args(arguments);
        Ok(command::run(&mut ofctl).await?)
    }

    /// Runs `ovs-appctl` on the node's ovs-vswitchd and returns what it printed.
    ///
    /// # Errors
    /// It failed.
    pub async fn appctl(&self, arguments: &[&str]) -> Result<String, LabError> {
        let mut appctl = command::command("ovs-appctl");
        appctl.arg("--target").arg(self.vswitchd_control()).args(arguments);
        Ok(command::run(&mut appctl).await?)
    }

    /// Names of the bridges, but those that hold the node's underlay addresses.
    ///
    /// # Errors
    /// Open vSwitch does not answer.
    pub async fn bridges(&self) -> Result<Vec<String>, LabError> {
        let list = self.vsctl(["list-br"]).await?;
        let is_ours = |bridge: &&str| *bridge != UNDERLAY_BRIDGE && *bridge != WAN_BRIDGE;
        Ok(list.lines().filter(is_ours).map(str::to_owned).collect())
    }

    /// Names of a bridge's ports, without its own.
    ///
    /// # Errors
    /// There is no such bridge.
    pub async fn ports(&self, bridge: &str) -> Result<Vec<String>, LabError> {
        Ok(self.vsctl(["list-ports", bridge]).await?.lines().map(str::to_owned).collect())
    }

    /// A bridge's flows, one a line, in the notation of ovs-ofctl(8).
    ///
    /// # Errors
    /// There is no such bridge.
    pub async fn flows(&self, bridge: &str) -> Result<Vec<String>, LabError> {
        let dump = self.ofctl("dump-flows", bridge, &[]).await?;
        Ok(dump
            .lines()
            .filter(|line| line.contains("table="))
            .map(|l| l.trim().to_owned())
            .collect())
    }

    /// A bridge's groups, one a line, in the notation of ovs-ofctl(8).
    ///
    /// # Errors
    /// There is no such bridge.
    pub async fn groups(&self, bridge: &str) -> Result<Vec<String>, LabError> {
        let dump = self.ofctl("dump-groups", bridge, &[]).await?;
        Ok(dump
            .lines()
            .filter(|line| line.contains("group_id="))
            .map(|l| l.trim().to_owned())
            .collect())
    }

    /// What has passed each port of a bridge, by the port's name.
    ///
    /// # Errors
    /// There is no such bridge.
    pub async fn counters(&self, bridge: &str) -> Result<BTreeMap<String, Counters>, LabError> {
        Ok(parse_counters(&self.ofctl("dump-ports", bridge, &[]).await?))
    }

    /// Names of the virtual Ethernet interfaces in the node's namespace, but the node's own.
    ///
    /// # Errors
    /// The namespace is gone.
    pub async fn veths(&self) -> Result<Vec<String>, LabError> {
        let veths = Namespace::named(&self.namespace).veths().await?;
        Ok(veths.into_iter().filter(|name| !name.starts_with("eth-")).collect())
    }
}

/// Parses `ovs-ofctl dump-ports`: per port, a line with "rx pkts=…" and one with "tx pkts=…".
fn parse_counters(dump: &str) -> BTreeMap<String, Counters> {
    let packets = |line: &str, direction: &str| -> Option<u64> {
        line.split_once(direction)?
            .1
            .trim_start()
            .strip_prefix("pkts=")?
            .split(',')
            .next()?
            .parse()
            .ok()
    };
    let mut counters = BTreeMap::new();
    let mut port = None;
    for line in dump.lines() {
        if let Some((name, _)) =
            line.trim_start().strip_prefix("port ").and_then(|rest| rest.split_once(':'))
        {
            port = Some(name.trim().trim_matches('"').to_owned());
        }
        let Some(port) = &port else { continue };
        let entry: &mut Counters = counters.entry(port.clone()).or_default();
        if let Some(received) = packets(line, "rx") {
            entry.received = received;
        }
        if let Some(sent) = packets(line, "tx") {
            entry.sent = sent;
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_counters_of_ovs_ofctl() {
        let dump = "OFPST_PORT reply (OF1.3) (xid=0x2): 2 ports\n  \
            port LOCAL: rx pkts=1, bytes=10, drop=5, errs=0, frame=0, over=0, crc=0\n           \
            tx pkts=2, bytes=20, drop=0, errs=0, coll=0\n           duration=4.8s\n  \
            port  \"l2p-1\": rx pkts=3, bytes=30, drop=?, errs=?, frame=?, over=?, crc=?\n           \
            tx pkts=4, bytes=40, drop=?, errs=?, coll=?\n";
        let expected = [
            ("LOCAL".to_owned(), Counters { received: 1, sent: 2 }),
            ("l2p-1".to_owned(), Counters { received: 3, sent: 4 }),
        ];
        assert_eq!(parse_counters(dump), expected.into());
    }
}
