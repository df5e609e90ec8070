//! Errors to statuses.

use l2sces_grpc::failed_precondition;
use tonic::{Code, Status};

use super::violation;
use crate::{attach::AttachError, reconcile::is_refusal, store::StoreError};

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::UnknownNode(node) => failed_precondition("node", node, "is unknown"),
            StoreError::UnknownSlice(slice) => failed_precondition("slice", slice, "is unknown"),
            StoreError::UnknownNetwork(key) => failed_precondition("network", key, "is unknown"),
            StoreError::NodeNotInSlice { node, slice } => {
                failed_precondition("node", node, format!("is not one of slice {slice}'s nodes"))
            }
            StoreError::NodeNeeded { node, port } => {
                failed_precondition("node", node, format!("has port {port}: remove it first"))
            }
            StoreError::BeingDeleted { kind, name } => {
                failed_precondition(kind, name, "is being deleted")
            }
            StoreError::InUse { kind, name, what } => {
                failed_precondition(kind, name, format!("still has {what}"))
            }
            StoreError::VniFixed { network, vni } => {
                failed_precondition("network", network, format!("has VNI {} for life", vni.get()))
            }
            StoreError::VniTaken(vni) => {
                failed_precondition("VNI", vni.get(), "belongs to another network")
            }
            StoreError::AddressTaken(address) => {
                failed_precondition("address", address, "belongs to another port")
            }
            StoreError::MacTaken(mac) => {
                failed_precondition("MAC address", mac, "belongs to another port")
            }
            StoreError::InterfaceTaken { node, interface } => failed_precondition(
                "interface",
                interface,
                format!("of node {node} belongs to another port"),
            ),
            StoreError::DatapathIdTaken(node) => failed_precondition(
                "node",
                node,
                "would have the datapath id of another node: give it another name",
            ),
            StoreError::BadAddress { error, .. } => violation("port.address", error.to_string()),
            StoreError::Exhausted(_) => Status::resource_exhausted(error.to_string()),
            StoreError::Contended(_) => Status::aborted(error.to_string()),
            StoreError::Database(cause) => from_database(cause),
        }
    }
}

impl From<AttachError> for Status {
    fn from(error: AttachError) -> Self {
        let message = error.to_string();
        match error {
            AttachError::Store(error) => error.into(),
            AttachError::BadBlock { .. } => {
                tracing::error!(message, "no address");
                Status::internal(message)
            }
            AttachError::Lease(status) => {
                let code = match status.code() {
                    Code::ResourceExhausted => Code::ResourceExhausted,
                    _ if is_refusal(&status) => Code::FailedPrecondition,
                    _ => Code::Unavailable,
                };
                Status::new(code, message)
            }
        }
    }
}

/// What cannot be reached now may be later; anything else is a mistake of ours, of which the
/// client learns no details.
fn from_database(error: &sqlx::Error) -> Status {
    tracing::error!(%error, "the database fails");
    let is_passing = match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Classes: connection exception, transaction rollback, insufficient resources, operator
        // intervention (PostgreSQL, appendix A).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    };
    if is_passing {
        Status::unavailable("the database does not answer")
    } else {
        Status::internal("the database refuses")
    }
}
