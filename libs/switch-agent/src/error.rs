use std::path::PathBuf;

use l2sces_ovsdb::OperationErrorKind;
use thiserror::Error;

use crate::NetlinkError;

/// Why the agent cannot do what it was asked.
#[derive(Debug, Error)]
pub enum AgentError {
    /// There is no bridge yet.
    #[error("bridge {0} does not exist")]
    NoBridge(String),
    /// A bridge has the name, but the agent has not made it.
    #[error("bridge {0} exists, and this agent has not made it")]
    ForeignBridge(String),
    /// An interface has the name, but is not the agent's to use.
    #[error("interface {name} {reason}")]
    ForeignInterface {
        /// Its name.
        name: String,
        /// Whose or what it is, as a clause.
        reason: &'static str,
    },
    /// There is no such interface on the node.
    #[error("interface {0} does not exist on this node")]
    NoInterface(String),
    /// There is no such network namespace.
    #[error("network namespace {} does not exist", .0.display())]
    NoNamespace(PathBuf),
    /// The path leads to something else.
    #[error("{} is no network namespace", .0.display())]
    NotANamespace(PathBuf),
    /// The path leads to the agent's own namespace, where its interfaces must stay apart.
    #[error("{} is the node's own network namespace", .0.display())]
    OwnNamespace(PathBuf),
    /// The namespace has an interface of the name already, which is not the port's.
    #[error("interface {interface} exists in network namespace {}", .namespace.display())]
    NameTaken {
        /// Its name.
        interface: String,
        /// The namespace.
        namespace: PathBuf,
    },
    /// A controller is to be reached by TLS, and nobody has a certificate for it.
    #[error("a controller with 'ssl:' needs the agent to have TLS files")]
    NoCertificate,
    /// There can be no probes.
    #[error("cannot send and receive probes by {interface}: {source}")]
    Probes {
        /// The bridge's own interface.
        interface: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] l2sces_ovsdb::Error),
    /// The kernel refused something.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl AgentError {
    /// Whether somebody else changed the database between reading and writing: nothing took place,
    /// and the replica now has what was changed.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Database(l2sces_ovsdb::Error::Operation { error, .. })
                if matches!(
                    error.kind,
                    OperationErrorKind::ConstraintViolation
                        | OperationErrorKind::ReferentialIntegrityViolation
                        | OperationErrorKind::TimedOut
                )
        )
    }
}
