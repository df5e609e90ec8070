//! Real Open vSwitches, and an engine that controls their bridges.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

use l2sces_controller::{
    Engine, EngineConfig, Event, LinkEnd, LinkSpec, NetworkSpec, PortRole, PortSpec, SliceSpec,
    SwitchSpec,
};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_openflow::{Program, SessionConfig};
use l2sces_southbound::connect_unix;
use l2sces_trace::Caused;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

pub(crate) use crate::process::{PATIENCE, eventually, in_namespace, in_namespace_within, run};
use crate::{
    process::{daemon, listens},
    relay::{Log, Relay, Seen},
};

/// `ovsdb-server` and `ovs-vswitchd` in a network namespace of their own. They end with the thread
/// that started them, and the namespace with them.
pub(crate) struct OpenVswitch {
    directory: TempDir,
    database: Child,
    switch: Child,
}

impl OpenVswitch {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ovs-").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run("ovsdb-tool", [OsStr::new("create"), path("conf.db").as_ref(), schema.as_ref()]);
        let socket = path("db.sock").display().to_string();
        let remote = format!("--remote=punix:{socket}");
        let database = path("conf.db").display().to_string();
        let control = |name: &str| format!("--unixctl={}", path(name).display());
        let database = daemon(
            directory.path(),
            "log",
            &["unshare", "-n", "ovsdb-server", &database, &remote, &control("ovsdb.ctl")],
        );
        listens(&path("db.sock")).await;
        let pid = database.id().to_string();
        let remote = format!("unix:{socket}");
        let switch = daemon(
            directory.path(),
            "log",
            &["nsenter", "-t", &pid, "-n", "ovs-vswitchd", &remote, &control("vswitchd.ctl")],
        );
        let this = Self { directory, database, switch };
        this.vsctl("--no-wait init");
        this
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Of a process in the namespace.
    pub(crate) fn pid(&self) -> String {
        self.database.id().to_string()
    }

    /// Runs a command in the namespace.
    pub(crate) fn inside(&self, command: &str) -> String {
        let pid = self.pid();
        run("nsenter", ["-t", &pid, "-n"].into_iter().chain(command.split_whitespace()))
    }

    /// Runs `ovs-vsctl`; waits until the switch has done it.
    pub(crate) fn vsctl(&self, args: &str) -> String {
        let database = format!("--db=unix:{}", self.directory().join("db.sock").display());
        run("ovs-vsctl", [&*database, "--timeout=30"].into_iter().chain(args.split_whitespace()))
    }

    /// Runs `ovs-appctl` on the switch.
    pub(crate) fn appctl(&self, args: &str) -> String {
        let control = self.directory().join("vswitchd.ctl").display().to_string();
        run("ovs-appctl", ["-t", &*control].into_iter().chain(args.split_whitespace()))
    }

    /// Runs `ovs-ofctl -O OpenFlow13 COMMAND BRIDGE ARGUMENT`.
    pub(crate) fn ofctl(&self, command: &str, bridge: &str, argument: &str) -> String {
        let bridge = format!("unix:{}", self.management(bridge).display());
        let argument = Some(argument).filter(|argument| !argument.is_empty());
        let words = ["-O", "OpenFlow13"].into_iter().chain(command.split_whitespace());
        run("ovs-ofctl", words.chain([&*bridge]).chain(argument))
    }

    pub(crate) fn management(&self, bridge: &str) -> PathBuf {
        self.directory().join(format!("{bridge}.mgmt"))
    }

