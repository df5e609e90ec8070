//! The APIs: requests are validated and become domain objects here, and errors become status codes.

mod authority;
mod certification;
mod exchange;
mod parse;
mod parse_member;
mod present;
mod sco;
mod status;
mod watch;

pub use certification::AuthorityApi;
pub use exchange::ExchangeApi;
pub use sco::ScoApi;

use std::pin::Pin;

use futures::Stream;
use tonic::Status;

/// Messages to a watcher.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
