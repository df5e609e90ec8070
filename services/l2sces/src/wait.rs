//! Waiting until a write is carried out.

use std::time::Duration;

use backon::BackoffBuilder;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use crate::{
    error::CliError,
    resource::{Change, Resource, Scope},
    session::{Session, pauses},
};

/// A watch that is silent for so long is checked with a read: nothing rests on it alone.
const SILENCE: Duration = Duration::from_secs(5);

/// Waits until the resource, as it was just written, is ready; returns it as it is then.
pub(crate) async fn until_ready<R: Resource>(
    session: &mut Session,
    written: R,
    deadline: Instant,
) -> Result<R, CliError> {
    let goal = Goal::Ready(written.metadata().generation);
    wait(session, written, goal, deadline).await
}

/// Waits until the resource, whose deletion was asked for, is gone.
pub(crate) async fn until_gone<R: Resource>(
    session: &mut Session,
    written: R,
    deadline: Instant,
) -> Result<R, CliError> {
    wait(session, written, Goal::Gone, deadline).await
}

async fn wait<R: Resource>(
    session: &mut Session,
    written: R,
    goal: Goal,
    deadline: Instant,
) -> Result<R, CliError> {
    let started = Instant::now();
    let target = Target { goal, latest: written };
    let mut waiting = Waiting { session, target, reason: "no answer yet".into() };
    let reached = timeout_at(deadline, waiting.follow()).await;
    let Waiting { session, target, reason } = waiting;
    session.progress.clear();
    match reached {
        Ok(reached) => reached.map(|()| target.latest),
        Err(_) => {
            let wanted = if goal == Goal::Gone { "gone" } else { "ready" };
            let seconds = started.elapsed().as_secs_f32();
            let subject = target.subject();
            Err(CliError::TimedOut(format!(
                "{subject} is not {wanted} after {seconds:.0} s: {reason}"
            )))
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// It is ready as this generation wants it.
    Ready(i64),
    /// It is gone.
    Gone,
}

/// A resource on its way to a goal.
struct Target<R> {
    goal: Goal,
    latest: R,
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Reached,
    /// Not yet, for this reason.
    NotYet(String),
    /// It never will be, for this reason.
    Never(&'static str),
}

impl<R: Resource> Target<R> {
    fn subject(&self) -> String {
        format!("{} {}", R::KIND, self.latest.key())
    }

    /// Takes note of the resource as it is now; `None`: it is gone.
    fn observe(&mut self, now: Option<R>) -> Step {
        let uid = &self.latest.metadata().uid;
        // One that has been made anew under the name is another.
        let now = now.filter(|now| uid.is_empty() || now.metadata().uid == *uid);
        match (self.goal, now) {
            (Goal::Gone, None) => Step::Reached,
            (Goal::Ready(_), None) => Step::Never("has been deleted meanwhile"),
            (Goal::Ready(_), Some(now)) if now.metadata().delete_time.is_some() => {
                Step::Never("is being deleted")
            }
            (Goal::Ready(generation), Some(now)) => {
                let why_not = now.why_not_ready(generation);
                self.latest = now;
                why_not.map_or(Step::Reached, Step::NotYet)
            }
            (Goal::Gone, Some(now)) => {
                let why_not = now.why_not_ready(0);
                self.latest = now;
                Step::NotYet(why_not.unwrap_or_else(|| "Deleting: not begun yet".into()))
            }
        }
    }
}

struct Waiting<'a, R> {
    session: &'a mut Session,
    target: Target<R>,
    reason: String,
}

/// Why an attempt to follow the resource ended without the goal.
enum End {
    /// Nothing was heard for a while.
    Silence,
    /// A call failed.
    Call(Status),
    /// The goal cannot be reached any more.
    Never(&'static str),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl<R: Resource> Waiting<'_, R> {
    async fn follow(&mut self) -> Result<(), CliError> {
        let new_pauses = || pauses().without_max_times().build();
        let mut pauses = new_pauses();
        loop {
            match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(End::Silence) => pauses = new_pauses(),
                Err(End::Never(why)) => {
                    return Err(CliError::Failed(format!("{} {why}", self.target.subject())));
                }
                Err(End::Call(status)) => {
                    let passing = is_passing(&status);
                    let error = self.session.failed(status);
                    if !passing {
                        return Err(error);
                    }
                    self.show(error.lines().join("; "));
                    sleep(pauses.next().unwrap_or_default()).await;
                }
            }
        }
    }

    /// Reads the resource, then follows its changes, until the goal is reached.
    async fn attempt(&mut self) -> Result<(), End> {
        let key = self.target.latest.key();
        let now = match R::get(&self.session.api, &key).await {
            Ok(now) => Some(now),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => return Err(End::Call(status)),
        };
        if self.look(now)? {
            return Ok(());
        }
        let revision = self.target.latest.metadata().revision;
        let scope = Scope { slice: key.slice.clone(), network: key.network.clone() };
        let mut changes = R::watch(&self.session.api, &scope, revision).await?;
        loop {
            let Ok(next) = timeout(SILENCE, changes.next()).await else {
                return Err(End::Silence);
            };
            let (change, _) =
                next.unwrap_or_else(|| Err(Status::unavailable("the watch has ended")))?;
            let reached = match change {
                Change::Put(now) if now.key() == key => self.look(Some(now))?,
                Change::Deleted(gone) if gone.key() == key => self.look(None)?,
                Change::Put(_) | Change::Deleted(_) | Change::Synced => false,
            };
            if reached {
                return Ok(());
            }
        }
    }

    /// Whether the goal is reached; shows why not.
    fn look(&mut self, now: Option<R>) -> Result<bool, End> {
        match self.target.observe(now) {
            Step::Reached => Ok(true),
            Step::Never(why) => Err(End::Never(why)),
            Step::NotYet(why) => {
                self.show(why);
                Ok(false)
            }
        }
    }

    fn show(&mut self, reason: String) {
        self.session.progress.show(&format!("{}: {reason}", self.target.subject()));
        self.reason = reason;
    }
}

/// Whether a failure may pass by itself.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use l2sces_proto::{
        resource::v1::{Condition, ConditionStatus, Metadata},
        slice::v1::{Slice, SliceStatus},
    };

    use super::*;

    fn slice(uid: &str, ready: ConditionStatus, observed_generation: i64) -> Slice {
        let condition = Condition {
            r#type: "Ready".into(),
            status: ready.into(),
            reason: "LinkDown".into(),
            message: "a cannot reach b".into(),
            observed_generation,
            last_transition_time: None,
        };
        let metadata =
            Metadata { name: "s1".into(), uid: uid.into(), generation: 2, ..Metadata::default() };
        let status = SliceStatus { conditions: vec![condition] };
        Slice { metadata: Some(metadata), spec: None, status: Some(status) }
    }

    fn deleting(mut slice: Slice) -> Slice {
        slice.metadata_mut().delete_time = Some(prost_types::Timestamp::default());
        slice
    }

    #[test]
    fn ready_is_reached_when_the_generation_is_ready() {
        let latest = slice("1", ConditionStatus::Unknown, 0);
        let mut target = Target { goal: Goal::Ready(2), latest };
        let old = target.observe(Some(slice("1", ConditionStatus::True, 1)));
        assert!(matches!(old, Step::NotYet(_)), "{old:?}");
        let step = target.observe(Some(slice("1", ConditionStatus::False, 2)));
        assert_eq!(step, Step::NotYet("LinkDown: a cannot reach b".into()));
        assert_eq!(target.observe(Some(slice("1", ConditionStatus::True, 2))), Step::Reached);
    }

    #[test]
    fn what_is_deleted_never_gets_ready() {
        let latest = slice("1", ConditionStatus::Unknown, 0);
        let mut target = Target { goal: Goal::Ready(2), latest };
        let gone = [
            None,
            Some(deleting(slice("1", ConditionStatus::True, 2))),
            Some(slice("2", ConditionStatus::True, 2)),
        ];
        for now in gone {
            let step = target.observe(now.clone());
            assert!(matches!(step, Step::Never(_)), "{now:?}: {step:?}");
        }
    }

    #[test]
    fn gone_is_reached_also_when_another_has_taken_the_name() {
        let latest = deleting(slice("1", ConditionStatus::True, 2));
        let mut target = Target { goal: Goal::Gone, latest: latest.clone() };
        let step = target.observe(Some(latest));
        assert!(matches!(step, Step::NotYet(_)), "{step:?}");
        assert_eq!(target.observe(Some(slice("2", ConditionStatus::True, 1))), Step::Reached);
        assert_eq!(target.observe(None), Step::Reached);
    }
}
