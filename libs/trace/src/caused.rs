use crate::TraceContext;

/// Something that has happened or is to happen, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caused<T> {
    /// What.
    pub what: T,
    /// The span that it follows from, if it was traced.
    pub cause: Option<TraceContext>,
}

impl<T> Caused<T> {
    /// Something that follows from the current span.
    pub fn now(what: T) -> Self {
        Self { what, cause: TraceContext::current() }
    }
}
