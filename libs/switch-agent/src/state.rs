//! What is of the bridge and its ports, read from the database.

use std::sync::Arc;

use l2sces_model::DatapathId;
use l2sces_ovsdb::{Row, Tables, Uuid};

use crate::{
    AgentKind,
    database::Identity,
    error::AgentError,
    marks::{OWNER, Object, is_marked},
};

/// What is of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchState {
    /// OpenFlow datapath id; `None`: the database has none that is valid.
    pub datapath_id: Option<DatapathId>,
    /// Whether a controller is connected. Open vSwitch's word, which lags by seconds.
    pub controller_connected: bool,
    /// Its tunnels, by name.
    pub links: Vec<LinkState>,
    /// Version of Open vSwitch; empty if it was not started by its own script, which notes it.
    pub ovs_version: String,
}

/// What is of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Its interface.
    pub interface: String,
    /// OpenFlow port number.
    pub ofport: Option<u32>,
    /// Why it does not work.
    pub error: Option<String>,
}

/// What is of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortState {
    /// Its interface on the bridge.
    pub interface: String,
    /// OpenFlow port number.
    pub ofport: Option<u32>,
    /// Why it does not work.
    pub error: Option<String>,
    /// Who it is for.
    pub owner: String,
}

impl SwitchState {
    /// The agent's bridge; `None` if there is none.
    pub(crate) fn read(tables: &Tables, identity: &Identity) -> Result<Option<Self>, AgentError> {
        let Some((_, bridge)) = identity.find_bridge(tables)? else { return Ok(None) };
        let mut links: Vec<_> = tables
            .rows("Interface")
            .filter(|(_, row)| is_marked(row, identity.kind, Object::Link))
            .map(|(_, row)| LinkState {
                interface: name(row),
                ofport: ofport(row),
                error: error(row),
            })
            .collect();
        links.sort_by(|a, b| a.interface.cmp(&b.interface));
        let connected = |controller: Uuid| {
            let row = tables.row("Controller", controller);
            row.and_then(|row| row.boolean("is_connected")) == Some(true)
        };
        let root = tables.rows("Open_vSwitch").next();
        let version = root.and_then(|(_, root)| root.string("ovs_version"));
        Ok(Some(Self {
            datapath_id: bridge
                .map_string("other_config", "datapath-id")
                .and_then(|id| id.parse().ok()),
            controller_connected: bridge.uuids("controller").any(connected),
            links,
            ovs_version: version.unwrap_or_default().to_owned(),
        }))
    }
}

impl PortState {
    /// The port whose interface this row is; `None` if it is none of this agent's ports.
    pub(crate) fn read(row: Option<&Arc<Row>>, kind: AgentKind) -> Option<Self> {
        row.filter(|row| is_marked(row, kind, Object::Port)).map(|row| Self::of(row))
    }

    /// The port whose interface this row is.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            interface: name(row),
            ofport: ofport(row),
            error: error(row).or_else(|| link_error(row)),
            owner: row.map_string("external_ids", OWNER).unwrap_or_default().to_owned(),
        }
    }
}

fn name(row: &Row) -> String {
    row.string("name").unwrap_or_default().to_owned()
}

fn ofport(row: &Row) -> Option<u32> {
    row.integer("ofport").and_then(|number| u32::try_from(number).ok())
}

/// What Open vSwitch says, or what its silence means: it sets `ofport` to -1 when it cannot make
/// the port, and to nothing until it has tried.
fn error(row: &Row) -> Option<String> {
    match (row.string("error"), row.integer("ofport")) {
        (Some(error), _) => Some(error.to_owned()),
        (None, None) => Some("Open vSwitch has not made the port yet".to_owned()),
        (None, Some(..0)) => Some("Open vSwitch cannot make the port".to_owned()),
        (None, Some(_)) => None,
    }
}

fn link_error(row: &Row) -> Option<String> {
    (row.string("link_state") == Some("down")).then(|| "the interface is down".to_owned())
}

#[cfg(test)]
mod tests {
    use l2sces_ovsdb::Value;

    use super::*;
    use crate::marks::marks;

    fn port(row: Row) -> Option<PortState> {
        let row =
            row.with("name", "l2p-1").with("external_ids", marks(AgentKind::Sps, Object::Port));
        PortState::read(Some(&Arc::new(row)), AgentKind::Sps)
    }

    fn error_of(row: Row) -> Option<String> {
        port(row).unwrap().error
    }

    #[test]
    fn a_port_that_works_has_no_error() {
        let state = port(Row::new().with("ofport", 7).with("link_state", "up")).unwrap();
        assert_eq!((state.ofport, state.error), (Some(7), None));
    }

    #[test]
    fn every_way_of_not_working_is_told() {
        let refused = Row::new().with("ofport", -1).with("error", "File exists");
        assert_eq!(port(refused.clone()).unwrap().ofport, None);
        assert_eq!(error_of(refused).as_deref(), Some("File exists"));
        for row in [
            Row::new().with("ofport", -1),
            Row::new().with("ofport", Value::none()),
            Row::new().with("ofport", 7).with("link_state", "down"),
        ] {
            assert!(error_of(row.clone()).is_some(), "{row:?}");
        }
    }

    #[test]
    fn rows_of_others_are_no_ports() {
        for marks in [
            Value::map::<&str, &str>([]),
            marks(AgentKind::Ned, Object::Port),
            marks(AgentKind::Sps, Object::Link),
        ] {
            let row = Arc::new(Row::new().with("name", "x").with("external_ids", marks));
            assert_eq!(PortState::read(Some(&row), AgentKind::Sps), None);
        }
    }
}
