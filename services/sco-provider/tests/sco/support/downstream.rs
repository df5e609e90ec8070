//! Stand-ins for what the workers drive. They outlive the process under test, except the engine,
//! whose memory is the process's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::StreamExt as _;
use l2sces_controller::{
    EndpointSpec, LinkState, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_measurement::Measurements;
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_proto::{
    measurement::v1::LinkMeasurement,
    switch::v1::{Switch, SwitchState, WatchMeasurementsRequest, WatchMeasurementsResponse},
};
use sco_provider::{
    domain::EndpointKey,
    downstream::{Agents, DownstreamError, Fabric, NameRecord, Names},
};
use tokio::sync::{Notify, RwLock, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Counts calls; at one of them the process "dies": the call never returns.
#[derive(Default)]
pub(crate) struct Fuse {
    calls: AtomicUsize,
    /// The call at which to blow; 0: never.
    at: AtomicUsize,
    pub(crate) blown: Notify,
}

impl Fuse {
    pub(crate) fn set(&self, at: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    async fn pass(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at.load(Ordering::SeqCst) {
            self.blown.notify_one();
            future::pending::<()>().await;
        }
    }
}

/// What the engine was told.
#[derive(Clone, Default)]
pub(crate) struct FakeFabric {
    pub(crate) state: Arc<Mutex<FabricState>>,
    /// Ports and endpoints are removed while nobody holds it for writing.
    pub(crate) removal_gate: Arc<RwLock<()>>,
    pub(crate) fuse: Arc<Fuse>,
}

#[derive(Default)]
pub(crate) struct FabricState {
    pub(crate) switches: BTreeMap<DatapathId, SwitchSpec>,
    pub(crate) slices: BTreeMap<Name, SliceSpec>,
    pub(crate) networks: BTreeMap<Vni, NetworkSpec>,
    pub(crate) ports: BTreeMap<PortId, PortSpec>,
    pub(crate) endpoints: BTreeMap<(Vni, MacAddress), EndpointSpec>,
    pub(crate) complete: bool,
    /// How often a network was put: once whenever it is looked at.
    pub(crate) network_puts: usize,
    /// How often a slice was put or removed: once whenever it is looked at.
    pub(crate) slice_changes: usize,
    /// How often links were asked for.
    pub(crate) looks: usize,
    /// Links that do not work, in this direction.
    pub(crate) cut: BTreeSet<(DatapathId, DatapathId)>,
}

impl FabricState {
    pub(crate) fn is_empty(&self) -> bool {
        self.switches.is_empty()
            && self.slices.is_empty()
            && self.networks.is_empty()
            && self.ports.is_empty()
            && self.endpoints.is_empty()
    }
}

impl FakeFabric {
    /// Every call may be the last: before it has an effect, or after.
    async fn change(&self, change: impl FnOnce(&mut FabricState)) {
        self.fuse.pass().await;
        change(&mut self.state.lock().unwrap());
        self.fuse.pass().await;
    }
}

impl Fabric for FakeFabric {
    async fn put_switch(&self, spec: SwitchSpec) {
        self.change(|state| drop(state.switches.insert(spec.id, spec))).await;
    }

    async fn remove_switch(&self, id: DatapathId) {
        self.change(|state| drop(state.switches.remove(&id))).await;
    }

    async fn put_slice(&self, spec: SliceSpec) {
        self.change(|state| {
            state.slice_changes += 1;
            state.slices.insert(spec.name.clone(), spec);
        })
        .await;
    }

    async fn remove_slice(&self, name: Name) {
        self.change(|state| {
            state.slice_changes += 1;
            state.slices.remove(&name);
        })
        .await;
    }

    async fn put_network(&self, spec: NetworkSpec) {
        self.change(|state| {
            state.network_puts += 1;
            state.networks.insert(spec.vni, spec);
        })
        .await;
    }

    async fn remove_network(&self, vni: Vni) {
        self.change(|state| drop(state.networks.remove(&vni))).await;
    }

    async fn put_port(&self, spec: PortSpec) {
        self.change(|state| drop(state.ports.insert(spec.id.clone(), spec))).await;
    }

    async fn remove_port(&self, id: PortId) {
        let _open = self.removal_gate.read().await;
        self.change(|state| drop(state.ports.remove(&id))).await;
    }

    async fn put_endpoint(&self, spec: EndpointSpec) {
        self.change(|state| drop(state.endpoints.insert((spec.vni, spec.mac), spec))).await;
    }

    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        let _open = self.removal_gate.read().await;
        self.change(|state| drop(state.endpoints.remove(&(vni, mac)))).await;
    }

    async fn set_complete(&self) {
        self.change(|state| state.complete = true).await;
    }

    async fn links(&self) -> Vec<LinkState> {
        // As the engine, which is another task.
        tokio::task::yield_now().await;
        let mut state = self.state.lock().unwrap();
        state.looks += 1;
        let links = state.slices.values().flat_map(|slice| &slice.links);
        let both = links.flat_map(|link| [(&link.a, &link.b), (&link.b, &link.a)]);
        both.map(|(from, to)| LinkState {
            from: from.clone(),
            to: to.clone(),
            up: !state.cut.contains(&(from.switch, to.switch)),
            message: String::new(),
        })
        .collect()
    }
}

/// Every gateway's bridge, by its agent's endpoint.
#[derive(Clone, Default)]
pub(crate) struct FakeAgents {
    pub(crate) bridges: Arc<Mutex<HashMap<String, Switch>>>,
    pub(crate) outages: Arc<Mutex<HashMap<String, Outages>>>,
    /// How often each bridge was changed by others.
    pub(crate) intrusions: Arc<Mutex<HashMap<String, usize>>>,
    pub(crate) changed: Arc<Notify>,
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) measuring:
        Arc<Mutex<HashMap<String, (WatchMeasurementsRequest, MeasurementWatcher)>>>,
}

/// Whom an agent reports its measurements to.
pub(crate) type MeasurementWatcher = mpsc::Sender<Result<WatchMeasurementsResponse, Status>>;

/// How often an agent was down, and whether it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outages {
    count: usize,
    down: bool,
}

