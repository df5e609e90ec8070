//! Compiling what is wanted, and bringing switches to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use l2sces_model::DatapathId;
use l2sces_openflow::Program;
use l2sces_southbound::difference;
use l2sces_trace::{Caused, TraceContext};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Span, info, warn};

use super::{Actor, Input};
use crate::{
    installer::{Plan, Progress, Work},
    mending,
    rounds::{self, RoundId, SessionKey},
    session::Stage,
    steps::{self, Next},
    traces,
};

/// A switch that has been read, and waits to be told what to change.
pub(super) struct Parked {
    key: SessionKey,
    program: Program,
    plan: oneshot::Sender<Plan>,
}

impl Actor {
    /// Compiles what has changed and sends it to the switches, or goes on with what was compiled
    /// before.
    pub(super) fn compile(&mut self) {
        self.advance();
        if !self.steps.is_over() {
            return;
        }
        if self.gathering.is_some_and(|end| end <= Instant::now() || self.has_gathered()) {
            self.gathering = None;
        }
        if self.gathering.is_none() {
            for Parked { key, program, plan } in std::mem::take(&mut self.parked) {
                if self.is_current(key) {
                    self.plan(key, &program, plan);
                }
            }
        }
        let causes = self.traces.take();
        let span = match self.fabric.is_compiled() {
            true => Span::none(),
            false => traces::compilation(&causes),
        };
        let mut revision = span.in_scope(|| self.fabric.recompile());
        let adopted = std::mem::take(&mut self.adopted);
        if !adopted.is_empty() && !revision.steps.is_empty() {
            // Ways turn when all that they need is there.
            let confirmation = adopted.into_iter().map(|id| (id, Default::default()));
            revision.steps.insert(0, confirmation.collect());
        }
        let switches: BTreeSet<_> = revision.steps.iter().flat_map(BTreeMap::keys).collect();
        span.record("l2sces.steps", traces::number(revision.steps.len()));
        span.record("l2sces.switches", traces::number(switches.len()));
        let cause = span.in_scope(TraceContext::current).or(causes.first());
        self.note_stale(revision.subjects.iter().cloned(), cause);
        let waiters = std::mem::take(&mut self.waiters);
        if self.complete {
            self.steps.begin(revision, waiters, cause);
            self.advance();
        } else {
            // No switch is touched yet.
            rounds::tell(waiters);
        }
    }

