//! From how the parts of a resource fare to its condition.

use tonic::Code;

use crate::{
    domain::{Finding, Truth},
    downstream::{Applied, Trouble, reason},
};

/// A part of a resource, in one service.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is, such as "cluster b"; empty: in the resource itself.
    pub(super) place: String,
    /// How it fares.
    pub(super) result: Result<Applied, Trouble>,
}

/// The condition of a resource that is to exist. The worst part decides: one that nobody can ask
/// about, then one that is refused, then one that waits, then one that is not ready. Nothing: some
/// part will be known soon.
pub(super) fn of_parts(parts: &[Part]) -> Option<Finding> {
    if parts.iter().any(is_to_be_known_soon) {
        return None;
    }
    let mut findings: Vec<Finding> = parts.iter().filter_map(of_part).collect();
    findings.sort_by_key(|finding| match finding.status {
        Truth::Unknown => 0,
        Truth::False if finding.reason != WAITING => 1,
        Truth::False | Truth::True => 2,
    });
    // What is said of several parts in the same words, such as of all nodes, is said once.
    findings.dedup();
    let others = findings.len().saturating_sub(1);
    let Some(mut worst) = findings.into_iter().next() else { return Some(Finding::ready()) };
    if others > 0 {
        worst.message = format!("{} (and {others} more)", worst.message);
    }
    Some(worst)
}

/// Whether a service is about to be reached, or to tell how something fares that it has just been
/// sent: to write down that nothing is known would only hold up what is.
fn is_to_be_known_soon(part: &Part) -> bool {
    match &part.result {
        Ok(applied) => applied.sent && !applied.state.ready && applied.state.reason == PENDING,
        Err(trouble) => matches!(trouble, Trouble::Connecting),
    }
}

/// The condition of a resource that is to go, from what is left of it.
pub(super) fn of_removal(parts: &[Part]) -> Option<Finding> {
    let mut finding = of_parts(parts)?;
    if finding.status == Truth::True {
        return Some(deleting("It is about to be gone."));
    }
    if finding.status == Truth::False {
        finding.reason = DELETING.to_owned();
    }
    Some(finding)
}

/// The condition of a resource that is to go and waits for something else to go first.
pub(super) fn deleting(message: impl Into<String>) -> Finding {
    Finding::not_ready(DELETING, message)
}

/// What the services refused, for the log, if any did: the resource is to be tried again.
pub(super) fn refusal(parts: &[Part]) -> Option<String> {
    parts.iter().find_map(|part| match &part.result {
        Err(trouble @ Trouble::Refused(_)) => Some(located(&part.place, &trouble.to_string())),
        _ => None,
    })
}

/// Whether any part had to be sent, so that what waited for it can go on.
pub(super) fn any_sent(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.result.as_ref().is_ok_and(|applied| applied.sent))
}

const WAITING: &str = "Waiting";
/// What services say of what they have not looked at yet.
const PENDING: &str = "Pending";
const DELETING: &str = "Deleting";

/// What is wrong with a part; nothing: it is ready.
fn of_part(part: &Part) -> Option<Finding> {
    let at = |message: &str| located(&part.place, message);
    match &part.result {
        Ok(applied) if applied.state.ready => None,
        Ok(applied) => {
            let state = &applied.state;
            let reason = if state.reason.is_empty() { "NotReady" } else { &state.reason };
            let message = if state.message.is_empty() { "is not ready" } else { &state.message };
            Some(Finding::not_ready(reason, at(message)))
        }
        Err(Trouble::Connecting) => None,
        Err(trouble @ Trouble::Unreachable { .. }) => {
            Some(Finding::unknown("ControllerUnreachable", trouble.to_string()))
        }
        Err(Trouble::Waiting(what)) => Some(Finding::not_ready(WAITING, at(what))),
        Err(Trouble::Refused(status)) => {
            let (reason, message) = (reason(status.code()), at(status.message()));
            match status.code() {
                // The service has not said no: it may have what was sent, or not.
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                    Some(Finding::unknown(reason, message))
                }
                _ => Some(Finding::not_ready(reason, message)),
            }
        }
    }
}

