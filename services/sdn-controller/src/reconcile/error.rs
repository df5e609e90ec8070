use l2sces_model::Name;
use thiserror::Error;
use tonic::{Code, Status};

use crate::{
    domain::{Attachment, Port, Reason, Trouble},
    store::StoreError,
};

/// Why an object could not be brought to what is wanted.
#[derive(Debug, Error)]
pub(crate) enum ReconcileError {
    /// The desired state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node's agent does not answer, or refuses, or a tunnel does not work.
    #[error("{0}")]
    Agent(String),
    /// The sco-provider does not answer, or refuses.
    #[error("{0}")]
    Exchange(String),
}

/// What an agent's answer means for its node.
pub(super) fn node_trouble(node: &Name, status: &Status) -> Trouble {
    let said = status.message();
    if is_refusal(status) {
        let message = format!("the sps-agent of node {node} refuses: {said}");
        Trouble::new(Reason::AgentRefused, message)
    } else {
        let message = format!("the sps-agent of node {node} is unreachable: {said}");
        Trouble::new(Reason::AgentUnreachable, message)
    }
}

/// What an agent's answer means for a port.
pub(super) fn port_trouble(port: &Port, status: &Status) -> Trouble {
    let (node, said) = (&port.node, status.message());
    match (status.code(), &port.attachment) {
        (Code::NotFound, Attachment::Namespace { path, .. }) => Trouble::new(
            Reason::NoSuchNamespace,
            format!("node {node} has no network namespace {path}: {said}"),
        ),
        (Code::NotFound, Attachment::Interface { name }) => Trouble::new(
            Reason::NoSuchInterface,
            format!("node {node} has no interface {name}: {said}"),
        ),
        _ => node_trouble(node, status),
    }
}

/// What the sco-provider's answer to an announcement means for the port.
pub(super) fn announcement_trouble(port: &Port, status: &Status) -> Trouble {
    let said = status.message();
    if status.code() == Code::AlreadyExists {
        let message = format!("MAC address {} belongs to another endpoint: {said}", port.mac);
        return Trouble::new(Reason::MacConflict, message);
    }
    let what = if is_refusal(status) { "refuses the port" } else { "is unreachable" };
    Trouble::new(Reason::NotAnnounced, format!("the sco-provider {what}: {said}"))
}

/// Whether somebody answered, with a refusal.
pub(crate) fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated
    )
}
