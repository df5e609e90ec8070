//! Which trunks networks use: an engine that takes note of the handoffs it is told of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use l2sces_controller::{
    EndpointSpec, LinkState, NetworkSpec, PortId, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_reconcile::Queue;
use tokio::sync::Notify;

use crate::{
    board::Board,
    domain::Key,
    fabric::{Fabric, handoff_slice},
};

/// The switches whose trunks networks use.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    handoffs: Mutex<BTreeMap<PortId, DatapathId>>,
    /// Those by which frames pass.
    ready: Mutex<BTreeSet<PortId>>,
    changed: Notify,
}

impl Trunks {
    /// Whether a network uses the trunk of a switch.
    pub(crate) fn are_used(&self, switch: DatapathId) -> bool {
        lock(&self.handoffs).values().any(|used| *used == switch)
    }

    /// Whether a network of a slice uses the trunk of a switch.
    pub(crate) fn are_used_by(&self, slice: &Name, switch: DatapathId) -> bool {
        let handoffs = lock(&self.handoffs);
        let mut users = handoffs.iter().filter(|(_, used)| **used == switch);
        users.any(|(id, _)| handoff_slice(id).as_ref() == Some(slice))
    }

    /// Whether frames pass a handoff.
    pub(crate) fn is_ready(&self, id: &PortId) -> bool {
        lock(&self.ready).contains(id)
    }

    /// Takes note whether frames pass a handoff.
    pub(crate) fn set_ready(&self, id: PortId, is_ready: bool) {
        let mut ready = lock(&self.ready);
        if is_ready {
            ready.insert(id);
        } else {
            ready.remove(&id);
        }
        drop(ready);
        self.changed.notify_one();
    }

    /// Waits until frames pass other handoffs than before.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes note of a handoff, or that there is none any more; answers with the switch that it has
    /// left.
    fn note(&self, id: &PortId, switch: Option<DatapathId>) -> Option<DatapathId> {
        let mut handoffs = lock(&self.handoffs);
        let former = match switch {
            Some(switch) => handoffs.insert(id.clone(), switch),
            None => {
                lock(&self.ready).remove(id);
                handoffs.remove(id)
            }
        };
        former.filter(|former| Some(*former) != switch)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fabric whose trunks are watched: when the last network of a slice has left the trunk of a node,
/// the slice is woken, which may have to let go of the node, and the node, whose trunk may have to go.
pub(crate) struct WatchedTrunks {
    pub(crate) fabric: Arc<dyn Fabric>,
    pub(crate) trunks: Arc<Trunks>,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Queue<Key>,
}

impl WatchedTrunks {
    fn left(&self, id: &PortId, switch: Option<DatapathId>) {
        let Some(slice) = handoff_slice(id) else { return };
        let Some(unused) = switch.filter(|switch| !self.trunks.are_used_by(&slice, *switch)) else {
            return;
        };
        self.queue.wake(Key::Slice(slice));
        // One that was deleted by force is not there any more.
        if let Some(node) = self.board.node_of(unused) {
            self.queue.wake(Key::Node(node));
        }
    }
}

#[async_trait]
impl Fabric for WatchedTrunks {
    async fn put_switch(&self, spec: SwitchSpec) {
        self.fabric.put_switch(spec).await;
    }

    async fn remove_switch(&self, id: DatapathId) {
        self.fabric.remove_switch(id).await;
    }

    async fn put_slice(&self, spec: SliceSpec) {
        self.fabric.put_slice(spec).await;
    }

    async fn remove_slice(&self, name: Name) {
        self.fabric.remove_slice(name).await;
    }

    async fn put_network(&self, spec: NetworkSpec) {
        self.fabric.put_network(spec).await;
    }

    async fn remove_network(&self, vni: Vni) {
        self.fabric.remove_network(vni).await;
    }

    async fn put_port(&self, spec: PortSpec) {
        if !matches!(spec.role, PortRole::Trunk { .. }) {
            return self.fabric.put_port(spec).await;
        }
        let (id, switch) = (spec.id.clone(), spec.switch);
        let former = self.trunks.note(&id, Some(switch));
        self.fabric.put_port(spec).await;
        self.left(&id, former);
    }

    async fn remove_port(&self, id: PortId) {
        self.fabric.remove_port(id.clone()).await;
        self.left(&id, self.trunks.note(&id, None));
    }

    async fn put_endpoint(&self, spec: EndpointSpec) {
        self.fabric.put_endpoint(spec).await;
    }

    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        self.fabric.remove_endpoint(vni, mac).await;
    }

    async fn put_learned(&self, port: PortId, addresses: BTreeSet<MacAddress>) {
        self.fabric.put_learned(port, addresses).await;
    }

    async fn set_complete(&self) {
        self.fabric.set_complete().await;
    }

    async fn links(&self) -> Vec<LinkState> {
        self.fabric.links().await
    }
}
