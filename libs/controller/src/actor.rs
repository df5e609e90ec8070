//! The engine's one task: takes in what is wanted and what happens, and decides what to do.
//!
//! It never waits for a switch or the owner: work goes to installers, events to an outbox.

mod addresses;
mod changes;
mod connections;
mod links;

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::{Fabric, Subject};
use l2sces_model::DatapathId;
use l2sces_pki::Identity;
use l2sces_southbound::{Listener, SwitchConnection, SwitchEvent};
use l2sces_trace::{Caused, TraceContext};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use addresses::Held;

use crate::{
    EngineConfig, Event,
    command::{Command, Request},
    discovery::{Discovery, DiscoveryKey},
    event::Outbox,
    installer::Progress,
    learning::Learning,
    readiness::Readiness,
    rounds::{Rounds, SessionKey},
    session::Session,
    steps::{Fence, Pace, Steps},
    traces::Traces,
};

/// How many inputs of switches may wait; the connections wait beyond that.
const INPUTS: usize = 1024;
/// How many commands and inputs are taken in before compiling: many changes at once are compiled
/// and sent as one.
const BATCH: usize = 1024;

/// Something that concerns a switch.
enum Input {
    Connected(Box<SwitchConnection>, Option<Identity>),
    Switch(SessionKey, SwitchEvent),
    Installer(SessionKey, Progress),
    /// A switch is to be read again, since its flows may not be as wanted.
    Read(SessionKey),
    /// The changes that a frame has waited for are confirmed.
    Confirmed(SessionKey, Held),
}

pub(crate) struct Actor {
    fabric: Fabric,
    sessions: BTreeMap<DatapathId, Session>,
    rounds: Rounds,
    steps: Steps,
    pace: Pace,
    /// Switches that have been read, and will be told what to change when the steps are over.
    parked: Vec<changes::Parked>,
    discovery: Discovery,
    learning: Learning,
    /// How many frames wait for their flows.
    held: usize,
    complete: bool,
    /// After the start: until when no switch is changed before all have been read.
    gathering: Option<Instant>,
    /// Switches that have been told what to change, but for their ways, since the last compilation.
    adopted: BTreeSet<DatapathId>,
    epochs: u64,
    /// Those who wait for the changes that are not compiled yet.
    waiters: Vec<oneshot::Sender<()>>,
    traces: Traces,
    /// What may have another state now, and why.
    stale: BTreeMap<Subject, Option<TraceContext>>,
    outbox: Outbox,
    events: mpsc::Sender<Caused<Event>>,
    inputs: mpsc::Sender<Input>,
    inputs_rx: mpsc::Receiver<Input>,
}

