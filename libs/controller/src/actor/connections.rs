//! Switches that connect, tell something, and go.

use l2sces_fabric::pipeline;
use l2sces_model::DatapathId;
use l2sces_pki::{Identity, peer_identity};
use l2sces_southbound::{Listener, SwitchConnection, SwitchEvent};
use l2sces_trace::Caused;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Actor, Input};
use crate::{
    Event,
    installer::Installer,
    mending,
    rounds::SessionKey,
    session::{Session, WORK},
};

impl Actor {
    /// A switch has connected: a new connection of a switch replaces its older one. `holder` is whose
    /// certificate it shows, if it was asked for one.
    pub(super) fn connected(&mut self, connection: SwitchConnection, holder: Option<Identity>) {
        let SwitchConnection { datapath_id: id, ports, peer, handle, events, .. } = connection;
        if self.is_of_another(id, holder.as_ref()) {
            warn!(switch = %id, name = self.fabric.switch_name(id), ?peer, ?holder,
                "refused: it shows the certificate of another node");
            handle.close();
            return;
        }
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
        tokio::spawn(Installer::new(handle.clone(), report).run(work));
        tokio::spawn(forward(key, events, self.inputs.clone()));
        let mut session = Session::new(self.epochs, holder, handle, work_tx);
        for port in &ports {
            session.note_port(port, false);
        }
        self.fabric.set_interfaces(id, &session.interfaces());
        self.discovery.restart_switch(id, &session.silent_interfaces(), Instant::now());
        self.sessions.insert(id, session);
        self.note_broken_links();
        self.outbox.push(Event::LinksChanged, None);
        self.synchronize(id);
        self.stale_switch(id);
    }

    /// A switch has been put, which may have connected before it was known whose it is.
    pub(super) fn check_holder(&mut self, id: DatapathId) {
        let holder = self.sessions.get(&id).and_then(|session| session.holder.clone());
        if self.is_of_another(id, holder.as_ref()) {
            warn!(switch = %id, name = self.fabric.switch_name(id), ?holder,
                "disconnected: it shows the certificate of another node");
            self.end_session(id);
        }
    }

    /// Whether a certificate is that of another node than the one that a switch is known to be on.
    fn is_of_another(&self, id: DatapathId, holder: Option<&Identity>) -> bool {
        let node = self.fabric.switch_node(id);
        holder.zip(node).is_some_and(|(holder, (cluster, node))| {
            !holder.is_of_node(cluster.as_str(), node.as_str())
        })
    }

    pub(super) fn end_session(&mut self, id: DatapathId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.close();
        let mut unconfirmed = self.steps.forget_switch(id);
        unconfirmed.extend(session.turns.values().flatten());
        // The steps that are left may count on what the switch has not done.
        let (rest, waiters) = self.steps.abandon();
        self.waiters.extend(waiters);
        if !rest.is_empty() {
            self.traces.note(self.steps.cause());
            self.fabric.take_back(rest, self.steps.subjects());
        }
        self.fabric.set_disconnected(id, &unconfirmed);
        for Caused { what: subjects, cause } in self.rounds.end_session((id, session.epoch)) {
            self.note_stale(subjects, cause);
        }
        self.stale_switch(id);
    }

    pub(super) fn switch_event(&mut self, key: SessionKey, event: SwitchEvent) {
        let id = key.0;
        match event {
            SwitchEvent::PortChanged { description, removed } => {
                self.port_changed(id, &description, removed);
            }
            SwitchEvent::PacketIn(packet) if packet.table == pipeline::SECURITY => {
                self.unknown_source(key, packet);
            }
            SwitchEvent::PacketIn(packet) => self.packet_in(id, &packet),
            SwitchEvent::FlowRemoved(removed) => self.flow_removed(id, &removed),
            SwitchEvent::FlowsChanged => {
                info!(switch = %id, name = self.fabric.switch_name(id), "others change its flows");
                self.read_later(key, mending::AFTER_FOREIGN_CHANGE);
            }
            SwitchEvent::Error(error) => warn!(switch = %id, %error, "the switch reports an error"),
            SwitchEvent::Closed(reason) => {
                warn!(switch = %id, name = self.fabric.switch_name(id), %reason, "switch gone");
                self.end_session(id);
            }
        }
    }
}

/// Accepts switches for as long as the actor lives.
pub(super) async fn accept(
    mut listener: Listener,
    checks_peers: bool,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        let connection = listener.accept().await;
        let holder = holder(&connection).filter(|_| checks_peers);
        if checks_peers && holder.is_none() {
            warn!(switch = %connection.datapath_id, peer = ?connection.peer,
                "refused: its certificate is not an agent's");
            connection.handle.close();
            continue;
        }
        if inputs.send(Input::Connected(Box::new(connection), holder)).await.is_err() {
            return;
        }
    }
}

/// The agent whose certificate the peer has shown: Open vSwitch uses its node's.
fn holder(connection: &SwitchConnection) -> Option<Identity> {
    let identity = connection.peer_certificate.as_deref().and_then(peer_identity)?;
    identity.role.is_agent().then_some(identity)
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