fn located(place: &str, message: &str) -> String {
    if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::downstream::{Given, ObjectState};

    fn part(place: &str, result: Result<(bool, &str), Trouble>) -> Part {
        let applied = |(ready, message): (bool, &str)| Applied {
            state: ObjectState {
                uid: String::new(),
                generation: 1,
                ready,
                reason: if ready { String::new() } else { "SwitchDown".to_owned() },
                message: message.to_owned(),
                given: Given::Nothing,
            },
            sent: false,
        };
        Part { place: place.to_owned(), result: result.map(applied) }
    }

    fn unreachable() -> Trouble {
        let service = "the sco-provider".to_owned();
        Trouble::Unreachable { service, why: "connection refused".to_owned() }
    }

    #[test]
    fn the_worst_part_decides() {
        let ready = || part("cluster a", Ok((true, "")));
        let down = || part("cluster b", Ok((false, "node b1: switch is not connected")));
        let refused =
            || part("cluster c", Err(Trouble::Refused(Status::resource_exhausted("no VNI left"))));
        let waiting = || part("cluster d", Err(Trouble::Waiting("slice s is not there".into())));
        let away = || part("cluster e", Err(unreachable()));
        let connecting = || part("cluster f", Err(Trouble::Connecting));

        assert_eq!(of_parts(&[]), Some(Finding::ready()));
        assert_eq!(of_parts(&[ready()]), Some(Finding::ready()));
        assert_eq!(
            of_parts(&[ready(), down()]),
            Some(Finding::not_ready("SwitchDown", "cluster b: node b1: switch is not connected"))
        );
        assert_eq!(
            of_parts(&[waiting(), refused()]),
            Some(Finding::not_ready("ResourceExhausted", "cluster c: no VNI left (and 1 more)"))
        );
        assert_eq!(
            of_parts(&[down(), refused(), away()]),
            Some(Finding::unknown(
                "ControllerUnreachable",
                "the sco-provider does not answer: connection refused (and 2 more)"
            ))
        );
        assert_eq!(
            of_parts(&[away(), away()]).map(|finding| finding.message),
            Some("the sco-provider does not answer: connection refused".to_owned())
        );
        assert_eq!(of_parts(&[down(), connecting()]), None);
        assert_eq!(refusal(&[ready(), refused()]), Some("cluster c: no VNI left".to_owned()));
        assert_eq!(refusal(&[down(), away(), waiting()]), None);
    }

    #[test]
    fn what_has_just_been_sent_is_awaited() {
        let pending = |sent| {
            let mut part = part("cluster a", Ok((false, "not looked at yet")));
            if let Ok(applied) = &mut part.result {
                applied.sent = sent;
                applied.state.reason = "Pending".to_owned();
            }
            part
        };
        assert_eq!(of_parts(&[pending(true)]), None);
        let told = Finding::not_ready("Pending", "cluster a: not looked at yet");
        assert_eq!(of_parts(&[pending(false)]), Some(told));
        let mut down = part("cluster a", Ok((false, "switch is not connected")));
        if let Ok(applied) = &mut down.result {
            applied.sent = true;
        }
        assert!(of_parts(&[down]).is_some());
    }

    #[test]
    fn removal_is_never_ready() {
        assert_eq!(of_removal(&[]), Some(deleting("It is about to be gone.")));
        let left = part("cluster b", Err(Trouble::Waiting("node b1 is still there".into())));
        assert_eq!(of_removal(&[left]), Some(deleting("cluster b: node b1 is still there")));
        let away = part("cluster b", Err(unreachable()));
        assert_eq!(of_removal(&[away]).map(|finding| finding.status), Some(Truth::Unknown));
    }
}
