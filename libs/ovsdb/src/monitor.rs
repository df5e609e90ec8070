//! Monitors of RFC 7047, sections 4.1.5 and 4.1.6.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{Row, Uuid, error::ConnectionError};

/// A table of which a [`Client`](crate::Client) keeps a replica.
#[derive(Clone, Debug)]
pub struct MonitoredTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) index: Option<String>,
}

impl MonitoredTable {
    /// These columns of a table. Leave out what changes all the time and nobody reads, such as
    /// statistics.
    pub fn new<C: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        Self {
            name: name.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            index: None,
        }
    }

    /// Lets rows be found by the string in this column, which must be one of those monitored and
    /// unique in the table.
    #[must_use]
    pub fn indexed_by(mut self, column: impl Into<String>) -> Self {
        self.index = Some(column.into());
        self
    }
}

/// `<table-updates>`: what became of rows, by table. `None`: deleted.
#[derive(Debug, PartialEq)]
pub(crate) struct TableUpdates(pub(crate) HashMap<String, HashMap<Uuid, Option<Row>>>);

/// `<row-update>`. The old values are known from the replica.
#[derive(Deserialize)]
struct RowUpdate {
    new: Option<Row>,
}

impl TableUpdates {
    pub(crate) fn parse(json: Json) -> Result<Self, ConnectionError> {
        let tables: HashMap<String, HashMap<Uuid, RowUpdate>> = serde_json::from_value(json)
            .map_err(|error| ConnectionError::Message(error.to_string()))?;
        let rows = |rows: HashMap<Uuid, RowUpdate>| {
            rows.into_iter().map(|(uuid, update)| (uuid, update.new)).collect()
        };
        Ok(Self(tables.into_iter().map(|(table, updates)| (table, rows(updates))).collect()))
    }
}

/// Parameters of a `monitor` request. We have one monitor per connection, so its id says nothing.
pub(crate) fn monitor_params(database: &str, tables: &[MonitoredTable]) -> Json {
    let requests: serde_json::Map<_, _> = tables
        .iter()
        .map(|table| (table.name.clone(), json!([{"columns": table.columns}])))
        .collect();
    json!([database, null, requests])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_tables_and_columns() {
        let tables = [MonitoredTable::new("Bridge", ["name", "ports"])];
        assert_eq!(
            monitor_params("Open_vSwitch", &tables),
            json!(["Open_vSwitch", null, {"Bridge": [{"columns": ["name", "ports"]}]}])
        );
    }

    #[test]
    fn updates_tell_what_became_of_a_row() {
        let uuids = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
        let [inserted, modified, deleted] = uuids.map(|uuid| uuid.to_string());
        let updates = TableUpdates::parse(json!({"Bridge": {
            inserted: {"new": {"name": "a"}},
            modified: {"old": {"name": "x"}, "new": {"name": "b"}},
            deleted: {"old": {"name": "c"}},
        }}))
        .unwrap();
        let bridge = &updates.0["Bridge"];
        assert_eq!(bridge[&uuids[0]], Some(Row::new().with("name", "a")));
        assert_eq!(bridge[&uuids[1]], Some(Row::new().with("name", "b")));
        assert_eq!(bridge[&uuids[2]], None);
    }
}
