//! The services that carry out what is planned: the cluster's sdn-controller and the sco-provider.
//! Of both it is known by a watch how their objects fare.

mod board;
mod fabric;
mod feed;
mod sco;
mod versions;
mod watch;

use l2sces_model::Name;
use tonic::{Code, Status};

pub(crate) use board::Board;
pub(crate) use fabric::Fabric;
pub(crate) use feed::{Feed, Listener, Told};
pub(crate) use sco::Sco;
pub(crate) use watch::{Change, ChangeStream, News, follow};

use crate::plan::{NetworkKey, Problem};

/// Which object of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ObjectKey {
    /// A node, of the sdn-controller.
    Node(Name),
    /// A gateway of this cluster, of the sco-provider.
    Gateway(Name),
    Slice(Name),
    Network(NetworkKey),
    /// A port, of the sdn-controller.
    Port(NetworkKey, Name),
}

/// How an object fares, as its service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectState {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) ready: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The MAC address of a port; empty: none.
    pub(crate) mac: String,
    /// The address of a port, with prefix length; empty: none.
    pub(crate) address: String,
    /// The identity of a network; zero: none.
    pub(crate) vni: u32,
    /// The MTU of a network, or of a port's, in bytes; zero: none.
    pub(crate) mtu: u32,
}

/// Why a service does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Trouble {
    /// One CamelCase word.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) message: String,
    /// Whether the service's state has to change first; else it may be well at the next attempt.
    pub(crate) is_waiting: bool,
}

impl Trouble {
    /// What is wrong when a service answers a call with this.
    pub(crate) fn of_call(service: &str, status: &Status) -> Self {
        let (reason, is_waiting) = match status.code() {
            Code::FailedPrecondition | Code::Aborted => ("Waiting", true),
            Code::PermissionDenied | Code::Unauthenticated => ("PermissionDenied", false),
            Code::InvalidArgument => ("Refused", false),
            Code::ResourceExhausted => ("Exhausted", false),
            _ => ("Unreachable", false),
        };
        Self { reason, message: format!("{service}: {}", status.message()), is_waiting }
    }

    /// A service is away; when it is back, whatever waits is woken.
    pub(crate) fn unreachable(fault: String) -> Self {
        Self { reason: "Unreachable", message: fault, is_waiting: true }
    }

    /// A service has something that was sent later, by a replica that led before.
    fn surpassed() -> Self {
        Self {
            reason: "Surpassed",
            message: "a description of a former leader was later: it is sent again".to_owned(),
            is_waiting: false,
        }
    }

    /// Something that a service is still busy with.
    pub(crate) fn waiting(message: impl Into<String>) -> Self {
        Self { reason: "Waiting", message: message.into(), is_waiting: true }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self { reason: problem.reason, message: problem.message, is_waiting: true }
    }
}
