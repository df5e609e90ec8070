//! gRPC as every service speaks it: mutual TLS, deadlines, traces, metrics, health, reflection, field violations.
//!
//! A service builds its [`tonic::service::Routes`], says in an [`Access`] which roles may call what,
//! and calls [`serve`]. A client gets a [`Channel`] from a [`Dialer`] and hands it to any generated
//! client.

mod access;
mod args;
mod channel;
mod connections;
mod connector;
mod deadline;
mod dialer;
mod incoming;
mod local;
mod measure;
mod peer;
mod rpc_body;
mod rpc_layer;
mod server;
mod shutdown;
mod status;
mod trace;

pub use access::Access;
pub use args::{ServerArgs, TlsArgs, TlsArgsError};
pub use channel::Channel;
pub use connections::{Connections, Place};
pub use connector::Callee;
pub use deadline::DEFAULT_DEADLINE;
pub use dialer::{DialError, Dialer};
pub use peer::{Peer, peer};
pub use rpc_layer::departure;
pub use server::{ServeError, serve, serve_local, serve_on, serve_openly};
pub use shutdown::shutdown_signal;
pub use status::{Violations, already_exists, failed_precondition, not_found};
