use std::sync::Arc;

use ipnet::IpNet;
use l2sces_ovsdb::{Condition, Function, Operation, Row, Tables, Value};

use super::{expect_bridge, insert_port, merge, take_port_off};
use crate::{
    AgentKind, Attachment, Port, PortState,
    database::Identity,
    error::AgentError,
    marks::{ADDRESSES, AGENT, ATTACHMENT, IFINDEX, OBJECT, OWNER, Object, is_any_agents},
};

/// A port's interface in the database, with what the agent has noted there.
#[derive(Clone, Debug)]
pub(crate) struct PortRow(Arc<Row>);

impl PortRow {
    fn note(&self, key: &str) -> Option<&str> {
        self.0.map_string("external_ids", key)
    }

    /// Whether the agent made a virtual Ethernet pair for it.
    pub(crate) fn has_veth(&self) -> bool {
        self.note(ATTACHMENT) == Some(NAMESPACE)
    }

    /// Whether it is attached in the same way.
    pub(crate) fn is_attached_as(&self, attachment: &Attachment) -> bool {
        self.note(ATTACHMENT) == Some(attachment_note(attachment))
    }

    /// The number that the network interface had when it was added to the bridge.
    pub(crate) fn ifindex(&self) -> Option<u32> {
        self.note(IFINDEX)?.parse().ok()
    }

    /// The addresses that the agent has set, or may have, in the namespace.
    pub(crate) fn addresses(&self) -> Vec<IpNet> {
        let noted = self.note(ADDRESSES).unwrap_or_default();
        noted.split_whitespace().filter_map(|address| address.parse().ok()).collect()
    }
}

const NAMESPACE: &str = "namespace";
const INTERFACE: &str = "interface";

fn attachment_note(attachment: &Attachment) -> &'static str {
    match attachment {
        Attachment::Namespace(_) => NAMESPACE,
        Attachment::Interface => INTERFACE,
    }
}

/// The port with this interface; `None` if there is none.
///
/// # Errors
/// The interface is part of Open vSwitch, but not as a port of this agent.
pub(crate) fn find_port(
    tables: &Tables,
    identity: &Identity,
    name: &str,
) -> Result<Option<PortRow>, AgentError> {
    let row = identity.find_interface(tables, name, Object::Port)?;
    Ok(row.map(|row| PortRow(Arc::clone(row))))
}

/// A port that no agent has made.
pub(crate) struct ForeignPort {
    pub(crate) state: PortState,
    /// Finds the agent's bridge, if the port is on it.
    pub(crate) search: Operation,
}

/// The port of this name, if no agent has made it.
///
/// # Errors
/// There is no bridge.
pub(crate) fn find_foreign_port(
    tables: &Tables,
    identity: &Identity,
    name: &str,
) -> Result<Option<ForeignPort>, AgentError> {
    let (bridge, _) = identity.bridge(tables)?;
    let interface = tables.find("Interface", name).filter(|(_, row)| !is_any_agents(row));
    let (Some((_, interface)), Some((port, _))) = (interface, tables.find("Port", name)) else {
        return Ok(None);
    };
    let is_on_bridge = Condition::new("ports", Function::Includes, port);
    let search = Operation::select("Bridge", [Condition::uuid(bridge), is_on_bridge], ["name"]);
    Ok(Some(ForeignPort { state: PortState::of(interface), search }))
}

/// What is noted of a port.
fn notes(
    kind: AgentKind,
    port: &Port,
    ifindex: u32,
    addresses: &[IpNet],
) -> [(&'static str, String); 6] {
    let addresses: Vec<_> = addresses.iter().map(IpNet::to_string).collect();
    [
        (AGENT, kind.as_str().to_owned()),
        (OBJECT, Object::Port.as_str().to_owned()),
        (OWNER, port.owner.clone()),
        (ATTACHMENT, attachment_note(&port.attachment).to_owned()),
        (IFINDEX, ifindex.to_string()),
        (ADDRESSES, addresses.join(" ")),
    ]
}

/// Adds a port to the bridge.
pub(crate) fn add_port(
    tables: &Tables,
    identity: &Identity,
    port: &Port,
    ifindex: u32,
    addresses: &[IpNet],
) -> Result<Vec<Operation>, AgentError> {
    let (bridge, _) = identity.bridge(tables)?;
    let row = Row::new()
        .with("name", port.interface.as_str())
        .with("external_ids", Value::map(notes(identity.kind, port, ifindex, addresses)));
    let mut operations = vec![expect_bridge(bridge, &identity.bridge)];
    operations.extend(insert_port(bridge, "new", row.clone(), row));
    Ok(operations)
}

/// Notes what has changed of a port, if anything has. Open vSwitch has nothing to do for that.
pub(crate) fn update_port(
    tables: &Tables,
    identity: &Identity,
    port: &Port,
    ifindex: u32,
    addresses: &[IpNet],
) -> Vec<Operation> {
    let notes = notes(identity.kind, port, ifindex, addresses);
    let notes: Vec<_> = notes.iter().map(|(key, value)| (*key, value.as_str())).collect();
    ["Port", "Interface"]
        .into_iter()
        .filter_map(|table| {
            let (uuid, row) = tables.find(table, port.interface.as_str())?;
            merge(table, uuid, row, "external_ids", &notes)
        })
        .collect()
}

/// Takes a port off the bridge.
pub(crate) fn remove_port(
    tables: &Tables,
    identity: &Identity,
    name: &str,
) -> Result<Vec<Operation>, AgentError> {
    let (bridge, _) = identity.bridge(tables)?;
    Ok(take_port_off(tables, bridge, name).into_iter().collect())
}
