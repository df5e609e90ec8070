use thiserror::Error;

use crate::{
    domain::Key,
    store::{Conflict, InsertError, StoreError},
    validate::Report,
};

/// Why a request was not carried out. Nothing has changed then.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It is wrong in itself, or refers to what is not there.
    #[error("{0}")]
    Invalid(Report),
    /// The resource that it is about, or a parent of it, does not exist.
    #[error("{0} does not exist")]
    NotFound(Key),
    /// There is a resource with this name.
    #[error("{0} exists already")]
    AlreadyExists(Key),
    /// Another resource has what only one can have.
    #[error("{field}: {description}")]
    Taken {
        /// Path of the field in the request.
        field: &'static str,
        /// Who has it.
        description: String,
    },
    /// Somebody else changed the resource first.
    #[error("{0} has changed: its etag is another")]
    Changed(Key),
    /// A resource that the request is about or refers to is being deleted.
    #[error("{0} is being deleted")]
    Deleting(Key),
    /// Other resources need what the request takes away.
    #[error("{} {}", .0.key, .0.reason)]
    InUse(InUse),
    /// A watch cannot resume from where it asks.
    #[error("{0}")]
    CannotResume(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands against a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InUse {
    /// The resource that is to change.
    pub key: Key,
    /// Why it cannot, as a clause that follows its name.
    pub reason: String,
}

impl Refusal {
    /// Other resources need what the request takes away.
    pub(super) fn in_use(key: &Key, reason: impl Into<String>) -> Self {
        Self::InUse(InUse { key: key.clone(), reason: reason.into() })
    }

    /// A new resource could not be inserted.
    pub(super) fn of_insert(key: &Key, error: InsertError) -> Self {
        let (field, what) = match error {
            InsertError::Store(error) => return error.into(),
            InsertError::Conflict(Conflict::Name) => return Self::AlreadyExists(key.clone()),
            InsertError::Conflict(Conflict::Mac) => ("port.spec.mac", "network"),
            InsertError::Conflict(Conflict::Address) => ("port.spec.address", "network"),
            InsertError::Conflict(Conflict::Interface) => ("port.spec.interface.name", "node"),
            InsertError::Conflict(Conflict::Namespace) => {
                ("port.spec.namespace.interface_name", "namespace")
            }
        };
        Self::Taken { field, description: format!("another port of the {what} has it") }
    }
}

impl From<Report> for Refusal {
    fn from(report: Report) -> Self {
        Self::Invalid(report)
    }
}
