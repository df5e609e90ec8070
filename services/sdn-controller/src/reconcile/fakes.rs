//! An agent, a sco-provider and an engine that do what they are told in memory, write down what
//! they were told, and fail or hang on demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use ipnet::IpNet;
use l2sces_controller::{
    EndpointSpec, LinkState, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_measurement::Measurements;
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_proto::{
    measurement::v1::LinkMeasurement,
    resource::v1::ChangeKind,
    sco::v1::{Endpoint, EndpointKey, Handoff, NetworkKey, WatchClusterResponse},
    switch::v1::{
        Port, PortState, Switch, SwitchState, WatchMeasurementsRequest, WatchMeasurementsResponse,
        WatchPortsResponse, WatchSwitchResponse,
    },
};
use l2sces_reconcile::Queue;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::{Reconciler, Tunnels};
use crate::{
    agent::Agents,
    board::Board,
    domain::Key,
    examples::name,
    exchange::Exchange,
    fabric::Fabric,
    measurements::LinkMeasurements,
    store::{Store, test_database::TestDatabase},
    trunks::{Trunks, WatchedTrunks},
    watch::{AgentWatches, ExchangeWatch, Uplink},
};

/// What is to go wrong with a call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Refuse(Code),
    /// It never returns, without effect.
    HangBefore,
    /// It has its effect, and then never returns.
    HangAfter,
}

/// What happens, for all fakes together.
#[derive(Default)]
pub(crate) struct Script {
    calls: Mutex<Vec<String>>,
    faults: Mutex<BTreeMap<&'static str, Fault>>,
    hanging: Notify,
}

impl Script {
    /// From now on the calls of this name go wrong.
    pub(crate) fn fail(&self, call: &'static str, fault: Fault) {
        lock(&self.faults).insert(call, fault);
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&self) {
        lock(&self.faults).clear();
    }

