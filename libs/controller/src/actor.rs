//! The engine's one task: takes in what is wanted and what happens, and decides what to do.
//!
//! It never waits for a switch or the owner: work goes to installers, events to an outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use l2sces_fabric::{Fabric, LinkEnd, Revision, Subject};
use l2sces_model::DatapathId;
use l2sces_openflow::{MatchField, PacketIn};
use l2sces_pki::{Role, peer_identity};
use l2sces_southbound::{Listener, SwitchConnection, SwitchEvent, difference};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    Event,
    command::Command,
    discovery::{Discovery, DiscoveryKey},
    event::Outbox,
    installer::{Installer, Plan, Progress, Work},
    readiness::Readiness,
    rounds::{Rounds, SessionKey},
    session::{Session, Stage, WORK},
};

/// How many inputs of switches may wait; the connections wait beyond that.
const INPUTS: usize = 1024;
/// How many commands and inputs are taken in before compiling: many changes at once are compiled
/// and sent as one.
const BATCH: usize = 1024;
/// Before a switch that refused something is read again.
const MEND_AFTER: Duration = Duration::from_secs(5);

type Commands = mpsc::Receiver<(Command, oneshot::Sender<()>)>;

/// Something that concerns a switch.
enum Input {
    Connected(Box<SwitchConnection>),
    Switch(SessionKey, SwitchEvent),
    Installer(SessionKey, Progress),
    /// A switch that refused something is to be read again.
    Mend(SessionKey),
}

pub(crate) struct Actor {
    fabric: Fabric,
    sessions: BTreeMap<DatapathId, Session>,
    rounds: Rounds,
    discovery: Discovery,
    complete: bool,
    epochs: u64,
    /// Those who wait for the changes that are not compiled yet.
    waiters: Vec<oneshot::Sender<()>>,
    /// What may have another state now.
    stale: BTreeSet<Subject>,
    outbox: Outbox,
    events: mpsc::Sender<Event>,
    inputs: mpsc::Sender<Input>,
    inputs_rx: mpsc::Receiver<Input>,
}

impl Actor {
    pub(crate) fn new(discovery_key: &[u8; 32], events: mpsc::Sender<Event>) -> Self {
        let (inputs, inputs_rx) = mpsc::channel(INPUTS);
        Self {
            fabric: Fabric::new(),
            sessions: BTreeMap::new(),
            rounds: Rounds::default(),
            discovery: Discovery::new(DiscoveryKey::new(discovery_key)),
            complete: false,
            epochs: 0,
            waiters: Vec::new(),
            stale: BTreeSet::new(),
            outbox: Outbox::default(),
            events,
            inputs,
            inputs_rx,
        }
    }

    /// Runs until the last handle of the engine is dropped.
    pub(crate) async fn run(
        mut self,
        listener: Listener,
        checks_peers: bool,
        mut commands: Commands,
    ) {
        let accepting = tokio::spawn(accept(listener, checks_peers, self.inputs.clone()));
        let events = self.events.clone();
        loop {
            let next_probe = self.discovery.next_deadline();
            tokio::select! {
                command = commands.recv() => match command {
                    Some((command, done)) => self.command(command, done),
                    None => break,
                },
                Some(input) = self.inputs_rx.recv() => self.input(input),
                () = sleep_until(next_probe) => self.probe(),
                Ok(permit) = events.reserve(), if !self.outbox.is_empty() => {
                    if let Some(event) = self.outbox.pop() {
                        permit.send(event);
                    }
                    continue;
                }
            }
            for _ in 0..BATCH {
                if let Ok((command, done)) = commands.try_recv() {
                    self.command(command, done);
                } else if let Ok(input) = self.inputs_rx.try_recv() {
                    self.input(input);
                } else {
                    break;
                }
            }
            self.compile();
            self.tell();
        }
        accepting.abort();
        self.sessions.values().for_each(Session::close);
    }

