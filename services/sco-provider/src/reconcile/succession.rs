//! How networks go over from one plan to the next.

use std::time::Duration;

use l2sces_model::Name;
use tokio::time::Instant;

use super::{ReconcileError, Reconciler, network::KnownNetwork, slice::KnownSlice};
use crate::{
    domain::{
        Key, NetworkKey, StoredNetwork,
        plan::{Planned, Stage, Succession, plan},
    },
    downstream::{Agents, Fabric, Names},
    exchange::ItemKey,
};

/// How long networks that go over to another plan wait.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For clusters that do not say that they have followed: then it goes on without them.
    pub patience: Duration,
    /// To know what of a changed slice works: then it is planned with what may work.
    pub suspense: Duration,
    /// For frames that are still on their way by the former plan: those that switches go on to send
    /// by what they have cached among them.
    pub linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            suspense: Duration::from_secs(60),
            linger: Duration::from_secs(5),
        }
    }
}

/// How a network is getting on with a stage. After a restart it waits anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    plans: Succession,
    is_confirmed: bool,
    /// When the stage ends at the latest, or if it is confirmed, when it ends.
    end: Instant,
}

/// What is to be stored of a network, and whom that leaves out.
pub(super) struct Decision {
    pub(super) plans: Succession,
    pub(super) planned_for: Option<i64>,
    pub(super) unreached: Vec<Name>,
    /// It is to be decided again when it is known what of the slice works.
    pub(super) waits: bool,
}

/// Decides how a network crosses clusters, now that its slice fares like this.
pub(super) fn decide(stored: &StoredNetwork, slice: &KnownSlice, may_wait: bool) -> Decision {
    let (plans, clusters) = (&stored.plans, &stored.network.clusters);
    let is_torn = plans.current().is_torn(&slice.ways_in_use, clusters);
    let has_failed = is_torn || plans.latest().is_torn(&slice.ways_in_use, clusters);
    let is_afresh = stored.planned_for != Some(slice.version);
    // What is new to the slice is not gone over to before it is known to work, and what it has lost
    // is used until then.
    let waits = may_wait && is_afresh && !slice.doubts.is_empty() && plans.latest().has_gates();
    let Planned { plan: next, unreached } = if waits {
        plan(&slice.ways_in_use, clusters, plans.latest(), false)
    } else {
        plan(&slice.ways, clusters, plans.latest(), is_afresh)
    };
    // One at a time: frames go over to the last plan first, unless that makes no sense any more.
    let is_settled = plans.stage() == Stage::Settled;
    if !is_settled && !has_failed && next.epoch() != plans.latest().epoch() {
        return Decision {
            plans: plans.clone(),
            planned_for: stored.planned_for,
            unreached,
            waits,
        };
    }
    let mut plans = plans.clone().followed_by(next, is_torn);
    if is_torn && plans.stage() == Stage::Preparing {
        plans = plans.advanced();
    }
    // One that spans a single cluster has the same plan whatever the topology.
    let is_for_this = !waits && clusters.len() > 1;
    let planned_for = if is_for_this { Some(slice.version) } else { stored.planned_for };
    Decision { plans, planned_for, unreached, waits }
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    /// Whether a network may wait until it is known what of its slice works.
    pub(super) fn may_wait(&self, key: &NetworkKey) -> bool {
        self.waiting.get(key).is_none_or(|until| until > Instant::now())
    }

    /// Takes note whether a network is to be planned anew when it is known what of its slice works.
    pub(super) fn note_waiting(&self, key: &NetworkKey, waits: bool) {
        if !waits {
            self.waiting.remove(key);
            return;
        }
        if self.waiting.get(key).is_none() {
            self.waiting.insert(key, Instant::now() + self.pace.suspense);
        }
        // The slice wakes those that it finds waiting: it may have looked a moment ago.
        if self.slices.get(&key.slice).is_some_and(|slice| slice.doubts.is_empty()) {
            self.queues.wake(Key::Network(key.clone()));
        }
    }

    /// Takes a network to the next stage when it is time: when all clusters have confirmed the one
    /// it is in, or have been waited for in vain.
    pub(super) async fn advance(&self, stored: &StoredNetwork) -> Result<(), ReconcileError> {
        let (key, plans) = (&stored.network.key, &stored.plans);
        let Some(known) = self.networks.get(key).filter(|_| plans.stage() != Stage::Settled) else {
            self.forget_progress(key);
            return Ok(());
        };
        let now = Instant::now();
        let progress = self.progress.get(key).filter(|progress| progress.plans == *plans);
        let mut progress = progress.unwrap_or_else(|| Progress {
            plans: plans.clone(),
            is_confirmed: false,
            end: now + self.pace.patience,
        });
        if !progress.is_confirmed && self.is_confirmed(key, &known) {
            progress.is_confirmed = true;
            progress.end = match plans.stage() {
                Stage::Leaving => now + self.pace.linger,
                Stage::Preparing | Stage::Settled => now,
            };
        }
        let is_over = progress.end <= now;
        if is_over && !progress.is_confirmed {
            tracing::warn!(network = %key, "goes over to another plan, though not all have followed");
        }
        self.progress.insert(key, progress);
        if is_over {
            let next = plans.clone().advanced();
            self.store.store_plans(stored.identity.vni, &next, stored.planned_for).await?;
            self.queues.wake(Key::Network(key.clone()));
        }
        Ok(())
    }

    /// How long a network is to be left alone, unless something happens.
    pub(super) fn pause(&self, key: &NetworkKey) -> Option<Duration> {
        let end = self.progress.get(key).map(|progress| progress.end);
        let end = end.into_iter().chain(self.waiting.get(key)).min()?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    /// Forgets how a network was getting on: it has one plan, or none.
    pub(super) fn forget_progress(&self, key: &NetworkKey) {
        self.progress.remove(key);
        self.confirmations.forget(key);
    }

    fn is_confirmed(&self, key: &NetworkKey, known: &KnownNetwork) -> bool {
        known.crossed_clusters().into_iter().all(|cluster| {
            let item = ItemKey::Handoff { network: key.clone(), cluster: cluster.clone() };
            let handoff = self.exchange.get(&item);
            handoff.is_some_and(|handoff| self.confirmations.has(key, cluster, &handoff))
        })
    }
}
