use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use l2sces_ovsdb::{Address, Client, Condition, Function, Operation, Outcome, Row, Tables, Value};
use tokio::sync::{Mutex, RwLock};
use tracing::info;

use crate::{
    AgentError, AgentKind, DatapathType, PortState, PortWatch, Switch, SwitchState, SwitchWatch,
    bridge_watch::Applied,
    database::{self, Identity},
    locks::NamedLocks,
    marks,
    netlink::{Host, Links},
    plan::{self, Plan, Wanted},
    probes::Measuring,
    warm::warm,
};

/// How long `ovs-vswitchd` may take to carry out a change: less than the deadline of a call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// How long Open vSwitch may take to notice that an interface is up.
pub(crate) const LINK_PATIENCE: Duration = Duration::from_secs(2);

/// What an [`Agent`] is to own, and how.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Which of the node's bridges.
    pub kind: AgentKind,
    /// OVSDB server.
    pub ovsdb: Address,
    /// Name of the bridge.
    pub bridge: String,
    /// What forwards the bridge's frames.
    pub datapath_type: DatapathType,
    /// Files that Open vSwitch shows to controllers with `ssl:`.
    pub tls: Option<TlsFiles>,
    /// Where the kernel's parameters of the network are: `/proc/sys/net`, or another mount of it.
    pub parameters: PathBuf,
    /// How long `ovs-vswitchd` may take to carry out a change.
    pub patience: Duration,
    /// How long it may take to notice that an interface is up.
    pub link_patience: Duration,
}

/// Certificate files, as paths for another process: absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the authority.
    pub ca: String,
    /// Own certificate.
    pub cert: String,
    /// Private key.
    pub key: String,
}

impl TlsFiles {
    /// The files at these paths, which may be relative to the working directory.
    ///
    /// # Errors
    /// There is no working directory.
    pub fn new(ca: &Path, cert: &Path, key: &Path) -> std::io::Result<Self> {
        // Not resolved: where a link leads may change when the certificate is renewed.
        let text = |path| std::path::absolute(path).map(|path: PathBuf| path.display().to_string());
        Ok(Self { ca: text(ca)?, cert: text(cert)?, key: text(key)? })
    }
}

/// The owner of a bridge.
pub struct Agent {
    pub(crate) identity: Identity,
    pub(crate) client: Client,
    pub(crate) host: Host,
    datapath_type: DatapathType,
    tls: Option<TlsFiles>,
    patience: Duration,
    pub(crate) link_patience: Duration,
    /// How the bridge was made last, as far as this process did it. Calls for ports share the
    /// bridge; calls for the bridge have it for themselves.
    pub(crate) bridge: RwLock<Option<Applied>>,
    /// Calls for one port come one after the other.
    pub(crate) ports: NamedLocks,
    pub(crate) measuring: Measuring,
    /// Held while a train of probes is under way.
    pub(crate) train: Mutex<()>,
}

impl Agent {
    /// Starts to connect to the database. Must be called within a Tokio runtime, in the node's
    /// network namespace.
    ///
    /// # Errors
    /// Netlink is not there.
    pub fn start(config: AgentConfig) -> Result<Self, AgentError> {
        let AgentConfig {
            kind,
            ovsdb,
            bridge,
            datapath_type,
            tls,
            parameters,
            patience,
            link_patience,
        } = config;
        Ok(Self {
            identity: Identity { kind, bridge },
            client: Client::start(database::config(ovsdb)),
            host: Host {
                links: Links::open()?,
                group: marks::link_group(kind),
                software_checksums: datapath_type == DatapathType::Netdev,
                parameters,
            },
            datapath_type,
            tls,
            patience,
            link_patience,
            bridge: RwLock::new(None),
            ports: NamedLocks::default(),
            measuring: Measuring::default(),
            train: Mutex::default(),
        })
    }

    /// Waits until the database is there.
    pub async fn connected(&self) {
        self.client.connected().await;
    }

    /// Whether the database is there, so that ports can be made.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Makes the bridge as described; ports are left alone. Returns when Open vSwitch has carried
    /// it out.
    ///
    /// # Errors
    /// A name is somebody else's, there is no certificate for TLS, or the database failed.
    pub async fn apply_switch(&self, switch: &Switch) -> Result<SwitchState, AgentError> {
        let mut applied = self.bridge.write().await;
        // Until it is made, it is for whoever calls to try again.
        *applied = None;
        let state = match self.apply_switch_once(switch).await {
            // Decided anew, on what is in the database now.
            Err(error) if error.is_conflict() => self.apply_switch_once(switch).await,
            result => result,
        }?;
        *applied = Some(Applied { switch: switch.clone(), state: state.clone() });
        Ok(state)
    }

