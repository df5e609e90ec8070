//! The conditions in the statuses of resources.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::Problem;

/// Type of the condition that says whether a resource is as it is to be.
pub const READY: &str = "Ready";
/// Reason of what is on its way, and of which nothing is wrong.
pub const WAITING: &str = "Waiting";
/// Reason of what a service refuses because of something else that it has, which has to change first.
pub const BLOCKED: &str = "Blocked";
/// Type of the condition that says what of a resource is not carried out.
const IGNORED: &str = "FieldsIgnored";
/// Type of the condition that says that a resource's status does not list everything.
const TRUNCATED: &str = "Truncated";

/// The condition that a resource is as it is to be, or why it is not.
pub fn ready(problem: Option<&Problem>, generation: Option<i64>) -> Condition {
    match problem {
        // Not empty: an API server of version 1.20 takes an empty string for none when it is applied.
        None => condition(READY, true, "Ready", "in place", generation),
        Some(problem) => condition(READY, false, problem.reason, &problem.message, generation),
    }
}

/// The condition that fields of a resource are not carried out, if there are such.
pub fn ignored(fields: &[String], generation: Option<i64>) -> Option<Condition> {
    let message = format!("not carried out: {}", fields.join(", "));
    (!fields.is_empty()).then(|| condition(IGNORED, true, "NotSupported", &message, generation))
}

/// The condition that a status lists only so many of all of something, if there are more.
pub fn truncated(
    what: &str,
    listed: usize,
    all: usize,
    generation: Option<i64>,
) -> Option<Condition> {
    let message = format!("{listed} of {all} {what} are listed");
    (listed < all).then(|| condition(TRUNCATED, true, "TooMany", &message, generation))
}

/// What was said before of a list that stays as it was.
pub fn still_truncated(before: &[Condition]) -> Option<Condition> {
    before.iter().find(|condition| condition.type_ == TRUNCATED).cloned()
}

/// The conditions with the times of those before whose status is the same.
pub fn with_times(mut conditions: Vec<Condition>, before: &[Condition]) -> Vec<Condition> {
    for condition in &mut conditions {
        let former = before
            .iter()
            .find(|former| former.type_ == condition.type_ && former.status == condition.status);
        if let Some(former) = former {
            condition.last_transition_time = former.last_transition_time.clone();
        }
    }
    conditions
}

fn condition(
    type_: &str,
    holds: bool,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation,
        last_transition_time: Time(now()),
    }
}

/// The time, in the whole seconds that an API server keeps.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let mut before = ready(Some(&Problem::new("NodeNotReady", "node a1")), Some(1));
        before.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        let problem = Problem::new("Unreachable", "the sdn-controller");
        let still = with_times(vec![ready(Some(&problem), Some(2))], &[before.clone()]);
        assert_eq!(still[0].last_transition_time, before.last_transition_time);
        assert_eq!(
            (still[0].reason.as_str(), still[0].observed_generation),
            ("Unreachable", Some(2))
        );
        let now = with_times(vec![ready(None, Some(2))], &[before.clone()]);
        assert_ne!(now[0].last_transition_time, before.last_transition_time);
    }

    #[test]
    fn nothing_is_said_of_fields_when_all_are_carried_out() {
        assert_eq!(ignored(&[], Some(1)), None);
        let condition = ignored(&["spec.ids".to_owned(), "spec.config".to_owned()], Some(1));
        assert_eq!(condition.unwrap().message, "not carried out: spec.ids, spec.config");
    }

    #[test]
    fn what_a_status_leaves_out_is_said_for_as_long_as_it_does() {
        assert_eq!(truncated("links", 7, 7, Some(1)), None);
        let said = truncated("links", 7, 9, Some(1)).unwrap();
        assert_eq!(said.message, "7 of 9 links are listed");
        let before = [ready(None, Some(1)), said.clone()];
        assert_eq!(still_truncated(&before), Some(said));
        assert_eq!(still_truncated(&before[..1]), None);
    }
}
