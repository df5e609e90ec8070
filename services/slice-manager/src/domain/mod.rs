//! The resources that users handle, as values that can only be valid in themselves. No I/O.
//!
//! They are stored as JSON, so a field that is added needs a default.

mod cluster;
mod condition;
mod endpoint;
mod key;
mod network;
mod port;
mod resource;
mod slice;

pub use cluster::{
    Cluster, ClusterDetail, ClusterSpec, DriftPolicy, Driver, Gateway, KubernetesDriver,
    KubernetesServer, Node, NodeStatus,
};
pub use condition::{Condition, Finding, Truth};
pub use endpoint::{Endpoint, EndpointError};
pub use key::{BadKey, Key, Kind};
pub use network::{Network, NetworkDetail, NetworkSpec, NetworkType};
pub use port::{Attachment, Port, PortDetail, PortSpec};
pub use resource::{Meta, Resource, Status, Stored};
pub use slice::{Link, Slice, SliceCluster, SliceDetail, SliceSpec};