    /// The calls so far, each told once.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.calls))
    }

    /// Waits until a call hangs.
    pub(crate) async fn hangs(&self) {
        self.hanging.notified().await;
    }

    async fn call(
        &self,
        call: &'static str,
        about: &str,
        effect: impl FnOnce(),
    ) -> Result<(), Status> {
        lock(&self.calls).push(format!("{call} {about}"));
        let fault = lock(&self.faults).get(call).cloned();
        match fault {
            None => effect(),
            Some(Fault::Refuse(code)) => return Err(Status::new(code, "on demand")),
            Some(Fault::HangBefore) => self.hang().await,
            Some(Fault::HangAfter) => {
                effect();
                self.hang().await;
            }
        }
        Ok(())
    }

    async fn hang(&self) {
        self.hanging.notify_one();
        std::future::pending::<()>().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

type MeasurementWatcher = mpsc::Sender<Result<WatchMeasurementsResponse, Status>>;
type PortWatcher = mpsc::Sender<Result<WatchPortsResponse, Status>>;
type SwitchWatcher = mpsc::Sender<Result<WatchSwitchResponse, Status>>;

#[derive(Default)]
pub(crate) struct FakeAgents {
    script: Arc<Script>,
    switches: Mutex<BTreeMap<String, Switch>>,
    ports: Mutex<BTreeMap<(String, String), Port>>,
    watchers: Mutex<BTreeMap<String, PortWatcher>>,
    switch_watchers: Mutex<BTreeMap<String, SwitchWatcher>>,
    measuring: Mutex<BTreeMap<String, (WatchMeasurementsRequest, MeasurementWatcher)>>,
}

impl FakeAgents {
    /// The tunnels that an agent measures now.
    pub(crate) fn measured(&self, endpoint: &str) -> Vec<String> {
        let measuring = lock(&self.measuring);
        let current = measuring.get(endpoint).filter(|(_, watcher)| !watcher.is_closed());
        let links = current.into_iter().flat_map(|(request, _)| &request.links);
        links.map(|link| link.interface_name.clone()).collect()
    }

    pub(crate) fn switch(&self, endpoint: &str) -> Option<Switch> {
        lock(&self.switches).get(endpoint).cloned()
    }

    /// Endpoints and interfaces.
    pub(crate) fn interfaces(&self) -> Vec<(String, String)> {
        lock(&self.ports).keys().cloned().collect()
    }

    pub(crate) fn port(&self, endpoint: &str, interface: &str) -> Option<Port> {
        lock(&self.ports).get(&(endpoint.to_owned(), interface.to_owned())).cloned()
    }

    /// A port that nobody asked for.
    pub(crate) fn leave_behind(&self, endpoint: &str, interface: &str, owner: &str) {
        let port = Port {
            interface_name: interface.to_owned(),
            owner: owner.to_owned(),
            ..Port::default()
        };
        lock(&self.ports).insert((endpoint.to_owned(), interface.to_owned()), port);
    }

    /// Somebody removes an interface behind the agent's back.
    pub(crate) fn lose(&self, endpoint: &str, interface: &str) {
        lock(&self.ports).remove(&(endpoint.to_owned(), interface.to_owned()));
        let state = PortState { interface_name: interface.to_owned(), ..PortState::default() };
        self.tell(endpoint, ChangeKind::Deleted, state);
    }

    /// Somebody changes the bridge behind the agent's back.
    pub(crate) fn lose_bridge(&self, endpoint: &str) {
        lock(&self.switches).remove(endpoint);
        if let Some(watcher) = lock(&self.switch_watchers).get(endpoint) {
            // A watcher that has gone needs no news.
            let _ = watcher.try_send(Ok(WatchSwitchResponse { state: None }));
        }
    }

    /// The agent ends the watch of the bridge, as it does when it is stopped.
    pub(crate) fn end_switch_watch(&self, endpoint: &str) {
        lock(&self.switch_watchers).remove(endpoint);
    }

    /// An interface has an error, or is in order again.
    pub(crate) fn report(&self, endpoint: &str, interface: &str, error: &str) {
        let port = self.port(endpoint, interface).unwrap();
        let state = PortState { error: error.to_owned(), ..state(&port) };
        self.tell(endpoint, ChangeKind::Put, state);
    }

    fn tell(&self, endpoint: &str, kind: ChangeKind, state: PortState) {
        if let Some(watcher) = lock(&self.watchers).get(endpoint) {
            let response = WatchPortsResponse { kind: kind.into(), state: Some(state) };
            // A watcher that has gone needs no news.
            let _ = watcher.try_send(Ok(response));
        }
    }
}

fn state(port: &Port) -> PortState {
    PortState {
        interface_name: port.interface_name.clone(),
        ofport: 1,
        error: String::new(),
        owner: port.owner.clone(),
    }
}

#[async_trait]
impl Agents for FakeAgents {
    fn check(&self, endpoint: &str) -> Result<(), String> {
        if endpoint.starts_with("http://") { Ok(()) } else { Err("must be a URL".to_owned()) }
    }

    async fn apply_switch(&self, endpoint: &str, switch: Switch) -> Result<SwitchState, Status> {
        let effect = || {
            lock(&self.switches).insert(endpoint.to_owned(), switch);
        };
        self.script.call("agent.apply_switch", endpoint, effect).await?;
        Ok(SwitchState::default())
    }

    async fn delete_switch(&self, endpoint: &str) -> Result<(), Status> {
        let effect = || {
            lock(&self.switches).remove(endpoint);
        };
        self.script.call("agent.delete_switch", endpoint, effect).await
    }

    async fn apply_port(&self, endpoint: &str, port: Port) -> Result<PortState, Status> {
        let reported = state(&port);
        let effect = || {
            let key = (endpoint.to_owned(), port.interface_name.clone());
            lock(&self.ports).insert(key, port.clone());
            self.tell(endpoint, ChangeKind::Put, reported.clone());
        };
        self.script.call("agent.apply_port", &port.owner, effect).await?;
        Ok(reported)
    }

    async fn announce_port(&self, _endpoint: &str, port: Port) -> Result<(), Status> {
        self.script.call("agent.announce_port", &port.owner, || {}).await
    }

    async fn delete_port(&self, endpoint: &str, interface_name: &str) -> Result<(), Status> {
        let effect = || {
            self.lose(endpoint, interface_name);
        };
        self.script.call("agent.delete_port", interface_name, effect).await
    }

    async fn watch_ports(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchPortsResponse, Status>>, Status> {
        self.script.call("agent.watch_ports", endpoint, || {}).await?;
        let (sender, receiver) = mpsc::channel(64);
        let ports: Vec<PortState> = lock(&self.ports)
            .iter()
            .filter(|((at, _), _)| at == endpoint)
            .map(|(_, port)| state(port))
            .collect();
        for state in ports {
            let kind = ChangeKind::Put.into();
            sender.send(Ok(WatchPortsResponse { kind, state: Some(state) })).await.unwrap();
        }
        let kind = ChangeKind::Synced.into();
        sender.send(Ok(WatchPortsResponse { kind, state: None })).await.unwrap();
        lock(&self.watchers).insert(endpoint.to_owned(), sender);
        Ok(ReceiverStream::new(receiver).boxed())
    }

    async fn watch_switch(
        &self,
        endpoint: &str,
    ) -> Result<BoxStream<'static, Result<WatchSwitchResponse, Status>>, Status> {
        self.script.call("agent.watch_switch", endpoint, || {}).await?;
        let (sender, receiver) = mpsc::channel(64);
        sender.send(Ok(WatchSwitchResponse::default())).await.unwrap();
        lock(&self.switch_watchers).insert(endpoint.to_owned(), sender);
        Ok(ReceiverStream::new(receiver).boxed())
    }

    async fn watch_measurements(
        &self,
        endpoint: &str,
        request: WatchMeasurementsRequest,
    ) -> Result<Measurements, Status> {
        let (sender, receiver) = mpsc::channel(64);
        for link in &request.links {
            let measurement = LinkMeasurement { probes_sent: 7, ..LinkMeasurement::default() };
            let interface_name = link.interface_name.clone();
            let measurement = Some(measurement);
            sender
                .send(Ok(WatchMeasurementsResponse { interface_name, measurement }))
                .await
                .unwrap();
        }
        lock(&self.measuring).insert(endpoint.to_owned(), (request, sender));
        Ok(ReceiverStream::new(receiver).boxed())
    }
}

type ClusterWatcher = mpsc::Sender<Result<WatchClusterResponse, Status>>;

#[derive(Default)]
pub(crate) struct FakeExchange {
    script: Arc<Script>,
    endpoints: Mutex<BTreeMap<String, Endpoint>>,
    blocks: Mutex<Vec<IpNet>>,
    watcher: Mutex<Option<ClusterWatcher>>,
    pub(crate) confirmed: Mutex<Vec<Handoff>>,
    pub(crate) connected: Notify,
}

impl FakeExchange {
    pub(crate) fn endpoint(&self, port: &str) -> Option<Endpoint> {
        lock(&self.endpoints).get(port).cloned()
    }

    /// Blocks that can still be leased.
    pub(crate) fn offer(&self, blocks: impl IntoIterator<Item = IpNet>) {
        lock(&self.blocks).extend(blocks);
    }

    /// Tells the controller of a change.
    pub(crate) async fn tell(&self, response: WatchClusterResponse) {
        let watcher = lock(&self.watcher).clone().unwrap();
        watcher.send(Ok(response)).await.unwrap();
    }

    /// Another cluster leases a block.
    pub(crate) fn lease_to_another(&self, block: IpNet) {
        lock(&self.blocks).retain(|offered| *offered != block);
    }

    pub(crate) fn disconnect(&self) {
        lock(&self.watcher).take();
    }
}

fn text(key: &EndpointKey) -> String {
    let learned =
        if key.learned_mac.is_empty() { String::new() } else { format!("/{}", key.learned_mac) };
    format!("{}/{}/{}/{}{learned}", key.slice, key.network, key.cluster, key.port)
}

#[async_trait]
impl Exchange for FakeExchange {
    async fn lease_block(
        &self,
        network: NetworkKey,
        known_blocks: &[IpNet],
        address: Option<IpAddr>,
    ) -> Result<String, Status> {
        self.script.call("exchange.lease_block", &network.name, || {}).await?;
        let fits = |block: &&IpNet| {
            !known_blocks.contains(block) && address.is_none_or(|address| block.contains(&address))
        };
        let blocks = lock(&self.blocks);
        let block = blocks.iter().find(fits);
        block.map(ToString::to_string).ok_or_else(|| match address {
            Some(_) => Status::failed_precondition("another cluster's"),
            None => Status::resource_exhausted("none left"),
        })
    }

    async fn release_block(&self, _network: NetworkKey, block: IpNet) -> Result<(), Status> {
        let in_use = lock(&self.endpoints).values().any(|endpoint| {
            endpoint.address.parse::<IpAddr>().is_ok_and(|address| block.contains(&address))
        });
        assert!(!in_use, "{block} is given back while an endpoint has an address in it");
        self.script.call("exchange.release_block", &block.to_string(), || {}).await
    }

    async fn apply_endpoint(&self, endpoint: Endpoint) -> Result<(), Status> {
        let key = text(endpoint.key.as_ref().unwrap());
        let effect = || {
            lock(&self.endpoints).insert(key.clone(), endpoint);
        };
        self.script.call("exchange.apply_endpoint", &key, effect).await
    }

    async fn delete_endpoint(&self, key: EndpointKey) -> Result<(), Status> {
        let key = text(&key);
        let effect = || {
            lock(&self.endpoints).remove(&key);
        };
        self.script.call("exchange.delete_endpoint", &key, effect).await
    }

    async fn confirm_handoffs(&self, handoffs: Vec<Handoff>) -> Result<(), Status> {
        let effect = || lock(&self.confirmed).extend(handoffs);
        self.script.call("exchange.confirm_handoffs", "", effect).await
    }

    async fn watch_cluster(
        &self,
    ) -> Result<BoxStream<'static, Result<WatchClusterResponse, Status>>, Status> {
        self.script.call("exchange.watch_cluster", "", || {}).await?;
        let (sender, receiver) = mpsc::channel(64);
        *lock(&self.watcher) = Some(sender);
        self.connected.notify_one();
        Ok(ReceiverStream::new(receiver).boxed())
    }
}

