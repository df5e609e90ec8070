//! The bridge as it is and as it is wanted → OVSDB operations. Pure.

mod bridge;
mod certificate;
mod ports;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use l2sces_ovsdb::{Condition, Mutation, Mutator, Operation, Row, Tables, Until, Uuid, Value};

pub(crate) use bridge::{Wanted, apply_switch, delete_switch};
pub(crate) use ports::{PortRow, add_port, find_foreign_port, find_port, remove_port, update_port};

/// What to do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// One transaction; empty: nothing differs.
    pub(crate) operations: Vec<Operation>,
    /// The local and remote address of each tunnel that is made.
    pub(crate) new_links: Vec<(IpAddr, IpAddr)>,
}

/// Makes the transaction fail when the bridge is gone that the plan was made for: what it inserts
/// would belong to nothing and vanish without an error.
fn expect_bridge(bridge: Uuid, name: &str) -> Operation {
    Operation::wait(
        Duration::ZERO,
        "Bridge",
        [Condition::uuid(bridge)],
        ["name"],
        Until::Equal,
        [Row::new().with("name", name)],
    )
}

/// Inserts a port with one interface and puts it on a bridge. `label` must be unique among the
/// insertions of a transaction.
fn insert_port(bridge: impl Into<Value>, label: &str, port: Row, interface: Row) -> [Operation; 3] {
    let (interface_name, port_name) = (format!("interface_{label}"), format!("port_{label}"));
    let port = port.with("interfaces", Value::named(&interface_name));
    [
        Operation::insert_named("Interface", interface_name, interface),
        Operation::insert_named("Port", &port_name, port),
        Operation::mutate(
            "Bridge",
            [Condition::uuid(bridge)],
            [Mutation::new("ports", Mutator::Insert, Value::named(port_name))],
        ),
    ]
}

/// Takes the port of this name off a bridge; nothing else refers to it, so it vanishes.
fn take_port_off(tables: &Tables, bridge: Uuid, name: &str) -> Option<Operation> {
    let (port, _) = tables.find("Port", name)?;
    Some(Operation::mutate(
        "Bridge",
        [Condition::uuid(bridge)],
        [Mutation::new("ports", Mutator::Delete, port)],
    ))
}

/// Sets columns of a row, if any differ.
fn update(table: &str, uuid: Uuid, row: &Row, wanted: &Row) -> Option<Operation> {
    let differing = row.differing(wanted);
    (!differing.is_empty()).then(|| Operation::update(table, [Condition::uuid(uuid)], differing))
}

/// Sets keys of a map column, if any differ. Keys of others stay.
fn merge(
    table: &str,
    uuid: Uuid,
    row: &Row,
    column: &str,
    wanted: &[(&str, &str)],
) -> Option<Operation> {
    let differing: Vec<_> = wanted
        .iter()
        .filter(|(key, value)| row.map_string(column, key) != Some(value))
        .copied()
        .collect();
    if differing.is_empty() {
        return None;
    }
    let keys = differing.iter().map(|(key, _)| *key);
    Some(Operation::mutate(
        table,
        [Condition::uuid(uuid)],
        [
            // To insert a key that exists changes nothing, so it has to go first.
            Mutation::new(column, Mutator::Delete, Value::set(keys)),
            Mutation::new(column, Mutator::Insert, Value::map(differing)),
        ],
    ))
}
