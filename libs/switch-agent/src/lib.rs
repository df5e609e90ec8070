//! One bridge of a node's Open vSwitch, owned through OVSDB and served by gRPC: all of the
//! `sps-agent` and the `ned-agent` but the name.
//!
//! The agent stores nothing: what it made is marked in the database (module `marks`) and
//! found again after a restart, and only what is marked is ever changed or removed. Each call
//! compares what is wanted with what is and applies the difference, so a call that was cut short at
//! any point is completed by the next. What others change afterwards is told to whoever watches.
//!
//! - `plan`, pure: the bridge as it is and as it is wanted → OVSDB operations.
//! - `netlink`: virtual Ethernet pairs into network namespaces.
//! - `probes`: measures the bridge's links.
//! - [`Agent`]: carries both out.
//! - [`SwitchApi`]: `l2sces.switch.v1.SwitchService` on top.
//!
//! One agent of a kind per network namespace: two could not have a bridge of the same name anyway.

mod agent;
mod args;
mod bridge_watch;
mod database;
mod error;
mod grpc;
mod inspect;
mod locks;
mod marks;
mod measure;
mod netlink;
mod plan;
mod port;
mod probes;
mod run;
mod spec;
mod state;
mod warm;
mod watch;

pub use agent::{Agent, AgentConfig, TlsFiles};
pub use args::{AgentArgs, AgentKind, DatapathType};
pub use bridge_watch::SwitchWatch;
pub use error::AgentError;
pub use grpc::SwitchApi;
pub use inspect::{has_interface, inspect};
pub use netlink::NetlinkError;
pub use probes::{MeasuredLink, MeasurementWatch};
pub use run::{run, serve, start};
pub use spec::{Attachment, ControllerTarget, Link, NamespaceAttachment, Port, Switch, Trunk};
pub use state::{LinkState, PortState, SwitchState};
pub use watch::{Lagged, PortChange, PortWatch};