impl FakeAgents {
    /// The tunnels that an agent measures now.
    pub(crate) fn measured(&self, endpoint: &str) -> Vec<String> {
        let measuring = self.measuring.lock().unwrap();
        let current = measuring.get(endpoint).filter(|(_, watcher)| !watcher.is_closed());
        let links = current.into_iter().flat_map(|(request, _)| &request.links);
        links.map(|link| link.interface_name.clone()).collect()
    }

    /// An agent reports a round of so many probes over a tunnel, if it was asked to measure.
    pub(crate) fn report(&self, endpoint: &str, interface_name: String, probes_sent: u32) -> bool {
        let measurement = Some(LinkMeasurement { probes_sent, ..LinkMeasurement::default() });
        let report = WatchMeasurementsResponse { interface_name, measurement };
        let measuring = self.measuring.lock().unwrap();
        measuring.get(endpoint).is_some_and(|(_, watcher)| watcher.try_send(Ok(report)).is_ok())
    }

    pub(crate) fn set_down(&self, endpoint: &str, down: bool) {
        let mut all = self.outages.lock().unwrap();
        let outages = all.entry(endpoint.to_owned()).or_default();
        outages.count += usize::from(down && !outages.down);
        outages.down = down;
        self.changed.notify_waiters();
    }

    /// Somebody removes a bridge behind the agent's back.
    pub(crate) fn lose_bridge(&self, endpoint: &str) {
        self.bridges.lock().unwrap().remove(endpoint);
        *self.intrusions.lock().unwrap().entry(endpoint.to_owned()).or_default() += 1;
        self.changed.notify_waiters();
    }

