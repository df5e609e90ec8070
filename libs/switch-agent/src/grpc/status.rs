use l2sces_grpc::{Violations, failed_precondition, not_found};
use l2sces_ovsdb::Error as DatabaseError;
use tonic::Status;
use tracing::warn;

use crate::{AgentError, Lagged};

impl From<AgentError> for Status {
    fn from(error: AgentError) -> Self {
        // Again, it may well succeed.
        if error.is_conflict() {
            return Self::aborted(error.to_string());
        }
        match error {
            AgentError::NoBridge(name) => failed_precondition("bridge", name, "does not exist"),
            AgentError::ForeignBridge(name) => {
                failed_precondition("bridge", name, "exists, and this agent has not made it")
            }
            AgentError::ForeignInterface { name, reason } => {
                failed_precondition("interface", name, reason)
            }
            AgentError::NameTaken { interface, namespace } => failed_precondition(
                "interface",
                interface,
                format!("exists already in network namespace {}", namespace.display()),
            ),
            AgentError::NoInterface(name) => not_found("interface", name),
            AgentError::NoNamespace(path) | AgentError::NotANamespace(path) => {
                not_found("network namespace", path.display())
            }
            AgentError::OwnNamespace(_) => {
                let mut violations = Violations::new();
                violations
                    .add("port.namespace.path", "must not be the node's own network namespace");
                violations.into_status()
            }
            AgentError::NoCertificate => {
                failed_precondition("switch", "controllers", error.to_string())
            }
            AgentError::Database(error) => database_status(&error),
            AgentError::Netlink(error) => internal(&error),
            error @ AgentError::Probes { .. } => internal(&error),
        }
    }
}

fn database_status(error: &DatabaseError) -> Status {
    match error {
        DatabaseError::Disconnected
        | DatabaseError::ConnectionLost
        | DatabaseError::TimedOut
        | DatabaseError::NotCarriedOut => Status::unavailable(error.to_string()),
        _ => internal(error),
    }
}

fn internal(error: &dyn std::error::Error) -> Status {
    warn!(error = %error, "call failed");
    Status::internal(error.to_string())
}

impl From<Lagged> for Status {
    fn from(lagged: Lagged) -> Self {
        Self::resource_exhausted(lagged.to_string())
    }
}
