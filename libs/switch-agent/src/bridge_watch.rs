use std::{sync::Arc, time::Duration};

use l2sces_ovsdb::{Change, Row};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};
use tracing::info;

use crate::{
    Agent, AgentKind, Switch, SwitchState,
    marks::{Object, is_marked},
};

/// Shortest time between two reports, so that two that disagree about the bridge do not keep the
/// node busy.
const PAUSE: Duration = Duration::from_secs(1);

/// How the bridge was made last.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What was wanted.
    pub(crate) switch: Switch,
    /// What was answered.
    pub(crate) state: SwitchState,
}

/// Reports the bridge as it is, and again whenever it is no longer as it was last made: because
/// somebody else changed it, or Open vSwitch thinks otherwise of a tunnel. Lost and regained
/// connections to the database do not end it.
pub struct SwitchWatch {
    agent: Arc<Agent>,
    changes: Receiver<Change>,
    /// When the last report was; `None`: there was none.
    reported: Option<Instant>,
}

impl SwitchWatch {
    pub(crate) fn new(agent: Arc<Agent>) -> Self {
        let ((), changes) = agent.client.replica().read_and_subscribe(|_| ());
        Self { agent, changes, reported: None }
    }

    /// The next report: the bridge, `None` if there is none of the agent's.
    pub async fn next(&mut self) -> Option<SwitchState> {
        if let Some(reported) = self.reported {
            loop {
                self.change().await;
                sleep_until(reported + PAUSE).await;
                // Not while the bridge is being made: whoever has that done gets an answer.
                let applied = self.agent.bridge.read().await;
                // The look at the bridge covers all changes until now.
                self.changes = self.changes.resubscribe();
                if applied.as_ref().is_some_and(|applied| !self.agent.is_as(applied)) {
                    break;
                }
            }
            info!("the bridge is not as it was made");
        }
        self.reported = Some(Instant::now());
        self.agent.switch().ok().flatten()
    }

    /// Waits for a change that may concern the bridge.
    async fn change(&mut self) {
        loop {
            match self.changes.recv().await {
                Ok(change) if !concerns(&change, self.agent.identity.kind) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The sender lives as long as the agent.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// Whether a change may be one of an agent's bridge itself: none of its ports, of which there may
/// be many.
fn concerns(change: &Change, kind: AgentKind) -> bool {
    let rows = || [&change.old, &change.new].into_iter().flatten();
    match &*change.table {
        "Interface" => rows().any(|row| is_of_bridge(row, kind)),
        "Open_vSwitch" => {
            let [old, new] = [&change.old, &change.new]
                .map(|row| row.as_ref().map(|row| row.uuids("ssl").collect::<Vec<_>>()));
            old != new
        }
        "Port" => false,
        _ => true,
    }
}

fn is_of_bridge(row: &Row, kind: AgentKind) -> bool {
    [Object::Link, Object::Trunk, Object::Listener]
        .into_iter()
        .any(|object| is_marked(row, kind, object))
}

#[cfg(test)]
mod tests {
    use l2sces_ovsdb::{Uuid, Value};

    use super::*;
    use crate::marks::marks;

    fn change(table: &str, old: Option<Row>, new: Option<Row>) -> Change {
        let [old, new] = [old, new].map(|row| row.map(Arc::new));
        Change { table: table.into(), uuid: Uuid::from_u128(1), old, new }
    }

    fn of(kind: AgentKind, object: Object) -> Option<Row> {
        Some(Row::new().with("external_ids", marks(kind, object)))
    }

    fn marked(object: Object) -> Option<Row> {
        of(AgentKind::Sps, object)
    }

    #[test]
    fn the_bridge_is_its_tunnels_trunk_and_settings_but_not_its_ports() {
        let concerns = |change| concerns(&change, AgentKind::Sps);
        for object in [Object::Link, Object::Trunk, Object::Listener] {
            assert!(concerns(change("Interface", marked(object), None)), "{object:?} gone");
            assert!(concerns(change("Interface", None, marked(object))), "{object:?} made");
            assert!(concerns(change("Interface", marked(object), Some(Row::new()))), "unmarked");
            assert!(!concerns(change("Interface", of(AgentKind::Ned, object), None)), "another's");
        }
        assert!(!concerns(change("Interface", marked(Object::Port), None)));
        assert!(!concerns(change("Interface", None, Some(Row::new()))));
        assert!(!concerns(change("Port", None, marked(Object::Port))));
        for table in ["Bridge", "Controller", "SSL"] {
            assert!(concerns(change(table, Some(Row::new()), None)), "{table}");
        }
        let root =
            |number: i64, ssl: Value| Some(Row::new().with("next_cfg", number).with("ssl", ssl));
        let ssl = Value::from(Uuid::from_u128(2));
        assert!(!concerns(change("Open_vSwitch", root(1, ssl.clone()), root(2, ssl.clone()))));
        assert!(concerns(change("Open_vSwitch", root(1, ssl), root(1, Value::none()))));
    }
}
