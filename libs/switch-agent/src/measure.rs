//! What the switch counts, of ports and tunnels, read from its database whenever somebody scrapes:
//! Open vSwitch brings it up to date there every 5 seconds, whether or not anybody reads it.

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use l2sces_ovsdb::Row;
use l2sces_telemetry::{Collector, Reading};
use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use crate::{
    Agent,
    marks::{OWNER, Object, is_marked},
};

const CONNECTED: &str = "l2sces_switch_connected";
const PORTS: &str = "l2sces_switch_ports";
const UNNAMED_PORTS: &str = "l2sces_switch_ports_unnamed";
const TUNNEL_UP: &str = "l2sces_tunnel_up";

/// What of each interface is read.
const COLUMNS: [&str; 6] =
    ["name", "external_ids", "ofport", "options", "bfd_status", "statistics"];

/// What is counted of ports (`l2sces_port_...`) and tunnels (`l2sces_tunnel_...`): the key in
/// `statistics`, the rest of the metric's name, and what it is. Received is what came into the switch.
const COUNTERS: [(&str, &str, &str); 6] = [
    ("rx_bytes", "receive_bytes_total", "Bytes received"),
    ("rx_packets", "receive_packets_total", "Frames received"),
    ("rx_dropped", "receive_dropped_packets_total", "Frames dropped instead of received"),
    ("tx_bytes", "transmit_bytes_total", "Bytes sent"),
    ("tx_packets", "transmit_packets_total", "Frames sent"),
    ("tx_dropped", "transmit_dropped_packets_total", "Frames dropped instead of sent"),
];

/// Reads what the agent's bridge counts.
pub(crate) struct Traffic {
    pub(crate) agent: Arc<Agent>,
    /// Most ports that have metrics of their own.
    pub(crate) most_ports: usize,
}

#[async_trait]
impl Collector for Traffic {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        let bridge = self.agent.identity.bridge.clone();
        let kind = self.agent.identity.kind;
        let Some(switch) = self.agent.switch()? else { return Ok(Box::new(|| {})) };
        let (mut ports, mut tunnels) = (Vec::new(), Vec::new());
        for row in self.agent.read_interfaces(&COLUMNS).await? {
            if is_marked(&row, kind, Object::Port) {
                ports.push(row);
            } else if is_marked(&row, kind, Object::Link) {
                tunnels.push(row);
            }
        }
        let most_ports = self.most_ports;
        Ok(Box::new(move || {
            describe();
            let connected = if switch.controller_connected { 1.0 } else { 0.0 };
            gauge!(CONNECTED, "bridge" => bridge.clone()).set(connected);
            tell_ports(&bridge, ports, most_ports);
            tunnels.iter().for_each(|tunnel| tell_tunnel(&bridge, tunnel));
        }))
    }
}

fn describe() {
    describe_gauge!(CONNECTED, "Whether the bridge has a session with its controller: 1 or 0.");
    describe_gauge!(PORTS, "Ports of the bridge.");
    describe_gauge!(UNNAMED_PORTS, "Ports that have no metrics of their own: they are too many.");
    describe_gauge!(TUNNEL_UP, "Whether the far end of the tunnel answers (BFD): 1 or 0.");
    for (_, metric, what) in COUNTERS {
        describe_counter!(format!("l2sces_port_{metric}"), format!("{what}, by port."));
        describe_counter!(format!("l2sces_tunnel_{metric}"), format!("{what}, by tunnel."));
    }
}

/// Names the ports that are there longest, so that those that are named stay the same.
fn tell_ports(bridge: &str, mut ports: Vec<Row>, most: usize) {
    let unnamed = ports.len().saturating_sub(most);
    gauge!(PORTS, "bridge" => bridge.to_owned()).set(ports.len() as f64);
    gauge!(UNNAMED_PORTS, "bridge" => bridge.to_owned()).set(unnamed as f64);
    // Open vSwitch gives these numbers in turn.
    ports.sort_by_key(|port| port.integer("ofport").unwrap_or(i64::MAX));
    for port in ports.iter().take(most) {
        let owner = port.map_string("external_ids", OWNER).unwrap_or_default();
        let names = ["slice", "network", "port"].into_iter().zip(owner.splitn(3, '/'));
        let labels: Vec<_> = names.map(|(key, name)| Label::new(key, name.to_owned())).collect();
        tell_counters("port", port, &labels);
    }
}

fn tell_tunnel(bridge: &str, tunnel: &Row) {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let labels = vec![
        Label::new("bridge", bridge.to_owned()),
        Label::new("interface", text(tunnel.string("name"))),
        Label::new("remote", text(tunnel.map_string("options", "remote_ip"))),
    ];
    // Nothing, if nobody watches it.
    if let Some(forwarding) = tunnel.map_string("bfd_status", "forwarding") {
        let up = if forwarding == "true" { 1.0 } else { 0.0 };
        gauge!(TUNNEL_UP, labels.clone()).set(up);
    }
    tell_counters("tunnel", tunnel, &labels);
}

fn tell_counters(object: &str, row: &Row, labels: &[Label]) {
    for (key, metric, _) in COUNTERS {
        let count = row.map_integer("statistics", key).and_then(|count| u64::try_from(count).ok());
        if let Some(count) = count {
            counter!(format!("l2sces_{object}_{metric}"), labels.to_vec()).absolute(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use l2sces_ovsdb::Value;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn told(tell: impl FnOnce()) -> BTreeSet<String> {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, tell);
        let text = recorder.handle().render();
        text.lines().filter(|line| line.starts_with("l2sces")).map(str::to_owned).collect()
    }

    fn expected<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
        lines.map(str::to_owned).into()
    }

    fn port(ofport: i64, owner: &str) -> Row {
        Row::new()
            .with("ofport", ofport)
            .with("external_ids", Value::map([(OWNER, owner)]))
            .with("statistics", Value::map([("rx_packets", ofport), ("collisions", 1)]))
    }

    #[test]
    fn the_oldest_ports_are_named_and_the_others_counted() {
        let ports = vec![port(12, "s/net/new"), port(9, "s/net/old"), port(10, "s/red/old")];
        let expected = expected([
            "l2sces_switch_ports{bridge=\"br\"} 3",
            "l2sces_switch_ports_unnamed{bridge=\"br\"} 1",
            "l2sces_port_receive_packets_total{slice=\"s\",network=\"net\",port=\"old\"} 9",
            "l2sces_port_receive_packets_total{slice=\"s\",network=\"red\",port=\"old\"} 10",
        ]);
        assert_eq!(told(|| tell_ports("br", ports, 2)), expected);
    }

    #[test]
    fn a_tunnel_is_up_as_long_as_its_far_end_answers() {
        let tunnel = Row::new()
            .with("name", "l2v-1")
            .with("options", Value::map([("remote_ip", "10.9.0.2"), ("key", "flow")]))
            .with("statistics", Value::map([("tx_bytes", 1_i64 << 40)]));
        let labels = "{bridge=\"br\",interface=\"l2v-1\",remote=\"10.9.0.2\"}";
        let bytes = format!("l2sces_tunnel_transmit_bytes_total{labels} 1099511627776");
        assert_eq!(told(|| tell_tunnel("br", &tunnel)), expected([&bytes]));
        for (forwarding, up) in [("true", 1), ("false", 0)] {
            let status = Value::map([("forwarding", forwarding), ("state", "up")]);
            let tunnel = tunnel.clone().with("bfd_status", status);
            let up = format!("l2sces_tunnel_up{labels} {up}");
            assert_eq!(told(|| tell_tunnel("br", &tunnel)), expected([&up, &bytes]));
        }
    }
}
