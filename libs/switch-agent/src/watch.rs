use std::collections::VecDeque;

use l2sces_ovsdb::{Change, Replica};
use thiserror::Error;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{AgentKind, PortState};

/// What happened to the bridge's ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortChange {
    /// The port exists, and this is how it is now.
    Put(PortState),
    /// All ports that existed when the watch began have been reported.
    Synced,
    /// The port with this interface is gone.
    Deleted(String),
}

/// The watcher was so slow that changes were dropped: it has to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the watcher was too slow, so changes were dropped: watch again")]
pub struct Lagged;

/// Reports every port that exists, then every change. Lost and regained connections to the
/// database do not end it.
#[derive(Debug)]
pub struct PortWatch {
    kind: AgentKind,
    snapshot: VecDeque<PortChange>,
    changes: Receiver<Change>,
}

impl PortWatch {
    pub(crate) fn new(replica: &Replica, kind: AgentKind) -> Self {
        let (mut snapshot, changes) = replica.read_and_subscribe(|tables| {
            tables
                .rows("Interface")
                .filter_map(|(_, row)| PortState::read(Some(row), kind))
                .map(PortChange::Put)
                .collect::<VecDeque<_>>()
        });
        snapshot.push_back(PortChange::Synced);
        Self { kind, snapshot, changes }
    }

    /// The next report; `None` when the agent ends.
    ///
    /// # Errors
    /// The caller is too slow. Nothing more is reported.
    pub async fn next(&mut self) -> Result<Option<PortChange>, Lagged> {
        if let Some(change) = self.snapshot.pop_front() {
            return Ok(Some(change));
        }
        loop {
            match self.changes.recv().await {
                Ok(change) => {
                    if let Some(change) = self.of_interest(&change) {
                        return Ok(Some(change));
                    }
                }
                Err(RecvError::Lagged(_)) => return Err(Lagged),
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    fn of_interest(&self, change: &Change) -> Option<PortChange> {
        if &*change.table != "Interface" {
            return None;
        }
        let old = PortState::read(change.old.as_ref(), self.kind);
        let new = PortState::read(change.new.as_ref(), self.kind);
        match (old, new) {
            (old, Some(new)) => (old.as_ref() != Some(&new)).then_some(PortChange::Put(new)),
            (Some(old), None) => Some(PortChange::Deleted(old.interface)),
            (None, None) => None,
        }
    }
}
