use std::collections::BTreeMap;

use l2sces_model::{Epoch, Name};

use super::{Gate, Plan};
use crate::domain::GatewayKey;

/// The plans that the switches follow: the last one, and while frames go over from one to the next,
/// the one before.
///
/// First every switch is told of the new plan, beside the former: whatever comes in by a trunk goes
/// on by the plan whose epoch it has. When all have followed, frames *turn*: those that set out get
/// the new epoch. When all have followed in that too, and the last frame of the former epoch has
/// arrived, the former plan is forgotten. In between, any switch may be ahead of any other: a frame
/// gets one epoch, where it sets out, and keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Succession {
    latest: Plan,
    former: Option<Former>,
}

/// The plan before the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Former {
    plan: Plan,
    /// Frames still set out by it.
    is_current: bool,
}

/// Which plans there are besides the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None: all frames go by the last plan.
    Settled,
    /// Frames set out by the plan before, until every switch takes those of the last one.
    Preparing,
    /// Frames set out by the last plan; those on their way by the one before still arrive.
    Leaving,
}

/// A plan as one cluster or the switches between clusters need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The plan's epoch.
    pub epoch: Epoch,
    /// Its gates.
    pub gates: Vec<Gate>,
}

impl From<Plan> for Succession {
    fn from(latest: Plan) -> Self {
        Self { latest, former: None }
    }
}

impl Succession {
    /// Plans as they were stored: the last one, and if there is one before, its epoch, its gates
    /// with their segments, and whether frames still set out by it.
    pub fn restored(
        latest: Plan,
        former: Option<(Epoch, BTreeMap<GatewayKey, u16>, bool)>,
    ) -> Self {
        let former = former.map(|(epoch, gates, is_current)| Former {
            plan: Plan { epoch, used: gates.clone(), gates },
            is_current,
        });
        Self { latest, former }
    }

    /// The last plan: what plans to come are to follow.
    pub fn latest(&self) -> &Plan {
        &self.latest
    }

    /// The plan before the last one.
    pub fn former(&self) -> Option<&Plan> {
        self.former.as_ref().map(|former| &former.plan)
    }

    /// How far frames have gone over to the last plan.
    pub fn stage(&self) -> Stage {
        match &self.former {
            None => Stage::Settled,
            Some(former) if former.is_current => Stage::Preparing,
            Some(_) => Stage::Leaving,
        }
    }

    /// The plan by which frames set out.
    pub fn current(&self) -> &Plan {
        match &self.former {
            Some(Former { plan, is_current: true }) => plan,
            _ => &self.latest,
        }
    }

    /// Every plan whose frames are taken, the current one first, as it looks to a network that spans
    /// `clusters`.
    pub fn passages(&self, clusters: &[Name]) -> Vec<Passage> {
        let current = self.current();
        let plans = self.former.iter().map(|former| &former.plan).chain([&self.latest]);
        let others = plans.filter(|plan| plan.epoch != current.epoch);
        let passage = |plan: &Plan| Passage { epoch: plan.epoch, gates: plan.gates(clusters) };
        [current].into_iter().chain(others).map(passage).collect()
    }

    /// Goes on with another plan, which follows the last one. Without `is_urgent` frames keep
    /// setting out by the current plan until every switch knows the other one; otherwise they do no
    /// longer, since the current plan has failed. There are never more than two plans: one by which
    /// no frame has set out yet is dropped for the other, as is one that is being left for an urgent
    /// one.
    #[must_use]
    pub fn followed_by(self, next: Plan, is_urgent: bool) -> Self {
        let current = self.current().clone();
        if next.epoch == self.latest.epoch {
            return Self { latest: next, ..self };
        }
        let has_gates = !current.gates.is_empty();
        let former = Some(Former { plan: current, is_current: !is_urgent });
        Self { latest: next, former: former.filter(|_| has_gates) }
    }

    /// The next stage.
    #[must_use]
    pub fn advanced(self) -> Self {
        let former = match self.former {
            Some(Former { plan, is_current: true }) => Some(Former { plan, is_current: false }),
            _ => None,
        };
        Self { former, ..self }
    }
}
