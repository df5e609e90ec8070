//! Pure fabric core: topology, networks and ports to tables and groups per switch.
//!
//! Both controllers solve one problem: a graph of switches, networks with ports on some of them;
//! find loop-free delivery and keep networks apart. [`Fabric`] holds what is wanted and what is
//! known of the switches, and compiles it to a [`Program`](l2sces_openflow::Program) per switch.
//! No I/O and no clock: the same state gives the same programs, so they can be tested by walking
//! them. `docs/pipeline.md` describes the tables.

mod fabric;
mod network;
pub mod pipeline;
mod spec;
mod topology;

pub use fabric::{Fabric, Problem, Revision, Subject};
pub use spec::{
    EndpointSpec, LinkEnd, LinkSpec, NetworkSpec, PortId, PortRole, PortSpec, SliceSpec, SwitchSpec,
};
