use std::{fmt, io};

use serde_json::Value as Json;
use thiserror::Error;

use crate::{FramingError, NotationError};

/// Why a request to the database failed.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no connection: nothing was sent.
    #[error("there is no connection to the database")]
    Disconnected,
    /// The connection ended before the answer came: whether a transaction took place is not known.
    #[error("the connection to the database was lost")]
    ConnectionLost,
    /// No answer came in time: whether a transaction took place is not known.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The server refused the request as a whole.
    #[error("the database refused the request: {0}")]
    Request(OperationError),
    /// An operation failed, so that nothing of the transaction took place.
    #[error("the database refused the transaction: {error}")]
    Operation {
        /// The operation's place in the transaction; `None`: all were right, committing failed.
        index: Option<usize>,
        /// What was wrong.
        error: OperationError,
    },
    /// The server's answer is not what the RFC says.
    #[error("the database answered wrongly: {0}")]
    Protocol(String),
    /// The transaction took place, but `ovs-vswitchd` has not carried it out in time.
    #[error("ovs-vswitchd has not carried out the change in time: is it running?")]
    NotCarriedOut,
}

/// `<error>`: what the server says of an operation or request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// What kind of error.
    pub kind: OperationErrorKind,
    /// The server's explanation, for people.
    pub details: String,
}

/// The error strings of RFC 7047, sections 3.1 and 5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationErrorKind {
    /// `referential integrity violation`: a row refers to one that does not exist.
    ReferentialIntegrityViolation,
    /// `constraint violation`: such as a second row with a value that must be unique.
    ConstraintViolation,
    /// `resources exhausted`: the server has no room.
    ResourcesExhausted,
    /// `I/O error`: the server could not write its file.
    Io,
    /// `timed out`: a wait operation's condition was not met.
    TimedOut,
    /// `not supported`: such as a timeout or mutator that the server does not know.
    NotSupported,
    /// `aborted`: by an abort operation.
    Aborted,
    /// `not owner`: a lock asserted is not held.
    NotOwner,
    /// `duplicate uuid name` (the RFC: `duplicate uuid-name`): two inserts with one name.
    DuplicateUuidName,
    /// `unknown database`.
    UnknownDatabase,
    /// `domain error`: such as a division by zero.
    DomainError,
    /// `range error`: a number that is too large or too small.
    RangeError,
    /// `canceled`: by a cancel request.
    Canceled,
    /// What the server says beyond the RFC.
    Other(String),
}

impl From<&str> for OperationErrorKind {
    fn from(text: &str) -> Self {
        match text {
            "referential integrity violation" => Self::ReferentialIntegrityViolation,
            "constraint violation" => Self::ConstraintViolation,
            "resources exhausted" => Self::ResourcesExhausted,
            "I/O error" => Self::Io,
            "timed out" => Self::TimedOut,
            "not supported" => Self::NotSupported,
            "aborted" => Self::Aborted,
            "not owner" => Self::NotOwner,
            "duplicate uuid name" | "duplicate uuid-name" => Self::DuplicateUuidName,
            "unknown database" => Self::UnknownDatabase,
            "domain error" => Self::DomainError,
            "range error" => Self::RangeError,
            "canceled" => Self::Canceled,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl OperationErrorKind {
    fn as_str(&self) -> &str {
        match self {
            Self::ReferentialIntegrityViolation => "referential integrity violation",
            Self::ConstraintViolation => "constraint violation",
            Self::ResourcesExhausted => "resources exhausted",
            Self::Io => "I/O error",
            Self::TimedOut => "timed out",
            Self::NotSupported => "not supported",
            Self::Aborted => "aborted",
            Self::NotOwner => "not owner",
            Self::DuplicateUuidName => "duplicate uuid name",
            Self::UnknownDatabase => "unknown database",
            Self::DomainError => "domain error",
            Self::RangeError => "range error",
            Self::Canceled => "canceled",
            Self::Other(text) => text,
        }
    }
}

impl OperationError {
    /// Reads an `<error>`, or the bare string that servers send for a failed request.
    pub(crate) fn from_json(json: &Json) -> Self {
        let text = |json: Option<&Json>| json.and_then(Json::as_str).unwrap_or_default().to_owned();
        match json {
            Json::String(error) => Self { kind: error.as_str().into(), details: String::new() },
            Json::Object(object) => Self {
                kind: text(object.get("error")).as_str().into(),
                details: text(object.get("details")),
            },
            other => Self {
                kind: OperationErrorKind::Other("unreadable error".to_owned()),
                details: other.to_string(),
            },
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

/// Why a connection ended. The client logs it and connects again.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server has been silent for too long")]
    Silent,
    #[error("the server sent an unreadable stream: {0}")]
    Framing(#[from] FramingError),
    #[error("the server sent a malformed message: {0}")]
    Message(String),
    #[error("the server sent a malformed value: {0}")]
    Notation(#[from] NotationError),
    #[error("the server refused the monitor: {0}")]
    Monitor(Error),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_typed_by_the_strings_of_the_rfc() {
        for text in [
            "referential integrity violation",
            "constraint violation",
            "resources exhausted",
            "I/O error",
            "timed out",
            "not supported",
            "aborted",
            "not owner",
            "duplicate uuid name",
            "unknown database",
            "domain error",
            "range error",
            "canceled",
        ] {
            let kind = OperationErrorKind::from(text);
            assert!(!matches!(kind, OperationErrorKind::Other(_)), "{text}");
            assert_eq!(kind.as_str(), text);
        }
        assert_eq!(
            OperationErrorKind::from("syntax error"),
            OperationErrorKind::Other("syntax error".to_owned())
        );
    }

    #[test]
    fn an_error_is_read_with_or_without_details() {
        let with = OperationError::from_json(&json!({"error": "timed out", "details": "wait"}));
        assert_eq!(with.to_string(), "timed out: wait");
        let bare = OperationError::from_json(&json!("unknown database"));
        assert_eq!(bare.kind, OperationErrorKind::UnknownDatabase);
        assert_eq!(bare.to_string(), "unknown database");
    }
}