    fn command(&mut self, command: Command, done: oneshot::Sender<()>) {
        match command {
            Command::PutSwitch(spec) => {
                let id = spec.id;
                self.fabric.put_switch(spec);
                self.synchronize(id);
            }
            Command::RemoveSwitch(id) => {
                self.fabric.remove_switch(id);
                self.outbox.forget_switch(id);
            }
            Command::PutSlice(spec) => {
                self.stale.insert(Subject::Slice(spec.name.clone()));
                self.fabric.put_slice(spec);
                self.discovery.set_links(&self.fabric.links(), Instant::now());
            }
            Command::RemoveSlice(name) => {
                self.fabric.remove_slice(&name);
                self.outbox.forget_slice(&name);
                self.discovery.set_links(&self.fabric.links(), Instant::now());
            }
            Command::PutNetwork(spec) => {
                self.stale.insert(Subject::Network(spec.vni));
                self.fabric.put_network(spec);
            }
            Command::RemoveNetwork(vni) => {
                self.fabric.remove_network(vni);
                self.outbox.forget_network(vni);
            }
            Command::PutPort(spec) => {
                self.stale.insert(Subject::Network(spec.vni));
                self.fabric.put_port(spec);
            }
            Command::RemovePort(id) => {
                self.fabric.remove_port(&id);
                self.outbox.forget_port(&id);
            }
            Command::PutEndpoint(spec) => self.fabric.put_endpoint(spec),
            Command::RemoveEndpoint(vni, mac) => self.fabric.remove_endpoint(vni, mac),
            Command::SetComplete => {
                self.complete = true;
                let ids: Vec<_> = self.sessions.keys().copied().collect();
                ids.into_iter().for_each(|id| self.synchronize(id));
                self.stale_everything();
            }
            Command::Links(answer) => {
                // Whoever asked and has gone needs no answer.
                let _ = answer.send(self.discovery.states());
            }
        }
        self.waiters.push(done);
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Connected(connection) => self.connected(*connection),
            Input::Switch(key, event) if self.is_current(key) => self.switch_event(key.0, event),
            Input::Installer(key, progress) if self.is_current(key) => self.progress(key, progress),
            Input::Mend(key) if self.is_current(key) => self.resynchronize(key.0),
            // Of a connection that has been replaced.
            Input::Switch(..) | Input::Installer(..) | Input::Mend(_) => {}
        }
    }

    fn is_current(&self, (id, epoch): SessionKey) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.epoch == epoch)
    }

    /// A switch has connected: a new connection of a switch replaces its older one.
    fn connected(&mut self, connection: SwitchConnection) {
        let SwitchConnection { datapath_id: id, ports, peer, handle, events, .. } = connection;
        info!(switch = %id, name = self.fabric.switch_name(id), ?peer, "switch connected");
        self.end_session(id);
        self.epochs += 1;
        let key = (id, self.epochs);
        let (work_tx, work) = mpsc::channel(WORK);
        let inputs = self.inputs.clone();
        let report = move |progress| {
            let inputs = inputs.clone();
            async move { inputs.send(Input::Installer(key, progress)).await.is_ok() }
        };
        tokio::spawn(Installer { handle: handle.clone(), report }.run(work));
        tokio::spawn(forward(key, events, self.inputs.clone()));
        let mut session = Session::new(self.epochs, handle, work_tx);
        for port in &ports {
            session.note_port(port, false);
        }
        self.fabric.set_interfaces(id, &session.interfaces());
        self.sessions.insert(id, session);
        self.discovery.restart_switch(id, Instant::now());
        self.note_broken_links();
        self.synchronize(id);
        self.stale_switch(id);
    }

    fn end_session(&mut self, id: DatapathId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.close();
        let over = self.rounds.end_session((id, session.epoch));
        self.stale.extend(over);
        self.stale_switch(id);
    }

    fn switch_event(&mut self, id: DatapathId, event: SwitchEvent) {
        match event {
            SwitchEvent::PortChanged { description, removed } => {
                let Some(session) = self.sessions.get_mut(&id) else { return };
                for (interface, number) in session.note_port(&description, removed) {
                    self.fabric.set_interface(id, &interface, number);
                }
            }
            SwitchEvent::PacketIn(packet) => self.packet_in(id, &packet),
            SwitchEvent::Error(error) => warn!(switch = %id, %error, "the switch reports an error"),
            SwitchEvent::Closed(reason) => {
                warn!(switch = %id, name = self.fabric.switch_name(id), %reason, "switch gone");
                self.end_session(id);
            }
        }
    }

    fn packet_in(&mut self, id: DatapathId, packet: &PacketIn) {
        let in_port = packet.matching.fields().iter().find_map(|field| match field {
            MatchField::InPort(port) => Some(*port),
            _ => None,
        });
        let interface = in_port.and_then(|port| self.sessions.get(&id)?.interface(port).cloned());
        let Some(interface) = interface else { return };
        if self.discovery.frame_arrived(&LinkEnd { switch: id, interface }, &packet.data) {
            self.note_broken_links();
            self.stale_slices();
        }
    }

    /// Starts to bring a switch to what is wanted, once all of that is known and the switch is ours.
    fn synchronize(&mut self, id: DatapathId) {
        let is_ours = self.complete && self.fabric.switch_name(id).is_some();
        if let Some(session) = self.sessions.get_mut(&id)
            && is_ours
            && session.stage == Stage::Connected
        {
            session.stage = Stage::Reading;
            session.give(Work::Synchronize);
        }
    }

    fn resynchronize(&mut self, id: DatapathId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && matches!(session.stage, Stage::Faulty(_))
        {
            session.stage = Stage::Connected;
            self.synchronize(id);
            self.stale_switch(id);
        }
    }

    fn progress(&mut self, key: SessionKey, progress: Progress) {
        let id = key.0;
        match progress {
            Progress::Installed { program, plan } => {
                // Compile first what has come in meanwhile, so that it is part of the plan.
                self.compile();
                let changes = difference(&self.fabric.program(id), &program, true);
                info!(switch = %id, flows = program.flows.len(), changes = changes.len(), "switch read");
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.stage = Stage::Writing;
                }
                // The installer may be gone, if the connection is: then nothing is to be done.
                let _ = plan.send(Plan { changes, through: self.rounds.last_id() });
            }
            Progress::Confirmed { through, synchronized, refused } => {
                self.stale.extend(self.rounds.confirm(key, through));
                let stage = match refused {
                    Some(fault) => {
                        self.mend_later(key);
                        Stage::Faulty(fault)
                    }
                    None if synchronized => Stage::Ready,
                    None => return,
                };
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.stage = stage;
                }
                self.stale_switch(id);
            }
        }
    }

    fn mend_later(&self, key: SessionKey) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(MEND_AFTER).await;
            // If the actor is gone, nothing is to be mended.
            let _ = inputs.send(Input::Mend(key)).await;
        });
    }

    fn probe(&mut self) {
        let ready = |end: &LinkEnd| {
            let session = self.sessions.get(&end.switch);
            session.is_some_and(|session| session.stage == Stage::Ready)
                && self.fabric.interface(end.switch, &end.interface).is_some()
        };
        for probe in self.discovery.due(Instant::now(), |from, to| ready(from) && ready(to)) {
            let LinkEnd { switch, interface } = &probe.from;
            if let (Some(session), Some(port)) =
                (self.sessions.get(switch), self.fabric.interface(*switch, interface))
            {
                session.give(Work::Send { port, frame: probe.frame });
            }
        }
        self.note_broken_links();
    }

    /// Takes over into the fabric which links discovery finds broken.
    fn note_broken_links(&mut self) {
        let broken = self.discovery.broken();
        if self.fabric.broken_links() != &broken {
            for (from, to) in broken.difference(self.fabric.broken_links()) {
                warn!(from = %from.switch, to = %to.switch, interface = %from.interface, "link broken");
            }
            self.fabric.set_broken_links(broken);
            self.stale_slices();
        }
    }

    /// Compiles what has changed and sends it to the switches.
    fn compile(&mut self) {
        let Revision { programs, subjects } = self.fabric.recompile();
        let waiters = std::mem::take(&mut self.waiters);
        if !self.complete {
            self.stale.extend(subjects);
            for waiter in waiters {
                // Whoever has gone away needs to know nothing.
                let _ = waiter.send(());
            }
            return;
        }
        let round = self.rounds.next_id();
        let mut sessions = BTreeSet::new();
        for (id, (before, after)) in programs {
            let Some(session) = self.sessions.get(&id) else { continue };
            if session.takes_changes() {
                let changes = difference(&after, &before, true);
                session.give(Work::Apply { round, changes });
            } else if session.stage == Stage::Connected {
                // Not one of our switches: it is neither read nor written.
                continue;
            }
            sessions.insert((id, session.epoch));
        }
        if !waiters.is_empty() || !sessions.is_empty() {
            self.rounds.open(sessions, subjects.clone(), waiters);
        }
        self.stale.extend(subjects);
    }

    /// Puts the state of everything that may have another one into the outbox.
    fn tell(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() {
            return;
        }
        let readiness = Readiness {
            fabric: &self.fabric,
            sessions: &self.sessions,
            rounds: &self.rounds,
            discovery: &self.discovery,
            complete: self.complete,
        };
        for subject in stale {
            match subject {
                Subject::Switch(id) if self.fabric.switch_name(id).is_some() => {
                    self.outbox.push(readiness.switch(id));
                }
                Subject::Slice(name) if self.fabric.slice_links(&name).is_some() => {
                    self.outbox.push(readiness.slice(&name));
                }
                Subject::Network(vni) => {
                    for id in self.fabric.network_ports(vni) {
                        let event = readiness.port(id, &self.outbox);
                        self.outbox.push(event);
                    }
                    if self.fabric.has_network(vni) {
                        self.outbox.push(readiness.network(vni));
                    }
                }
                // It has been removed.
                Subject::Switch(_) | Subject::Slice(_) => {}
            }
        }
    }

    fn stale_switch(&mut self, id: DatapathId) {
        self.stale.insert(Subject::Switch(id));
        self.stale.extend(self.fabric.subjects_on(id));
    }

    fn stale_slices(&mut self) {
        self.stale.extend(self.fabric.slice_names().cloned().map(Subject::Slice));
    }

    fn stale_everything(&mut self) {
        self.stale.extend(self.fabric.subjects());
    }
}

/// Accepts switches for as long as the actor lives.
async fn accept(mut listener: Listener, checks_peers: bool, inputs: mpsc::Sender<Input>) {
    loop {
        let connection = listener.accept().await;
        if checks_peers && !is_switch(&connection) {
            warn!(switch = %connection.datapath_id, peer = ?connection.peer,
                "refused: its certificate is not an agent's");
            connection.handle.close();
            continue;
        }
        if inputs.send(Input::Connected(Box::new(connection))).await.is_err() {
            return;
        }
    }
}

/// Whether the peer's certificate is that of an agent: Open vSwitch uses its node's.
fn is_switch(connection: &SwitchConnection) -> bool {
    let identity = connection.peer_certificate.as_deref().and_then(peer_identity);
    identity.is_some_and(|identity| matches!(identity.role, Role::SpsAgent | Role::NedAgent))
}

/// Hands a connection's events to the actor.
async fn forward(
    key: SessionKey,
    mut events: mpsc::Receiver<SwitchEvent>,
    inputs: mpsc::Sender<Input>,
) {
    while let Some(event) = events.recv().await {
        if inputs.send(Input::Switch(key, event)).await.is_err() {
            return;
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
