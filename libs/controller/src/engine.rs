//! The handle of an engine.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use l2sces_fabric::{
    AgeingTime, EndpointSpec, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec,
};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_pki::Credentials;
use l2sces_southbound::{ListenArgs, ListenError, Listener};
use l2sces_trace::Caused;
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Event, LinkState,
    actor::Actor,
    command::{Command, Request},
};

/// How many commands may wait; more callers wait themselves.
const COMMANDS: usize = 1024;
/// How many events may wait for the owner, besides the latest one of each object.
const EVENTS: usize = 256;

/// How long a switch that answers nothing may hold up the others, unless it is configured.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a datapath may go on by what it has cached, unless it is configured: Open vSwitch looks
/// at its tables again at once when they have changed, and is done in milliseconds, or somewhat later
/// on a busy machine.
const SETTLING: Duration = Duration::from_millis(250);

/// How long a switch that does not connect holds up the others after a start, unless it is
/// configured: Open vSwitch tries at least every second, as the agents tell it.
const GATHERING: Duration = Duration::from_secs(3);

/// How an engine talks to switches.
pub struct EngineConfig {
    /// Address and port to listen on for OpenFlow connections.
    pub listen: SocketAddr,
    /// With which certificate; `None`: plaintext, and any switch may connect.
    pub credentials: Option<Credentials>,
    /// Signs link discovery frames, so that nobody else can forge them.
    pub discovery_key: [u8; 32],
    /// After how long without a frame a learned address is forgotten.
    pub ageing_time: AgeingTime,
    /// How long a switch that answers nothing may hold up the others when they turn one after the
    /// other. It is not waited for again before it has answered.
    pub patience: Duration,
    /// How long after a switch has turned the next one turns: its datapath may go on by what it has
    /// cached. Not waited for when a link has broken.
    pub settling: Duration,
    /// How long a switch that does not connect may hold up the others after a start. It is over
    /// sooner when all have been read.
    pub gathering: Duration,
}

/// Why an engine cannot start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// It cannot listen for switches.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for the discovery key")]
    Random,
}

impl EngineConfig {
    /// A configuration with a discovery key of its own, and times that suit real switches.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(listen: SocketAddr, credentials: Option<Credentials>) -> Result<Self, EngineError> {
        let mut discovery_key = [0; 32];
        SystemRandom::new().fill(&mut discovery_key).map_err(|_| EngineError::Random)?;
        Ok(Self {
            listen,
            credentials,
            discovery_key,
            ageing_time: AgeingTime::default(),
            patience: PATIENCE,
            settling: SETTLING,
            gathering: GATHERING,
        })
    }
}

/// Handle of an engine. The engine ends when its last handle is dropped; the switches then keep
/// what they have.
///
/// Putting the same thing again does nothing. Things may be put in any order: what lacks something
/// else is just not ready yet. Every call that puts or removes returns when each connected switch
/// that it concerns has confirmed the change; a switch that is not connected is brought up to date
/// when it connects. Before [`set_complete`](Self::set_complete) calls return at once. Switches are
/// changed, and events caused, in the trace of the caller.
#[derive(Clone, Debug)]
pub struct Engine {
    commands: mpsc::Sender<Request>,
}

impl Engine {
    /// Starts an engine: it listens for switches at once.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(
        config: EngineConfig,
    ) -> Result<(Self, mpsc::Receiver<Caused<Event>>), EngineError> {
        let tls = config.credentials.as_ref().map(Credentials::server_config);
        let checks_peers = tls.is_some();
        let listener = Listener::bind(ListenArgs::new(config.listen, tls)).await?;
        let (commands, commands_rx) = mpsc::channel(COMMANDS);
        let (events_tx, events) = mpsc::channel(EVENTS);
        let actor = Actor::new(&config, events_tx);
        tokio::spawn(actor.run(listener, checks_peers, commands_rx));
        Ok((Self { commands }, events))
    }

    /// Adds a switch, or changes it.
    pub async fn put_switch(&self, spec: SwitchSpec) {
        self.change(Command::PutSwitch(spec)).await;
    }

    /// Removes a switch: its flows go, and it is not controlled any more.
    pub async fn remove_switch(&self, id: DatapathId) {
        self.change(Command::RemoveSwitch(id)).await;
    }

    /// Adds a slice, or changes it.
    pub async fn put_slice(&self, spec: SliceSpec) {
        self.change(Command::PutSlice(spec)).await;
    }

    /// Removes a slice.
    pub async fn remove_slice(&self, name: Name) {
        self.change(Command::RemoveSlice(name)).await;
    }

    /// Adds a network, or changes it. How it fares is told in any case.
    pub async fn put_network(&self, spec: NetworkSpec) {
        self.change(Command::PutNetwork(spec)).await;
    }

    /// Removes a network.
    pub async fn remove_network(&self, vni: Vni) {
        self.change(Command::RemoveNetwork(vni)).await;
    }

    /// Adds a port, or changes it.
    pub async fn put_port(&self, spec: PortSpec) {
        self.change(Command::PutPort(spec)).await;
    }

    /// Removes a port.
    pub async fn remove_port(&self, id: PortId) {
        self.change(Command::RemovePort(id)).await;
    }

    /// Adds an endpoint behind a trunk, or moves it.
    pub async fn put_endpoint(&self, spec: EndpointSpec) {
        self.change(Command::PutEndpoint(spec)).await;
    }

    /// Removes an endpoint behind a trunk.
    pub async fn remove_endpoint(&self, vni: Vni, mac: MacAddress) {
        self.change(Command::RemoveEndpoint(vni, mac)).await;
    }

    /// Tells which addresses were learned at a port before a restart. They stay there until they are
    /// seen elsewhere, put as endpoints anew, or not seen for the ageing time.
    pub async fn put_learned(&self, port: PortId, addresses: BTreeSet<MacAddress>) {
        self.change(Command::PutLearned(port, addresses)).await;
    }

    /// Says that all that is wanted has been put: from now on switches are brought to it, and what
    /// is not wanted is deleted from them.
    pub async fn set_complete(&self) {
        self.change(Command::SetComplete).await;
    }

    /// Every wanted link in both directions, as discovered.
    pub async fn links(&self) -> Vec<LinkState> {
        let (sender, receiver) = oneshot::channel();
        self.change(Command::Links(sender)).await;
        receiver.await.unwrap_or_default()
    }

    /// Hands a command to the actor and waits until it is carried out. The actor lives as long as
    /// a handle does, so that a failure can only mean that the process is ending.
    async fn change(&self, command: Command) {
        let (done, receiver) = oneshot::channel();
        if self.commands.send(Request { command: Caused::now(command), done }).await.is_ok() {
            let _ = receiver.await;
        }
    }
}
