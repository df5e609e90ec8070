//! The certificate that Open vSwitch shows to its controllers: one for the whole Open vSwitch, so
//! the two agents of a node share it.

use std::{collections::BTreeSet, time::Duration};

use l2sces_ovsdb::{Condition, Operation, Row, Tables, Until, Uuid, Value};

use super::update;
use crate::{
    AgentKind, TlsFiles,
    error::AgentError,
    marks::{Object, is_any_agents, is_marked, marks},
};

/// Sees to it that there is a certificate. One that this agent set is kept up to date; another's
/// is left alone as long as its files exist.
pub(super) fn provide(
    tables: &Tables,
    kind: AgentKind,
    files: Option<&TlsFiles>,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Vec<Operation>, AgentError> {
    let current = current(tables);
    let Some(files) = files else {
        return if current.is_some() { Ok(Vec::new()) } else { Err(AgentError::NoCertificate) };
    };
    let columns = Row::new()
        .with("private_key", files.key.as_str())
        .with("certificate", files.cert.as_str())
        .with("ca_cert", files.ca.as_str());
    if let Some((uuid, row)) = current {
        if is_marked(row, kind, Object::Certificate) {
            return Ok(update("SSL", uuid, row, &columns).into_iter().collect());
        }
        let mut named = ["private_key", "certificate", "ca_cert"]
            .into_iter()
            .map(|column| row.string(column).unwrap_or_default());
        if named.all(exists) {
            return Ok(Vec::new());
        }
    }
    let row = columns.with("external_ids", marks(kind, Object::Certificate));
    Ok(vec![
        Operation::insert_named("SSL", "certificate", row),
        Operation::update("Open_vSwitch", [], Row::new().with("ssl", Value::named("certificate"))),
    ])
}

/// Removes the certificate, if an agent set it and nothing needs it but these controllers. Fails the
/// transaction when a controller has come or gone that the plan does not know of: the other agent
/// may just have made its bridge.
pub(super) fn withdraw(tables: &Tables, controllers: &BTreeSet<Uuid>) -> Option<[Operation; 2]> {
    let (uuid, row) = current(tables)?;
    let needs = |row: &Row| row.string("target").is_some_and(|target| target.contains("ssl:"));
    let needed = tables
        .rows("Controller")
        .any(|(controller, row)| !controllers.contains(&controller) && needs(row))
        || tables.rows("Manager").any(|(_, row)| needs(row));
    (is_any_agents(row) && !needed).then(|| {
        let targets = tables.rows("Controller").filter_map(|(_, row)| row.string("target"));
        let known = targets.map(|target| Row::new().with("target", target));
        [
            Operation::wait(Duration::ZERO, "Controller", [], ["target"], Until::Equal, known),
            Operation::update(
                "Open_vSwitch",
                [Condition::equal("ssl", uuid)],
                Row::new().with("ssl", Value::none()),
            ),
        ]
    })
}

fn current(tables: &Tables) -> Option<(Uuid, &Row)> {
    let (_, root) = tables.rows("Open_vSwitch").next()?;
    let uuid = root.uuids("ssl").next()?;
    Some((uuid, tables.row("SSL", uuid)?))
}