/// What the engine was told, and has not been told to forget.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) switches: BTreeMap<DatapathId, SwitchSpec>,
    pub(crate) slices: BTreeMap<Name, SliceSpec>,
    pub(crate) networks: BTreeMap<Vni, NetworkSpec>,
    pub(crate) ports: BTreeMap<PortId, PortSpec>,
    pub(crate) endpoints: BTreeMap<(Vni, MacAddress), EndpointSpec>,
    pub(crate) learned: BTreeMap<PortId, BTreeSet<MacAddress>>,
    pub(crate) complete: bool,
}

#[derive(Default)]
pub(crate) struct FakeFabric {
    script: Arc<Script>,
    wanted: Mutex<Wanted>,
}

impl FakeFabric {
    pub(crate) fn wanted(&self) -> Wanted {
        lock(&self.wanted).clone()
    }

    /// As after a restart of the controller.
    fn forget(&self) {
        *lock(&self.wanted) = Wanted::default();
    }

    async fn call(&self, call: &'static str, about: &str, effect: impl FnOnce(&mut Wanted)) {
        let effect = || effect(&mut lock(&self.wanted));
        self.script.call(call, about, effect).await.unwrap();
    }
}

#[async_trait]
impl Fabric for FakeFabric {
    async fn put_switch(&self, spec: SwitchSpec) {
        let about = spec.name.clone();
        let effect = |wanted: &mut Wanted| drop(wanted.switches.insert(spec.id, spec));
        self.call("fabric.put_switch", &about, effect).await;
    }

