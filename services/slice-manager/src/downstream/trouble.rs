use thiserror::Error;
use tonic::{Code, Status};

/// Why it is not known that an object is as wanted.
#[derive(Clone, Debug, Error)]
pub enum Trouble {
    /// The service has just been lost, or never been asked; it will be known soon.
    #[error("not connected yet")]
    Connecting,
    /// The service cannot be reached.
    #[error("{service} does not answer: {why}")]
    Unreachable {
        /// The service, such as "the sdn-controller of cluster b".
        service: String,
        /// What went wrong.
        why: String,
    },
    /// What the object needs is not there yet; whoever brings it wakes the resource.
    #[error("{0}")]
    Waiting(String),
    /// The service refuses.
    #[error("{}", .0.message())]
    Refused(Status),
}

/// What a status says, with the cause that it hides.
pub(super) fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
        source = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}

/// A status's code as one CamelCase word.
pub(crate) fn reason(code: Code) -> String {
    format!("{code:?}")
}
