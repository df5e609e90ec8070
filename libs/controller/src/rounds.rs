//! Which changes have been confirmed by which switches.
//!
//! Every recompilation that changes something is a round. A round is over when each session that it
//! concerned has confirmed it or has ended; then whoever waited for it is told.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_fabric::Subject;
use l2sces_model::DatapathId;
use l2sces_trace::Caused;
use tokio::sync::oneshot;

/// Number of a round; grows.
pub(crate) type RoundId = u64;

/// Which connection of which switch.
pub(crate) type SessionKey = (DatapathId, u64);

#[derive(Debug)]
struct Round {
    sessions: BTreeSet<SessionKey>,
    subjects: Caused<BTreeSet<Subject>>,
    waiters: Vec<oneshot::Sender<()>>,
}

/// The rounds that are not over.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    last: RoundId,
    open: BTreeMap<RoundId, Round>,
    /// How many open rounds each subject is part of.
    unconfirmed: BTreeMap<Subject, usize>,
}

impl Rounds {
    /// The number that the next round will have.
    pub(crate) fn next_id(&self) -> RoundId {
        self.last + 1
    }

    /// The number of the last round.
    pub(crate) fn last_id(&self) -> RoundId {
        self.last
    }

    /// Opens a round. One that concerns no session is over at once.
    pub(crate) fn open(
        &mut self,
        sessions: BTreeSet<SessionKey>,
        subjects: Caused<BTreeSet<Subject>>,
        waiters: Vec<oneshot::Sender<()>>,
    ) {
        self.last += 1;
        if sessions.is_empty() {
            tell(waiters);
            return;
        }
        for subject in &subjects.what {
            *self.unconfirmed.entry(subject.clone()).or_default() += 1;
        }
        self.open.insert(self.last, Round { sessions, subjects, waiters });
    }

    /// Whether the subject's latest changes are confirmed.
    pub(crate) fn is_confirmed(&self, subject: &Subject) -> bool {
        !self.unconfirmed.contains_key(subject)
    }

    /// The sessions that have not confirmed all rounds up to this one.
    pub(crate) fn unconfirmed(&self, through: RoundId) -> BTreeSet<SessionKey> {
        self.open.range(..=through).flat_map(|(_, round)| &round.sessions).copied().collect()
    }

    /// A session has confirmed all rounds up to this one; returns the subjects of those that are
    /// over now, round by round.
    pub(crate) fn confirm(
        &mut self,
        session: SessionKey,
        through: RoundId,
    ) -> Vec<Caused<BTreeSet<Subject>>> {
        let reached: Vec<_> = self.open.range(..=through).map(|(id, _)| *id).collect();
        self.settle(session, reached)
    }

    /// A session has ended; returns the subjects of the rounds that are over now, round by round.
    pub(crate) fn end_session(&mut self, session: SessionKey) -> Vec<Caused<BTreeSet<Subject>>> {
        let all: Vec<_> = self.open.keys().copied().collect();
        self.settle(session, all)
    }

    fn settle(&mut self, session: SessionKey, ids: Vec<RoundId>) -> Vec<Caused<BTreeSet<Subject>>> {
        let mut subjects = Vec::new();
        for id in ids {
            let Some(round) = self.open.get_mut(&id) else { continue };
            round.sessions.remove(&session);
            if !round.sessions.is_empty() {
                continue;
            }
            let Some(round) = self.open.remove(&id) else { continue };
            for subject in &round.subjects.what {
                if let Some(count) = self.unconfirmed.get_mut(subject) {
                    *count -= 1;
                    if *count == 0 {
                        self.unconfirmed.remove(subject);
                    }
                }
            }
            tell(round.waiters);
            subjects.push(round.subjects);
        }
        subjects
    }
}

/// Tells all; one that has gone away needs to know nothing.
pub(crate) fn tell(waiters: Vec<oneshot::Sender<()>>) {
    for waiter in waiters {
        let _ = waiter.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(number: u32) -> Caused<BTreeSet<Subject>> {
        Caused { what: BTreeSet::from([subject(number)]), cause: None }
    }

    fn session(number: u64) -> SessionKey {
        (DatapathId::try_from(number).unwrap(), 1)
    }

    fn subject(number: u32) -> Subject {
        Subject::Network(number.try_into().unwrap())
    }

    #[test]
    fn a_round_is_over_when_every_session_has_confirmed_or_ended() {
        let mut rounds = Rounds::default();
        let (sender, mut receiver) = oneshot::channel();
        let sessions = BTreeSet::from([session(1), session(2)]);
        rounds.open(sessions, subjects(1), vec![sender]);
        assert!(!rounds.is_confirmed(&subject(1)));
        assert!(rounds.confirm(session(1), 1).is_empty());
        assert!(receiver.try_recv().is_err());
        assert_eq!(rounds.end_session(session(2)), [subjects(1)]);
        assert!(rounds.is_confirmed(&subject(1)));
        assert_eq!(receiver.try_recv(), Ok(()));
    }

    #[test]
    fn a_subject_is_confirmed_when_its_last_open_round_is_over() {
        let mut rounds = Rounds::default();
        for number in [1, 2] {
            let sessions = BTreeSet::from([session(number)]);
            rounds.open(sessions, subjects(1), Vec::new());
        }
        rounds.confirm(session(2), 2);
        assert!(!rounds.is_confirmed(&subject(1)));
        rounds.confirm(session(1), 2);
        assert!(rounds.is_confirmed(&subject(1)));
    }

    #[test]
    fn confirming_a_round_confirms_the_ones_before_and_none_after() {
        let mut rounds = Rounds::default();
        for number in [1, 2, 3] {
            let sessions = BTreeSet::from([session(1)]);
            rounds.open(sessions, subjects(number), Vec::new());
        }
        assert_eq!(rounds.confirm(session(1), 2), [subjects(1), subjects(2)]);
        assert!(!rounds.is_confirmed(&subject(3)));
    }
}
