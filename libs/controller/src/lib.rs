//! The engine of both controllers: fabric, OpenFlow sessions and link discovery.
//!
//! An [`Engine`] is told what is wanted; it compiles that to flows and groups, brings every switch
//! that connects to that state, and keeps it there. It stores nothing: whoever owns the desired
//! state puts all of it after a start and then calls [`Engine::set_complete`]; before that no
//! switch is touched, for an empty memory must never look like an empty intent.
//!
//! ```text
//!   Engine (handle) --commands--> actor: fabric, sessions, rounds, discovery --events--> owner
//!                                   ^  |
//!                       what it sees|  |changes, probes
//!                                   |  v
//!                        one installer per connected switch --OpenFlow--> switch
//! ```

mod actor;
mod command;
mod discovery;
mod engine;
mod event;
mod installer;
mod learning;
mod mending;
mod readiness;
mod rounds;
mod session;
mod steps;
mod traces;

pub use engine::{Engine, EngineConfig, EngineError};
pub use event::{Event, LinkState, Place};
pub use l2sces_fabric::{
    AgeingTime, EndpointSpec, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec,
    SliceSpec, SwitchSpec,
};
