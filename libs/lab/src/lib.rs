//! Real topologies on one machine: namespaces, Open vSwitch, Postgres, our binaries.
//!
//! A [`Lab`] is made from a [`Topology`]: a network namespace for every node, with an Open vSwitch
//! of its own in it; underlays between the nodes of a cluster and between the gateways, whose
//! cables can be cut; a private Postgres; certificates; and our real binaries as processes. Pods
//! are made on demand. A lab can also have Kubernetes clusters ([`kubernetes`]). Many labs can be up at once; each takes everything with it when it goes.
//!
//! Needs root, and the Debian packages that [`packages`] installs.

pub mod cable;
mod certificates;
mod channel;
pub mod command;
mod cuts;
mod error;
mod interrupt;
pub mod kubernetes;
mod lab;
pub mod layout;
mod namespace;
mod openvswitch;
pub mod packages;
mod pod;
mod postgres;
pub mod probe;
mod process;
mod record;
mod services;
mod snoop;
pub mod switch;
mod teardown;
mod topology;
mod underlay;
mod unit;
pub mod wait;

use l2sces_packet_socket as packet_socket;

pub use channel::connect;
pub use error::{CommandError, LabError};
pub use kubernetes::Kubectl;
pub use lab::{Lab, LabOptions, require_root};
pub use layout::Layout;
pub use namespace::Namespace;
pub use pod::{Pod, PodRecord};
pub use postgres::{Statement, TableRows, table_rows};
pub use process::{ProcessIdentity, ProcessRecord, ProcessSpec};
pub use record::Record;
pub use snoop::{RuleName, Snoop};
pub use teardown::residue;
pub use topology::{ClusterTopology, NodeTopology, Topology, TopologyError};
pub use unit::Unit;