impl Actor {
    pub(crate) fn new(config: &EngineConfig, events: mpsc::Sender<Caused<Event>>) -> Self {
        let (inputs, inputs_rx) = mpsc::channel(INPUTS);
        Self {
            fabric: Fabric::new().with_ageing_time(config.ageing_time),
            sessions: BTreeMap::new(),
            rounds: Rounds::default(),
            steps: Steps::default(),
            pace: Pace {
                patience: config.patience,
                settling: config.settling,
                gathering: config.gathering,
            },
            parked: Vec::new(),
            discovery: Discovery::new(DiscoveryKey::new(&config.discovery_key)),
            learning: Learning::default(),
            held: 0,
            complete: false,
            gathering: None,
            adopted: BTreeSet::new(),
            epochs: 0,
            waiters: Vec::new(),
            traces: Traces::default(),
            stale: BTreeMap::new(),
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
        mut commands: mpsc::Receiver<Request>,
    ) {
        let accepting =
            tokio::spawn(connections::accept(listener, checks_peers, self.inputs.clone()));
        let events = self.events.clone();
        loop {
            let next_probe = self.discovery.next_deadline();
            let fence = self.steps.fence().map(Fence::next_look);
            let conflict = self.learning.next_deadline();
            let gathering = self.gathering;
            tokio::select! {
                request = commands.recv() => match request {
                    Some(request) => self.request(request),
                    None => break,
                },
                Some(input) = self.inputs_rx.recv() => self.input(input),
                () = sleep_until(next_probe) => self.probe(),
                () = sleep_until(fence) => {}
                () = sleep_until(gathering) => {}
                () = sleep_until(conflict) => self.end_conflicts(),
                Ok(permit) = events.reserve(), if !self.outbox.is_empty() => {
                    if let Some(event) = self.outbox.pop() {
                        permit.send(event);
                    }
                    continue;
                }
            }
            for _ in 0..BATCH {
                if let Ok(request) = commands.try_recv() {
                    self.request(request);
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

    fn request(&mut self, Request { command, done }: Request) {
        let Caused { what: command, cause } = command;
        self.traces.note(cause);
        match command {
            Command::PutSwitch(spec) => {
                let id = spec.id;
                self.fabric.put_switch(spec);
                self.check_holder(id);
                self.synchronize(id);
            }
            Command::RemoveSwitch(id) => {
                self.fabric.remove_switch(id);
                self.outbox.forget_switch(id);
            }
            Command::PutSlice(spec) => {
                self.note_stale([Subject::Slice(spec.name.clone())], cause);
                self.fabric.put_slice(spec);
                self.set_links();
            }
            Command::RemoveSlice(name) => {
                self.fabric.remove_slice(&name);
                self.outbox.forget_slice(&name);
                self.set_links();
            }
            Command::PutNetwork(spec) => {
                self.note_stale([Subject::Network(spec.vni)], cause);
                self.outbox.repeat_network(spec.vni);
                self.fabric.put_network(spec);
            }
            Command::RemoveNetwork(vni) => {
                self.fabric.remove_network(vni);
                self.outbox.forget_network(vni);
            }
            Command::PutPort(spec) => {
                self.note_stale([Subject::Network(spec.vni)], cause);
                if self.fabric.interface(spec.switch, &spec.interface).is_none() {
                    self.traces.await_interface(spec.switch, spec.interface.clone(), cause);
                }
                self.fabric.put_port(spec);
            }
            Command::RemovePort(id) => {
                if let Some(spec) = self.fabric.port(&id) {
                    self.traces.forget_interface(spec.switch, &spec.interface);
                }
                self.learning.forget_port(&self.fabric, &id);
                self.fabric.remove_port(&id);
                self.outbox.forget_port(&id);
            }
            Command::PutEndpoint(spec) => {
                self.learning.forget(spec.vni, spec.mac);
                self.fabric.put_endpoint(spec);
            }
            Command::RemoveEndpoint(vni, mac) => self.fabric.remove_endpoint(vni, mac),
            Command::PutLearned(port, addresses) => self.restore_learned(&port, &addresses),
            Command::SetComplete => {
                self.complete = true;
                self.gathering = Some(Instant::now() + self.pace.gathering);
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
            Input::Connected(connection, holder) => self.connected(*connection, holder),
            Input::Switch(key, event) if self.is_current(key) => self.switch_event(key, event),
            Input::Installer(key, progress) if self.is_current(key) => self.progress(key, progress),
            Input::Read(key) if self.is_current(key) => self.read_again(key.0),
            Input::Confirmed(key, held) => self.release(key, held),
            // Of a connection that has been replaced.
            Input::Switch(..) | Input::Installer(..) | Input::Read(_) => {}
        }
    }

    fn is_current(&self, (id, epoch): SessionKey) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.epoch == epoch)
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
        for (subject, cause) in stale {
            match subject {
                Subject::Switch(id) if self.fabric.switch_name(id).is_some() => {
                    self.outbox.push(readiness.switch(id), cause);
                }
                Subject::Slice(name) if self.fabric.slice_links(&name).is_some() => {
                    self.outbox.push(readiness.slice(&name), cause);
                }
                Subject::Network(vni) => {
                    for id in self.fabric.network_ports(vni) {
                        let event = readiness.port(id, &self.outbox);
                        let addresses = self.addresses(id);
                        self.outbox.push(event, cause);
                        if let Some(addresses) = addresses {
                            self.outbox.push(addresses, cause);
                        }
                    }
                    if self.fabric.has_network(vni) {
                        let event = readiness.network(vni, &self.outbox);
                        self.outbox.push(event, cause);
                    }
                }
                // It has been removed.
                Subject::Switch(_) | Subject::Slice(_) => {}
            }
        }
    }

    /// Has the state of some things looked at, which may be another one.
    fn note_stale(
        &mut self,
        subjects: impl IntoIterator<Item = Subject>,
        cause: Option<TraceContext>,
    ) {
        for subject in subjects {
            let known = self.stale.entry(subject).or_default();
            *known = known.or(cause);
        }
    }

    fn stale_switch(&mut self, id: DatapathId) {
        let subjects: Vec<_> = self.fabric.subjects_on(id).into_iter().collect();
        self.note_stale([Subject::Switch(id)].into_iter().chain(subjects), None);
    }

    /// Links are wanted, or not any more.
    fn set_links(&mut self) {
        self.discovery.set_links(&self.fabric.links(), Instant::now());
        self.outbox.push(Event::LinksChanged, None);
    }

    /// Discovery has found out something about links.
    fn stale_links(&mut self) {
        self.outbox.push(Event::LinksChanged, None);
        let slices: Vec<_> = self.fabric.slice_names().cloned().map(Subject::Slice).collect();
        self.note_stale(slices, None);
    }

    fn stale_everything(&mut self) {
        let subjects: Vec<_> = self.fabric.subjects().collect();
        self.note_stale(subjects, None);
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
