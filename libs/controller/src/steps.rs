//! The steps of a revision, handed out one after the other.
//!
//! A revision of several steps is fenced: a step is handed out when every switch has confirmed what
//! was handed out before, or has gone away. After ways have turned that takes a moment more: a switch
//! that has confirmed sends by what its datapath has cached until it has looked at its tables again, and
//! what it sends to one that has turned the other way comes back to where it came from, and is dropped.
//! Where a link has broken nobody waits for that. Until all of it is confirmed nothing else is compiled,
//! so that no later change overtakes it; commands collect in the fabric meanwhile, which takes as
//! many milliseconds as there are steps. A revision of one step, as nearly all are, waits for
//! nothing, nor does anything wait for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use l2sces_fabric::{Revision, Subject};
use l2sces_model::DatapathId;
use l2sces_openflow::{GroupBody, GroupId, Program};
use l2sces_trace::TraceContext;
use tokio::{sync::oneshot, time::Instant};

use crate::rounds::RoundId;

/// For each switch with changes: the changed part of its program, before and after.
pub(crate) type Step = BTreeMap<DatapathId, (Program, Program)>;

/// What is left of a revision.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rest: VecDeque<Step>,
    is_fenced: bool,
    is_urgent: bool,
    /// So will be the revision that comes next.
    is_next_urgent: bool,
    subjects: BTreeSet<Subject>,
    waiters: Vec<oneshot::Sender<()>>,
    cause: Option<TraceContext>,
    fence: Option<Fence>,
}

/// What must be confirmed before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// This round, and those before it.
    pub(crate) through: RoundId,
    /// Until when it does not go on though all is confirmed: caches may hold what was before.
    pub(crate) settled: Instant,
    /// Until when it is waited for.
    pub(crate) deadline: Instant,
}

impl Fence {
    /// When it may have become time to go on, if nothing is confirmed until then.
    pub(crate) fn next_look(self) -> Instant {
        if Instant::now() < self.settled { self.settled } else { self.deadline }
    }
}

/// How long to wait for switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// For one that answers nothing.
    pub(crate) patience: Duration,
    /// For what a datapath has cached, when ways have turned.
    pub(crate) settling: Duration,
    /// For one that has not connected since the start.
    pub(crate) gathering: Duration,
}

/// A step to hand out.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) step: Step,
    pub(crate) subjects: BTreeSet<Subject>,
    /// Whether it ends a revision of several steps, so that those before are to be confirmed too
    /// when it is.
    pub(crate) ends_several: bool,
    /// Those to be told when the step is confirmed: with the last one, all of them.
    pub(crate) waiters: Vec<oneshot::Sender<()>>,
    /// The compilation.
    pub(crate) cause: Option<TraceContext>,
}

impl Steps {
    /// Takes the steps of a revision, those who wait for it, and the span that compiled it.
    pub(crate) fn begin(
        &mut self,
        revision: Revision,
        waiters: Vec<oneshot::Sender<()>>,
        cause: Option<TraceContext>,
    ) {
        let Revision { steps, subjects } = revision;
        *self = Self {
            is_fenced: steps.len() > 1,
            is_urgent: self.is_next_urgent,
            is_next_urgent: false,
            rest: steps.into(),
            subjects,
            waiters,
            cause,
            fence: None,
        };
    }

    /// A link has broken: what is left, and the revision that answers it, do not wait for caches.
    pub(crate) fn hurry(&mut self) {
        (self.is_urgent, self.is_next_urgent) = (true, true);
        if let Some(fence) = &mut self.fence {
            fence.settled = Instant::now();
        }
    }

    /// Whether everything is handed out, and confirmed if it had to be.
    pub(crate) fn is_over(&self) -> bool {
        self.rest.is_empty() && self.fence.is_none() && self.waiters.is_empty()
    }

    /// What must be confirmed before [`next`](Self::next) may be called.
    pub(crate) fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// It is confirmed, or has been waited for long enough.
    pub(crate) fn lift_fence(&mut self) {
        self.fence = None;
    }

    /// The next step; `None`: there is nothing left to hand out. Waiters for a revision without any
    /// change come with an empty step.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let step = self.rest.pop_front();
        if step.is_none() && self.waiters.is_empty() {
            return None;
        }
        let is_last = self.rest.is_empty();
        let waiters = if is_last { std::mem::take(&mut self.waiters) } else { Vec::new() };
        Some(Next {
            step: step.unwrap_or_default(),
            subjects: self.subjects.clone(),
            ends_several: is_last && self.is_fenced,
            waiters,
            cause: self.cause,
        })
    }

    /// The step that was returned last went out with this round; whether ways turn in it.
    pub(crate) fn handed_out(&mut self, round: RoundId, turns: bool, pace: Pace) {
        let now = Instant::now();
        let settled = if turns && !self.is_urgent { now + pace.settling } else { now };
        let deadline = settled.max(now + pace.patience);
        self.fence = self.is_fenced.then_some(Fence { through: round, settled, deadline });
    }

    /// Gives back what is not handed out, and those who wait for it.
    pub(crate) fn abandon(&mut self) -> (VecDeque<Step>, Vec<oneshot::Sender<()>>) {
        (std::mem::take(&mut self.rest), std::mem::take(&mut self.waiters))
    }

    /// The span that compiled the steps.
    pub(crate) fn cause(&self) -> Option<TraceContext> {
        self.cause
    }

    /// What the steps concern.
    pub(crate) fn subjects(&self) -> BTreeSet<Subject> {
        self.subjects.clone()
    }

    /// A switch has gone away: it is to be read before it is changed again, whole, so that none of
    /// the steps concerns it any more. Returns the groups that it was to turn.
    pub(crate) fn forget_switch(&mut self, id: DatapathId) -> BTreeSet<GroupId> {
        let left = self.rest.iter_mut().filter_map(|step| step.remove(&id));
        left.flat_map(|(before, after)| turns(&before, &after)).collect()
    }
}