    async fn apply_switch_once(&self, switch: &Switch) -> Result<SwitchState, AgentError> {
        self.check_connected()?;
        let plan = self.read(|tables| self.plan(tables, switch))?;
        if plan.operations.is_empty() {
            // Whoever wrote what is there may not have waited.
            self.settle().await?;
        } else {
            info!(operations = plan.operations.len(), "changing the bridge");
            self.carry_out(&plan.operations).await?;
        }
        for (local, remote) in plan.new_links {
            warm(local, remote).await;
        }
        self.read(|tables| SwitchState::read(tables, &self.identity))?
            .ok_or_else(|| AgentError::NoBridge(self.identity.bridge.clone()))
    }

    /// What is to be done to make the bridge as described.
    fn plan(&self, tables: &Tables, switch: &Switch) -> Result<Plan, AgentError> {
        let wanted = Wanted {
            identity: &self.identity,
            datapath_type: self.datapath_type,
            switch,
            tls: self.tls.as_ref(),
            exists: &|path| Path::new(path).exists(),
        };
        plan::apply_switch(tables, &wanted)
    }

    /// Whether the bridge is still as it was made and as was answered then.
    pub(crate) fn is_as(&self, applied: &Applied) -> bool {
        self.read(|tables| {
            let plan = self.plan(tables, &applied.switch);
            let state = SwitchState::read(tables, &self.identity).ok().flatten();
            plan.is_ok_and(|plan| plan.operations.is_empty())
                && state.is_some_and(|state| state.links == applied.state.links)
        })
    }

    /// The bridge as it is; `None` if there is none.
    ///
    /// # Errors
    /// The bridge is somebody else's, or there is no connection to the database.
    pub fn switch(&self) -> Result<Option<SwitchState>, AgentError> {
        self.check_connected()?;
        self.read(|tables| SwitchState::read(tables, &self.identity))
    }

    /// Removes the bridge and all that the agent made. Succeeds if there is none.
    ///
    /// # Errors
    /// The database or the kernel failed.
    pub async fn delete_switch(&self) -> Result<(), AgentError> {
        let mut applied = self.bridge.write().await;
        *applied = None;
        match self.delete_switch_once().await {
            // Decided anew, on what is in the database now.
            Err(error) if error.is_conflict() => self.delete_switch_once().await,
            result => result,
        }?;
        Ok(self.host.remove_all().await?)
    }

    async fn delete_switch_once(&self) -> Result<(), AgentError> {
        self.check_connected()?;
        let operations = self.read(|tables| plan::delete_switch(tables, &self.identity));
        if !operations.is_empty() {
            info!("removing the bridge");
            self.carry_out(&operations).await?;
        }
        Ok(())
    }

    /// Reports every port that exists, then every change.
    ///
    /// # Errors
    /// There is no connection to the database, so what exists is not known.
    pub fn watch_ports(&self) -> Result<PortWatch, AgentError> {
        self.check_connected()?;
        Ok(PortWatch::new(self.client.replica(), self.identity.kind))
    }

    /// Reports the bridge as it is, and again whenever it is not as it was made last.
    ///
    /// # Errors
    /// There is no connection to the database, so what exists is not known.
    pub fn watch_switch(self: &Arc<Self>) -> Result<SwitchWatch, AgentError> {
        self.check_connected()?;
        Ok(SwitchWatch::new(Arc::clone(self)))
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Tables) -> R) -> R {
        self.client.replica().read(look)
    }

    /// Reads columns of the agent's interfaces now: the replica has nothing that changes all the time.
    pub(crate) async fn read_interfaces(&self, columns: &[&str]) -> Result<Vec<Row>, AgentError> {
        let mark = Value::map([(marks::AGENT, self.identity.kind.as_str())]);
        let condition = Condition::new("external_ids", Function::Includes, mark);
        let columns = columns.iter().copied();
        let select = Operation::select("Interface", [condition], columns);
        match self.client.transact(&[select]).await?.pop() {
            Some(Outcome::Rows(rows)) => Ok(rows),
            _ => Ok(Vec::new()),
        }
    }

    /// Runs a transaction and waits until Open vSwitch has carried it out.
    pub(crate) async fn carry_out(&self, operations: &[Operation]) -> Result<(), AgentError> {
        self.client.transact_and_settle(operations, self.patience).await?;
        Ok(())
    }

    /// Waits until Open vSwitch has carried out all that is in the database.
    pub(crate) async fn settle(&self) -> Result<(), AgentError> {
        Ok(self.client.settle(self.patience).await?)
    }

    /// # Errors
    /// There is no connection, so that the replica may be out of date or empty.
    pub(crate) fn check_connected(&self) -> Result<(), AgentError> {
        if self.client.is_connected() {
            Ok(())
        } else {
            Err(l2sces_ovsdb::Error::Disconnected.into())
        }
    }

    pub(crate) fn port_state(&self, name: &str) -> Option<PortState> {
        self.read(|tables| {
            let (_, row) = tables.find("Interface", name)?;
            PortState::read(Some(row), self.identity.kind)
        })
    }
}