    async fn remove_switch(&self, id: DatapathId) {
        let effect = |wanted: &mut Wanted| drop(wanted.switches.remove(&id));
        self.call("fabric.remove_switch", "", effect).await;
    }

    async fn put_slice(&self, spec: SliceSpec) {
        let about = spec.name.to_string();
        let effect = |wanted: &mut Wanted| drop(wanted.slices.insert(spec.name.clone(), spec));
        self.call("fabric.put_slice", &about, effect).await;
    }

    async fn remove_slice(&self, name: Name) {
        let effect = |wanted: &mut Wanted| drop(wanted.slices.remove(&name));
        self.call("fabric.remove_slice", "", effect).await;
    }

    async fn put_network(&self, spec: NetworkSpec) {
        let effect = |wanted: &mut Wanted| drop(wanted.networks.insert(spec.vni, spec));
        self.call("fabric.put_network", "", effect).await;
    }

    async fn remove_network(&self, vni: Vni) {
        let effect = |wanted: &mut Wanted| drop(wanted.networks.remove(&vni));
        self.call("fabric.remove_network", "", effect).await;
    }

    async fn put_port(&self, spec: PortSpec) {
        let about = spec.id.to_string();
        let effect = |wanted: &mut Wanted| drop(wanted.ports.insert(spec.id.clone(), spec));
        self.call("fabric.put_port", &about, effect).await;
    }

    async fn remove_port(&self, id: PortId) {
        let about = id.to_string();
        let effect = |wanted: &mut Wanted| drop(wanted.ports.remove(&id));
        self.call("fabric.remove_port", &about, effect).await;
    }

    async fn put_endpoint(&self, spec: EndpointSpec) {
        let key = (spec.vni, spec.mac);
        let effect = |wanted: &mut Wanted| drop(wanted.endpoints.insert(key, spec));
        self.call("fabric.put_endpoint", "", effect).await;
    }