/// The groups that a change turns elsewhere: until it is confirmed, they may lead to the old or the
/// new next hop.
pub(crate) fn turns(before: &Program, after: &Program) -> BTreeSet<GroupId> {
    let is_turned = |(id, body): &(&GroupId, &GroupBody)| {
        before.groups.get(id).is_some_and(|before| before != *body)
    };
    after.groups.iter().filter(is_turned).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        patience: Duration::from_secs(1),
        settling: Duration::from_millis(250),
        gathering: Duration::from_secs(3),
    };

    fn id(number: u64) -> DatapathId {
        number.try_into().unwrap()
    }

    fn revision(steps: &[&[u64]]) -> Revision {
        let step = |ids: &&[u64]| ids.iter().map(|it| (id(*it), Default::default())).collect();
        Revision { steps: steps.iter().map(step).collect(), subjects: BTreeSet::new() }
    }

    fn ids(next: &Next) -> Vec<DatapathId> {
        next.step.keys().copied().collect()
    }

    #[tokio::test]
    async fn one_step_is_not_fenced() {
        let mut steps = Steps::default();
        assert!(steps.is_over());
        let (sender, _receiver) = oneshot::channel();
        steps.begin(revision(&[&[1, 2]]), vec![sender], None);
        assert!(!steps.is_over());
        let next = steps.next().unwrap();
        assert_eq!((ids(&next), next.waiters.len()), (vec![id(1), id(2)], 1));
        steps.handed_out(1, true, PACE);
        assert_eq!(steps.fence(), None);
        assert!(steps.is_over());
    }

    #[tokio::test]
    async fn waiters_come_with_the_last_step_or_alone() {
        let waiter = || oneshot::channel().0;
        let mut steps = Steps::default();
        steps.begin(revision(&[]), vec![waiter()], None);
        assert_eq!(steps.next().unwrap().waiters.len(), 1);
        assert!(steps.next().is_none());

        steps.begin(revision(&[&[1], &[2]]), vec![waiter()], None);
        assert_eq!(steps.next().unwrap().waiters.len(), 0);
        steps.handed_out(3, false, PACE);
        assert_eq!(steps.fence().unwrap().through, 3);
        steps.lift_fence();
        assert_eq!(steps.next().unwrap().waiters.len(), 1);
        steps.handed_out(4, false, PACE);
        assert!(!steps.is_over(), "the last one is to be confirmed as well");
        steps.lift_fence();
        assert!(steps.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn ways_that_turn_settle_unless_a_link_has_broken() {
        let start = Instant::now();
        let times = |steps: &Steps| {
            let fence = steps.fence().unwrap();
            (fence.settled - start, fence.deadline - start, fence.next_look() - start)
        };
        let at_once = (Duration::ZERO, PACE.patience, PACE.patience);
        let later = (PACE.settling, PACE.patience, PACE.settling);
        let mut steps = Steps::default();
        let begin = |steps: &mut Steps| {
            steps.begin(revision(&[&[1], &[2], &[3]]), vec![], None);
            steps.next();
        };
        begin(&mut steps);
        steps.handed_out(1, false, PACE);
        assert_eq!(times(&steps), at_once);
        steps.handed_out(2, true, PACE);
        assert_eq!(times(&steps), later);
        // What is under way is hurried, and so is the revision that follows, but no other.
        steps.hurry();
        assert_eq!(times(&steps), at_once);
        steps.handed_out(3, true, PACE);
        assert_eq!(times(&steps), at_once);
        for expected in [at_once, later] {
            begin(&mut steps);
            steps.handed_out(4, true, PACE);
            assert_eq!(times(&steps), expected);
        }
        // A datapath may take longer than a switch that hangs.
        steps.handed_out(5, true, Pace { patience: Duration::ZERO, ..PACE });
        assert_eq!(times(&steps), (PACE.settling, PACE.settling, PACE.settling));
    }

    #[tokio::test]
    async fn a_switch_that_went_away_has_no_part_in_what_is_left() {
        let mut steps = Steps::default();
        steps.begin(revision(&[&[1], &[1, 2], &[1]]), vec![], None);
        steps.next();
        steps.forget_switch(id(1));
        assert_eq!(ids(&steps.next().unwrap()), [id(2)]);
        assert_eq!(ids(&steps.next().unwrap()), []);
        assert!(steps.next().is_none());
    }
}