    fn intrusions_at(&self, endpoint: &str) -> usize {
        self.intrusions.lock().unwrap().get(endpoint).copied().unwrap_or_default()
    }

    fn outages(&self, endpoint: &str) -> Outages {
        self.outages.lock().unwrap().get(endpoint).copied().unwrap_or_default()
    }

    /// The tunnels of a bridge, as their far ends' addresses.
    pub(crate) fn tunnels(&self, endpoint: &str) -> Option<Vec<String>> {
        let bridges = self.bridges.lock().unwrap();
        let links = &bridges.get(endpoint)?.links;
        Some(links.iter().map(|link| link.remote_address.clone()).collect())
    }

    fn check(&self, endpoint: &str) -> Result<(), DownstreamError> {
        if self.outages(endpoint).down { Err(unavailable(endpoint)) } else { Ok(()) }
    }
}

impl Agents for FakeAgents {
    async fn apply_switch(
        &self,
        endpoint: &str,
        wanted: Switch,
    ) -> Result<SwitchState, DownstreamError> {
        self.check(endpoint)?;
        self.fuse.pass().await;
        self.bridges.lock().unwrap().insert(endpoint.to_owned(), wanted);
        self.fuse.pass().await;
        Ok(SwitchState::default())
    }

    async fn delete_switch(&self, endpoint: &str) -> Result<(), DownstreamError> {
        self.check(endpoint)?;
        self.fuse.pass().await;
        self.bridges.lock().unwrap().remove(endpoint);
        self.fuse.pass().await;
        Ok(())
    }

    async fn attend(&self, endpoint: &str, mut reported: impl FnMut() + Send) -> DownstreamError {
        let begun = self.outages(endpoint);
        if begun.down {
            return unavailable(endpoint);
        }
        let mut intrusions = self.intrusions_at(endpoint);
        reported();
        loop {
            let changed = self.changed.notified();
            if self.outages(endpoint).count != begun.count {
                return unavailable(endpoint);
            }
            let now = self.intrusions_at(endpoint);
            if std::mem::replace(&mut intrusions, now) != now {
                reported();
            }
            changed.await;
        }
    }

    async fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> Result<Measurements, Status> {
        let (sender, receiver) = mpsc::channel(8);
        self.measuring.lock().unwrap().insert(endpoint.to_owned(), (request, sender));
        Ok(ReceiverStream::new(receiver).boxed())
    }
}

/// The records of the DNS.
#[derive(Clone, Default)]
pub(crate) struct FakeNames {
    pub(crate) records: Arc<Mutex<BTreeMap<EndpointKey, NameRecord>>>,
    pub(crate) down: Arc<AtomicBool>,
    pub(crate) fuse: Arc<Fuse>,
}

impl FakeNames {
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn address(&self, key: &EndpointKey) -> Option<IpAddr> {
        self.record(key).map(|record| record.address)
    }

    pub(crate) fn record(&self, key: &EndpointKey) -> Option<NameRecord> {
        self.records.lock().unwrap().get(key).cloned()
    }

    fn check(&self) -> Result<(), DownstreamError> {
        if self.down.load(Ordering::SeqCst) { Err(unavailable("dns")) } else { Ok(()) }
    }
}

impl Names for FakeNames {
    async fn apply_record(
        &self,
        key: &EndpointKey,
        record: &NameRecord,
    ) -> Result<(), DownstreamError> {
        self.check()?;
        self.fuse.pass().await;
        self.records.lock().unwrap().insert(key.clone(), record.clone());
        self.fuse.pass().await;
        Ok(())
    }

    async fn delete_record(&self, key: &EndpointKey) -> Result<(), DownstreamError> {
        self.check()?;
        self.fuse.pass().await;
        self.records.lock().unwrap().remove(key);
        self.fuse.pass().await;
        Ok(())
    }
}

fn unavailable(server: &str) -> DownstreamError {
    DownstreamError::Call { server: server.into(), status: Status::unavailable("down") }
}