    /// Adds a bridge whose controller is a relay.
    pub(crate) async fn add_bridge(&self, bridge: &str, number: u64) {
        self.vsctl(&format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow13 other_config:datapath-id={number:016x} \
             other_config:disable-in-band=true -- set-controller {bridge} \
             unix:{}/{bridge}.controller -- set controller {bridge} max_backoff=1000 \
             inactivity_probe=60000",
            self.directory().display()
        ));
        listens(&self.management(bridge)).await;
    }

    /// Adds a port that needs nothing of the system.
    pub(crate) fn add_port(&self, bridge: &str, name: &str) {
        self.vsctl(&format!("add-port {bridge} {name} -- set interface {name} type=internal"));
    }

    /// Joins the bridges N and M by a pair of patch ports, `N-M` and `M-N`.
    pub(crate) fn join(&self, a: u64, b: u64) {
        for (here, there) in [(a, b), (b, a)] {
            self.vsctl(&format!(
                "add-port br{here} {here}-{there} -- set interface {here}-{there} type=patch \
                 options:peer={there}-{here}"
            ));
        }
    }

    /// All flows and groups of a bridge.
    pub(crate) async fn program(&self, bridge: &str) -> Program {
        let management = self.management(bridge);
        let connection = connect_unix(management, SessionConfig::default()).await.unwrap();
        connection.handle.read_program().await.unwrap()
    }
}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for process in [&mut self.switch, &mut self.database] {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// How long engines wait for a switch that answers nothing. One that is only slow is not given up.
const FORBEARANCE: Duration = Duration::from_secs(20);

/// An engine, and what it tells.
pub(crate) struct Controller {
    pub(crate) engine: Engine,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    events: mpsc::Receiver<Caused<Event>>,
}

impl Controller {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With something configured in another way.
    pub(crate) async fn with(configure: impl FnOnce(&mut EngineConfig)) -> Self {
        // A port that was free a moment ago.
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let mut config = EngineConfig::new(address, None).unwrap();
        config.patience = FORBEARANCE;
        configure(&mut config);
        Self::of(config).await
    }

    pub(crate) async fn of(config: EngineConfig) -> Self {
        let address = config.listen;
        let (engine, events) = Engine::start(config).await.unwrap();
        Self { engine, address, log: Arc::new(Mutex::new(Vec::new())), events }
    }

    /// Stands between a bridge and this engine from now on.
    pub(crate) fn relay(&self, ovs: &OpenVswitch, bridge: &str) -> Relay {
        Relay::start(ovs.directory(), bridge, self.address, &self.log)
    }

    /// The next event that `wanted` makes something of.
    pub(crate) async fn event<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let find = async {
            loop {
                let event = self.events.recv().await.expect("the events go on");
                if let Some(found) = wanted(event.what) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, find).await.expect("no such event")
    }

    /// Forgets the events that have come.
    pub(crate) fn forget_events(&mut self) {
        while self.events.try_recv().is_ok() {}
    }

    /// Waits until switches are ready.
    pub(crate) async fn ready(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let mut missing: BTreeSet<_> = numbers.into_iter().map(id).collect();
        while !missing.is_empty() {
            let ready = self.event(|event| match event {
                Event::SwitchReady(id) => Some(id),
                _ => None,
            });
            missing.remove(&ready.await);
        }
    }

    /// Waits until all links of the slice are seen to work.
    pub(crate) async fn links_up(&mut self) {
        self.event(|event| match event {
            Event::SliceState { ready: true, .. } => Some(()),
            _ => None,
        })
        .await;
    }

    /// What the relays have seen since the last time.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Puts a slice with these links, each between the ports `N-M` and `M-N` of the switches N and
    /// M, of a cost.
    pub(crate) async fn put_slice(&self, switches: &[u64], links: &[(u64, u64, u32)]) {
        self.engine.put_slice(slice(switches, links)).await;
    }

    /// Puts a network with one access port, `pod`, on some switches.
    pub(crate) async fn put_network(&self, vni: u32, switches: &[u64]) {
        let slice = "s1".parse().unwrap();
        self.engine.put_network(NetworkSpec { vni: vni.try_into().unwrap(), slice }).await;
        for number in switches {
            self.engine.put_port(port(vni, *number)).await;
        }
    }
}

pub(crate) fn id(number: u64) -> DatapathId {
    number.try_into().unwrap()
}

pub(crate) fn vni(number: u32) -> Vni {
    number.try_into().unwrap()
}

pub(crate) fn end(number: u64, other: u64) -> LinkEnd {
    LinkEnd { switch: id(number), interface: format!("{number}-{other}").parse().unwrap() }
}

pub(crate) fn switch(number: u64) -> SwitchSpec {
    SwitchSpec {
        id: id(number),
        ordinal: number as u16,
        name: format!("br{number}"),
        cluster: "a".parse().unwrap(),
        node: format!("n{number}").parse().unwrap(),
    }
}

pub(crate) fn slice(switches: &[u64], links: &[(u64, u64, u32)]) -> SliceSpec {
    let link =
        |(a, b, cost): &(u64, u64, u32)| LinkSpec { a: end(*a, *b), b: end(*b, *a), cost: *cost };
    SliceSpec {
        name: "s1".parse::<Name>().unwrap(),
        ordinal: 1,
        switches: switches.iter().map(|number| id(*number)).collect(),
        links: links.iter().map(link).collect(),
        avoid_transit: BTreeSet::new(),
        is_measured: false,
    }
}

/// The access port of a network on a switch: its interface is `pod<VNI>-<switch>`.
pub(crate) fn port(number: u32, at: u64) -> PortSpec {
    PortSpec {
        id: format!("{number}/{at}").into(),
        vni: vni(number),
        switch: id(at),
        interface: format!("pod{number}-{at}").parse().unwrap(),
        role: PortRole::Access {
            mac: MacAddress::new([2, 0, 0, 0, number as u8, at as u8]),
            max_learned: 0,
        },
    }
}
