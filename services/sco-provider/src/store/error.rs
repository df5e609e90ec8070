use std::fmt::Display;

use thiserror::Error;

use crate::domain::Kind;

/// Why the store did not do as asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("there is no {kind} {name}")]
    NotFound {
        /// Kind of the object.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The object is in a state, or another is, that forbids the request.
    #[error("{kind} {name} {reason}")]
    Precondition {
        /// Kind of the object that stands in the way.
        kind: Kind,
        /// Its name.
        name: String,
        /// What is wrong with it: a clause such as "has networks".
        reason: String,
    },
    /// What must be unique is another's.
    #[error("{kind} {description} exists already")]
    Taken {
        /// Kind of the object that has it.
        kind: Kind,
        /// Names the object by what it has.
        description: String,
    },
    /// There is none left of something.
    #[error("no {0} is left")]
    Exhausted(&'static str),
    /// A field contradicts what is stored.
    #[error("{field}: {description}")]
    Invalid {
        /// Path of the field in the domain object.
        field: String,
        /// What is wrong with it.
        description: String,
    },
    /// The tables hold what the schema cannot have let in.
    #[error("the database is corrupt: {0}")]
    Corrupt(&'static str),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    pub(super) fn not_found(kind: Kind, name: &impl Display) -> Self {
        Self::NotFound { kind, name: name.to_string() }
    }

    pub(super) fn precondition(kind: Kind, name: &impl Display, reason: impl Into<String>) -> Self {
        Self::Precondition { kind, name: name.to_string(), reason: reason.into() }
    }

    pub(super) fn taken(kind: Kind, description: impl Into<String>) -> Self {
        Self::Taken { kind, description: description.into() }
    }

    pub(super) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), description: description.into() }
    }
}

/// Name of the constraint that a database error speaks of.
pub(super) fn violated(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}
