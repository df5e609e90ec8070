use tonic::{Code, Status};

use crate::{
    Problem,
    conditions::{BLOCKED, WAITING},
};

/// What failed while something was reconciled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A service does not do what it is asked for.
    #[error(transparent)]
    Service(#[from] Trouble),
    /// The API server does not.
    #[error("the API server: {0}")]
    Kubernetes(#[from] kube::Error),
}

/// Why a service does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Whether the service's state has to change first; else it may be well at the next attempt.
    pub is_waiting: bool,
}

impl Trouble {
    /// What is wrong when a service answers a call with this.
    pub fn of_call(service: &str, status: &Status) -> Self {
        let (reason, is_waiting) = match status.code() {
            Code::Aborted => (WAITING, true),
            Code::FailedPrecondition => (BLOCKED, true),
            Code::PermissionDenied | Code::Unauthenticated => ("PermissionDenied", false),
            Code::InvalidArgument => ("Refused", false),
            Code::ResourceExhausted => ("Exhausted", false),
            _ => ("Unreachable", false),
        };
        Self { reason, message: format!("{service}: {}", status.message()), is_waiting }
    }

    /// A service is away; when it is back, whatever waits is woken.
    pub fn unreachable(fault: String) -> Self {
        Self { reason: "Unreachable", message: fault, is_waiting: true }
    }

    /// Something that a service is still busy with.
    pub fn waiting(message: impl Into<String>) -> Self {
        Self { reason: WAITING, message: message.into(), is_waiting: true }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self { reason: problem.reason, message: problem.message, is_waiting: true }
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        Self { reason: trouble.reason, message: trouble.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_something_else_is_in_the_way_of_is_not_just_on_its_way() {
        let of = |code: Code| {
            let trouble = Trouble::of_call("the sco-provider", &Status::new(code, "no"));
            (trouble.reason, trouble.is_waiting)
        };
        assert_eq!(of(Code::Aborted), (WAITING, true));
        assert_eq!(of(Code::FailedPrecondition), (BLOCKED, true));
        assert_eq!(of(Code::InvalidArgument), ("Refused", false));
        assert_eq!(of(Code::Unavailable), ("Unreachable", false));
    }
}