    async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        let effect = |wanted: &mut Wanted| drop(wanted.endpoints.remove(&(vni, mac)));
        self.call("fabric.remove_endpoint", "", effect).await;
    }

    async fn put_learned(&self, port: PortId, addresses: BTreeSet<MacAddress>) {
        let about = port.to_string();
        let effect =
            |wanted: &mut Wanted| wanted.learned.entry(port).or_default().extend(addresses);
        self.call("fabric.put_learned", &about, effect).await;
    }

    async fn set_complete(&self) {
        self.call("fabric.set_complete", "", |wanted| wanted.complete = true).await;
    }

    async fn links(&self) -> Vec<LinkState> {
        let slices = self.wanted().slices.into_values();
        let links = slices.flat_map(|slice| slice.links);
        let both = links.flat_map(|link| [(link.a.clone(), link.b.clone()), (link.b, link.a)]);
        both.map(|(from, to)| LinkState { from, to, up: true, message: String::new() }).collect()
    }
}

/// Everything around a controller: it outlives the controller's process.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) script: Arc<Script>,
    pub(crate) agents: Arc<FakeAgents>,
    pub(crate) exchange: Arc<FakeExchange>,
    pub(crate) fabric: Arc<FakeFabric>,
    _database: TestDatabase,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let script = Arc::new(Script::default());
        let with_script = || Arc::clone(&script);
        Self {
            store: database.store(),
            agents: Arc::new(FakeAgents { script: with_script(), ..FakeAgents::default() }),
            exchange: Arc::new(FakeExchange { script: with_script(), ..FakeExchange::default() }),
            fabric: Arc::new(FakeFabric { script: with_script(), ..FakeFabric::default() }),
            _database: database,
            script,
        }
    }

    /// The controller's process starts, with an empty memory.
    pub(crate) fn start(&self) -> Reconciler {
        self.fabric.forget();
        let board = Arc::new(Board::new());
        let queue = Queue::new("objects");
        let agents: Arc<dyn Agents> = Arc::clone(&self.agents) as _;
        let trunks = Arc::new(Trunks::default());
        let measuring = Arc::clone(&agents);
        Reconciler {
            cluster: name("a"),
            controllers: vec!["tcp:10.0.0.9:6653".to_owned()],
            bfd_interval_ms: 200,
            store: self.store.clone(),
            fabric: Arc::new(WatchedTrunks {
                fabric: Arc::clone(&self.fabric) as _,
                trunks: Arc::clone(&trunks),
                board: Arc::clone(&board),
                queue: queue.clone(),
            }),
            agents: Arc::clone(&agents),
            exchange: Arc::clone(&self.exchange) as _,
            board: Arc::clone(&board),
            queue: queue.clone(),
            watches: AgentWatches::new(agents, board, queue),
            uplink: Arc::new(Uplink::default()),
            trunks,
            tunnels: Tunnels::default(),
            measurements: Arc::new(LinkMeasurements::new(name("a"), measuring)),
        }
    }

    /// The same, and the sco-provider has told everything.
    pub(crate) async fn start_complete(&self) -> Reconciler {
        let reconciler = self.start();
        reconciler.load().await.unwrap();
        reconciler.uplink.set_complete();
        reconciler
    }

    pub(crate) fn exchange_watch(&self, reconciler: &Reconciler) -> ExchangeWatch {
        ExchangeWatch {
            cluster: name("a"),
            exchange: Arc::clone(&self.exchange) as _,
            fabric: Arc::clone(&reconciler.fabric),
            board: Arc::clone(&reconciler.board),
            queue: reconciler.queue.clone(),
            uplink: Arc::clone(&reconciler.uplink),
            store: self.store.clone(),
            trunks: Arc::clone(&reconciler.trunks),
        }
    }
}

/// Runs the workers until something holds; fails if it does not for long.
pub(crate) async fn run_until(reconciler: &Reconciler, holds: impl Fn() -> bool) {
    run_during(reconciler, until(holds)).await;
}

/// Runs the workers while something else goes on. What they are at when that ends is done again when
/// they run again.
pub(crate) async fn run_during(reconciler: &Reconciler, rest: impl Future<Output = ()>) {
    let workers =
        l2sces_reconcile::run(reconciler.queue.clone(), 8, |key: Key| reconciler.reconcile(key));
    tokio::select! {
        () = workers => {}
        () = rest => {}
    }
}

/// Waits until something holds; fails if it does not for long.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let condition = async {
        // The fakes tell nobody of their changes.
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, condition).await.expect("in time");
}
