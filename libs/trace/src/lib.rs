//! Trace contexts that travel otherwise than by calls: with the wake-ups of a queue, in rows, and in
//! what watches tell.
//!
//! What is asked for in one call is carried out by others, later: by a worker that the call woke, by
//! a service that follows a watch. As long as one thing follows from the other, it is one trace: the
//! [cause](TraceContext::current) is passed along, and the spans of what follows are its children.
//! What happens for another reason (a restart, a retry, a look now and then) has a trace of its own,
//! with a link to the one in which the object was changed last.

mod caused;
mod causes;
mod context;

pub use caused::Caused;
pub use causes::Causes;
pub use context::{TraceContext, TraceContextError};
