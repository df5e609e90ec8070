//! OpenFlow server: sessions with switches, and the difference between wanted and installed flows.

mod connect;
mod connection;
mod difference;
mod error;
mod events;
mod handle;
mod listener;
mod measure;
mod switch;

pub use connect::connect_unix;
pub use difference::difference;
pub use error::{CloseReason, HandshakeError, ListenError, RequestError};
pub use handle::{Applied, SwitchHandle};
pub use l2sces_openflow::{Change, SessionConfig};
pub use listener::{ListenArgs, Listener};
pub use switch::{SwitchConnection, SwitchEvent};
