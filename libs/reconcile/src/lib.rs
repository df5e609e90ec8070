//! Level-triggered work: a keyed queue with back-off, and workers.
//!
//! A key names an object; [`run`] calls one reconcile function for it, which reads what is wanted
//! and what is, and applies the difference. Whoever changes the object wakes its key. The queue is
//! memory only: after a restart the store must wake every key that it has.
//!
//! The queue holds each key at most once, so it is bounded by the number of objects.

mod backoff;
mod measure;
mod queue;
mod workers;

pub use queue::Queue;
pub use workers::{Outcome, run};
