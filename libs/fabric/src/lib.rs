//! Pure fabric core: topology, networks and ports to tables and groups per switch.
//!
//! Both controllers solve one problem: a graph of switches, networks with ports on some of them;
//! find loop-free delivery and keep networks apart. [`Fabric`] holds what is wanted and what is
//! known of the switches, and compiles it to a [`Program`](l2sces_openflow::Program) per switch.
//! No I/O and no clock: the same state gives the same programs, so they can be tested by walking
//! them. `docs/pipeline.md` describes the tables.
//!
//! A change costs what it concerns: what may have changed is noted part by part *before* it changes
//! (`parts`), with what it compiled to, and [`Fabric::recompile`] compiles these parts again. The
//! ways of a slice are kept, and repaired where a link changes (`graph`, `routes`).

mod fabric;
mod graph;
mod learned;
mod network;
mod parts;
pub mod pipeline;
mod problem;
mod revision;
mod routes;
mod slice;
mod spec;
mod switch;

pub use fabric::Fabric;
pub use learned::Whereabouts;
pub use problem::Problem;
pub use revision::{Revision, Step, Subject};
pub use spec::{
    AgeingTime, EndpointSpec, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec,
    SliceSpec, SwitchSpec,
};
