//! Follows what the nodes' agents say of their ports and bridges.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, stream};
use l2sces_model::Name;
use l2sces_proto::{
    resource::v1::ChangeKind,
    switch::v1::{PortState, WatchPortsResponse},
};
use l2sces_reconcile::Queue;
use tokio::task::AbortHandle;
use tonic::Status;

use crate::{
    agent::Agents,
    board::{Board, Fact},
    domain::{Key, PortKey, Reason, Trouble},
};

/// One watch for each node.
pub(crate) struct AgentWatches {
    agents: Arc<dyn Agents>,
    board: Arc<Board>,
    queue: Queue<Key>,
    watches: Mutex<HashMap<Name, Watch>>,
}

struct Watch {
    endpoint: String,
    view: Arc<Mutex<View>>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an agent has said last.
#[derive(Default)]
struct View {
    /// Why there is no connection; none before the first attempt, and while there is one.
    fault: Option<String>,
    synced: bool,
    /// By interface.
    ports: BTreeMap<String, PortState>,
}

impl AgentWatches {
    pub(crate) fn new(agents: Arc<dyn Agents>, board: Arc<Board>, queue: Queue<Key>) -> Self {
        Self { agents, board, queue, watches: Mutex::default() }
    }

    /// Sees to it that the node's agent is watched, at this endpoint.
    pub(crate) fn ensure(&self, node: &Name, endpoint: &str) {
        let mut watches = lock(&self.watches);
        if watches.get(node).is_some_and(|watch| watch.endpoint == endpoint) {
            return;
        }
        let view = Arc::new(Mutex::default());
        let follower = Follower {
            agents: Arc::clone(&self.agents),
            board: Arc::clone(&self.board),
            queue: self.queue.clone(),
            node: node.clone(),
            endpoint: endpoint.to_owned(),
            view: Arc::clone(&view),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        watches.insert(node.clone(), Watch { endpoint: endpoint.to_owned(), view, task });
    }

    /// Stops watching a node's agent.
    pub(crate) fn stop(&self, node: &Name) {
        lock(&self.watches).remove(node);
    }

    /// Why a node's agent cannot be reached, if that is known: then there is no use in calling it,
    /// and what depends on it is woken when it is back.
    pub(crate) fn fault(&self, node: &Name) -> Option<String> {
        let watches = lock(&self.watches);
        let watch = watches.get(node)?;
        lock(&watch.view).fault.clone()
    }

    /// The ports that a node's agent has; none if that is not known.
    pub(crate) fn ports(&self, node: &Name) -> Option<Vec<PortState>> {
        let watches = lock(&self.watches);
        let view = lock(&watches.get(node)?.view);
        view.synced.then(|| view.ports.values().cloned().collect())
    }
}

impl Drop for AgentWatches {
    fn drop(&mut self) {
        lock(&self.watches).clear();
    }
}

/// What an agent tells.
enum News {
    /// Of a port.
    Port(WatchPortsResponse),
    /// The bridge is not, or may not be, as it was applied last.
    Bridge,
}

/// Follows one agent.
struct Follower {
    agents: Arc<dyn Agents>,
    board: Arc<Board>,
    queue: Queue<Key>,
    node: Name,
    endpoint: String,
    view: Arc<Mutex<View>>,
}

impl Follower {
    async fn run(self) {
        let mut pauses = super::pauses();
        loop {
            let fault = self.follow().await;
            let (was_known, was_connected) = {
                let mut view = lock(&self.view);
                let was_known = view.fault.replace(fault.clone()).is_some();
                (was_known, std::mem::take(&mut view.synced))
            };
            if !was_known {
                tracing::warn!(node = %self.node, endpoint = self.endpoint, %fault,
                    "sps-agent lost");
            }
            if was_connected {
                pauses = super::pauses();
            }
            let message = format!("the sps-agent of node {} is unreachable: {fault}", self.node);
            let trouble = Trouble::new(Reason::AgentUnreachable, message);
            self.board.set_agent(&self.node, Fact::Failed(trouble));
            if let Some(pause) = pauses.next() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Follows one connection until it ends; answers why it did.
    async fn follow(&self) -> String {
        let watches = async {
            // First the bridge: when all ports are known everything is looked at, and nothing that
            // changes after that look is missed.
            let bridge = self.agents.watch_switch(&self.endpoint).await?;
            Ok((bridge, self.agents.watch_ports(&self.endpoint).await?))
        };
        let (bridge, ports) = match watches.await {
            Ok(watches) => watches,
            Err(status) => return said(&status),
        };
        // Either ends both.
        let ended = || stream::iter([Err(Status::unavailable("the watch ended"))]);
        let bridge = bridge.map(|report| report.map(|_| News::Bridge)).chain(ended());
        let ports = ports.map(|report| report.map(News::Port)).chain(ended());
        let mut news = stream::select(bridge, ports);
        let mut reported = BTreeMap::new();
        loop {
            let response = match news.next().await {
                Some(Ok(News::Port(response))) => response,
                Some(Ok(News::Bridge)) => {
                    self.queue.wake(Key::Node(self.node.clone()));
                    continue;
                }
                Some(Err(status)) => return said(&status),
                None => return "the watches ended".to_owned(),
            };
            let synced = lock(&self.view).synced;
            match (response.kind(), response.state) {
                (ChangeKind::Synced, _) => self.synced(std::mem::take(&mut reported)),
                (ChangeKind::Put, Some(state)) if !synced => {
                    reported.insert(state.interface_name.clone(), state);
                }
                (kind, Some(state)) if synced => self.changed(kind, &state),
                (kind, _) => tracing::warn!(node = %self.node, ?kind, "unexpected change ignored"),
            }
        }
    }

    /// All ports of a new connection are known: everything of the node is looked at anew.
    fn synced(&self, ports: BTreeMap<String, PortState>) {
        tracing::info!(node = %self.node, ports = ports.len(), "sps-agent connected");
        *lock(&self.view) = View { fault: None, synced: true, ports };
        self.queue.wake(Key::Node(self.node.clone()));
        for key in self.board.ports_on(&self.node) {
            self.recheck(key);
        }
    }

    fn changed(&self, kind: ChangeKind, state: &PortState) {
        let former = {
            let mut view = lock(&self.view);
            match kind {
                ChangeKind::Put => view.ports.insert(state.interface_name.clone(), state.clone()),
                _ => view.ports.remove(&state.interface_name),
            }
        };
        let is_left_over = kind == ChangeKind::Put
            && state
                .owner
                .parse::<PortKey>()
                .is_ok_and(|key| !self.board.wants_port_on(&key, &self.node));
        if is_left_over {
            // A call that was given up took place after all.
            self.queue.wake(Key::Node(self.node.clone()));
        }
        let Some(former) = former else { return };
        // A port that is being made is out of order for a moment, and one that is not made has been
        // reported to whoever asked for it: only a port that was in order needs another look.
        let vanished = kind == ChangeKind::Deleted;
        let broke = former.error.is_empty() && !state.error.is_empty();
        // Of a deleted one nothing but the name is told.
        if let Ok(key) = former.owner.parse::<PortKey>()
            && (vanished || broke)
            && self.board.wants_port(&key)
        {
            tracing::warn!(port = %key, node = %self.node, vanished, error = state.error,
                "interface out of order");
            self.recheck(key);
        }
    }

    fn recheck(&self, key: PortKey) {
        self.board.change_port(&key, |facts| facts.recheck = true);
        self.queue.wake(Key::Port(key));
    }
}

fn said(status: &Status) -> String {
    format!("{} ({:?})", status.message(), status.code())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