    /// Hands out steps until one must be confirmed before the next.
    fn advance(&mut self) {
        loop {
            if let Some(fence) = self.steps.fence() {
                let awaited = self.awaited(fence.through);
                let now = Instant::now();
                if now < fence.settled || !awaited.is_empty() && now < fence.deadline {
                    return;
                }
                for id in awaited {
                    warn!(switch = %id, name = self.fabric.switch_name(id),
                        "does not confirm its changes: the others go on without it");
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.is_late = true;
                    }
                }
                self.steps.lift_fence();
            }
            let Some(next) = self.steps.next() else { return };
            let turns =
                next.step.values().any(|(before, after)| !steps::turns(before, after).is_empty());
            if self.hand_out(next) {
                self.steps.handed_out(self.rounds.last_id(), turns, self.pace);
            }
        }
    }

    /// The switches that have not confirmed everything up to a round, but for those that have held
    /// up the others before.
    fn awaited(&self, through: RoundId) -> Vec<DatapathId> {
        let is_awaited = |(id, epoch): &SessionKey| {
            let session = self.sessions.get(id);
            session.is_some_and(|session| session.epoch == *epoch && !session.is_late)
        };
        let unconfirmed = self.rounds.unconfirmed(through);
        unconfirmed.into_iter().filter(is_awaited).map(|(id, _)| id).collect()
    }

    /// Sends a step to the switches that it concerns; returns whether there are any.
    fn hand_out(
        &mut self,
        Next { mut step, subjects, ends_several, waiters, cause }: Next,
    ) -> bool {
        let round = self.rounds.next_id();
        if ends_several {
            // Those that were gone on without, too, so that the last step is not confirmed before
            // all of them are.
            for (id, _) in self.rounds.unconfirmed(self.rounds.last_id()) {
                step.entry(id).or_default();
            }
        }
        let mut sessions = BTreeSet::new();
        for (id, (before, after)) in step {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if session.takes_changes {
                let changes = difference(&after, &before, true);
                session.turns.insert(round, steps::turns(&before, &after));
                let name = self.fabric.switch_name(id);
                let span = traces::installation(cause, id, name, &changes);
                session.give(Work::Apply { round, changes, span });
                sessions.insert((id, session.epoch));
            }
        }
        let concerns_any = !sessions.is_empty();
        if concerns_any || !waiters.is_empty() {
            self.rounds.open(sessions, Caused { what: subjects, cause }, waiters);
        }
        concerns_any
    }

    /// Starts to bring a switch to what is wanted, once all of that is known and the switch is ours.
    pub(super) fn synchronize(&mut self, id: DatapathId) {
        let is_ours = self.complete && self.fabric.switch_name(id).is_some();
        if let Some(session) = self.sessions.get_mut(&id)
            && is_ours
            && session.stage == Stage::Connected
        {
            session.stage = Stage::Reading;
            session.give(Work::Synchronize);
        }
    }

    /// Has a switch read again after a pause, once if it is asked for often.
    pub(super) fn read_later(&mut self, key: SessionKey, pause: Duration) {
        let Some(session) = self.sessions.get_mut(&key.0) else { return };
        if std::mem::replace(&mut session.awaits_reading, true) {
            return;
        }
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // If the actor is gone, nothing is to be read.
            let _ = inputs.send(Input::Read(key)).await;
        });
    }

    pub(super) fn read_again(&mut self, id: DatapathId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.awaits_reading = false;
            session.give(Work::Synchronize);
        }
    }

    pub(super) fn progress(&mut self, key: SessionKey, progress: Progress) {
        match progress {
            Progress::Installed { program, plan } => self.installed(key, program, plan),
            Progress::Confirmed { through, synchronized, refused } => {
                if let Some(session) = self.sessions.get_mut(&key.0) {
                    session.turns = session.turns.split_off(&(through + 1));
                }
                for Caused { what: subjects, cause } in self.rounds.confirm(key, through) {
                    self.note_stale(subjects, cause);
                }
                self.confirmed(key, synchronized, refused);
            }
        }
    }

    /// Whether every switch has been read, or is of no use.
    fn has_gathered(&self) -> bool {
        let parked: BTreeSet<_> = self.parked.iter().map(|parked| parked.key).collect();
        self.fabric.switch_ids().all(|id| {
            self.sessions.get(&id).is_some_and(|session| {
                parked.contains(&(id, session.epoch)) || matches!(session.stage, Stage::Faulty(_))
            })
        })
    }

    /// A switch has been read. While the steps of a revision are on their way, it must not come to
    /// the end of that before its turn.
    ///
    /// One that has just connected therefore waits until they are over, and goes on with what it
    /// has: the fabric counts it as not connected until it is told what to change, so that none of
    /// the steps needs it, and no step can be waiting for it. One that was read again has a part in
    /// the steps, and its changes wait behind the reading: it makes them first, and is read anew.
    fn installed(&mut self, key: SessionKey, program: Program, plan: oneshot::Sender<Plan>) {
        // Compile first what has come in meanwhile, so that it is part of the plan.
        self.compile();
        if self.steps.is_over() && self.gathering.is_none() {
            self.plan(key, &program, plan);
        } else if self.sessions.get(&key.0).is_some_and(|session| session.takes_changes) {
            drop(plan);
            self.read_later(key, mending::AFTER_FOREIGN_CHANGE);
        } else {
            self.parked.push(Parked { key, program, plan });
        }
    }

    /// Tells what turns what a switch has into what it should have, but for its ways.
    fn plan(&mut self, key: SessionKey, program: &Program, plan: oneshot::Sender<Plan>) {
        let id = key.0;
        let changes = difference(&self.fabric.adopt(id, program), program, true);
        let name = self.fabric.switch_name(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        info!(switch = %id, name, flows = program.flows.len(), changes = changes.len(), "switch read");
        if !std::mem::replace(&mut session.takes_changes, true) {
            session.stage = Stage::Writing;
        }
        // The installer may be gone, if the connection is: then nothing is to be done.
        let span = traces::installation(None, id, name, &changes);
        let _ = plan.send(Plan { changes, through: self.rounds.last_id(), span });
        self.adopted.insert(id);
        self.fabric.set_connected(id);
    }

    fn confirmed(&mut self, key: SessionKey, synchronized: bool, refused: Option<String>) {
        let id = key.0;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.is_late = false;
        match refused {
            Some(fault) => {
                if !session.awaits_reading {
                    session.failures += 1;
                }
                session.stage = Stage::Faulty(fault);
                let pause = mending::pause(session.failures);
                self.read_later(key, pause);
            }
            None if synchronized => {
                session.failures = 0;
                if session.stage == Stage::Ready {
                    return;
                }
                session.stage = Stage::Ready;
                self.discovery.wake_switch(id, Instant::now());
            }
            None => return,
        }
        self.stale_switch(id);
    }
}
