//! The part of Open vSwitch's database that the agent reads.

use std::sync::Arc;

use l2sces_ovsdb::{Address, Config, MonitoredTable, Row, Tables, Uuid};

use crate::{
    AgentKind,
    error::AgentError,
    marks::{Object, is_marked},
};

/// What is kept a replica of: nothing that changes all the time, such as statistics, and not
/// `Bridge.ports`, which has every port of the bridge and is sent whole with every change.
pub(crate) fn config(address: Address) -> Config {
    Config::new(address, "Open_vSwitch")
        .monitor(MonitoredTable::new("Open_vSwitch", ["next_cfg", "cur_cfg", "ovs_version", "ssl"]))
        .monitor(
            MonitoredTable::new(
                "Bridge",
                [
                    "name",
                    "controller",
                    "datapath_type",
                    "external_ids",
                    "fail_mode",
                    "other_config",
                    "protocols",
                ],
            )
            .indexed_by("name"),
        )
        .monitor(MonitoredTable::new(
            "Controller",
            [
                "target",
                "is_connected",
                "connection_mode",
                "external_ids",
                "inactivity_probe",
                "max_backoff",
            ],
        ))
        .monitor(MonitoredTable::new("Manager", ["target"]))
        .monitor(MonitoredTable::new(
            "SSL",
            ["private_key", "certificate", "ca_cert", "external_ids"],
        ))
        .monitor(MonitoredTable::new("Port", ["name", "external_ids"]).indexed_by("name"))
        .monitor(
            MonitoredTable::new(
                "Interface",
                ["name", "type", "options", "bfd", "external_ids", "ofport", "error", "link_state"],
            )
            .indexed_by("name"),
        )
}

/// Which bridge an agent owns.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) kind: AgentKind,
    pub(crate) bridge: String,
}

impl Identity {
    /// The agent's bridge; `None` if there is none.
    ///
    /// # Errors
    /// There is a bridge of that name, and the agent has not made it.
    pub(crate) fn find_bridge<'a>(
        &self,
        tables: &'a Tables,
    ) -> Result<Option<(Uuid, &'a Arc<Row>)>, AgentError> {
        match tables.find("Bridge", &self.bridge) {
            Some((_, row)) if !is_marked(row, self.kind, Object::Bridge) => {
                Err(AgentError::ForeignBridge(self.bridge.clone()))
            }
            found => Ok(found),
        }
    }

    /// The agent's bridge, which must exist.
    ///
    /// # Errors
    /// It does not, or the agent has not made it.
    pub(crate) fn bridge<'a>(
        &self,
        tables: &'a Tables,
    ) -> Result<(Uuid, &'a Arc<Row>), AgentError> {
        self.find_bridge(tables)?.ok_or_else(|| AgentError::NoBridge(self.bridge.clone()))
    }

    /// The interface of this name, which if it exists must be of this kind and this agent's.
    ///
    /// # Errors
    /// It is something else, or somebody else's.
    pub(crate) fn find_interface<'a>(
        &self,
        tables: &'a Tables,
        name: &str,
        object: Object,
    ) -> Result<Option<&'a Arc<Row>>, AgentError> {
        match tables.find("Interface", name) {
            Some((_, row)) if !is_marked(row, self.kind, object) => {
                Err(AgentError::ForeignInterface {
                    name: name.to_owned(),
                    reason: "is part of Open vSwitch, and not as this agent's",
                })
            }
            Some((_, row)) => Ok(Some(row)),
            None => Ok(None),
        }
    }
}
