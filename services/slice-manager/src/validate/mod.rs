//! Checks what clients send. Pure: an API message becomes a value of the domain, or a report of
//! everything that is wrong with it; then the value is checked against the resources it refers to.

mod address;
mod cluster;
mod graph;
mod kubernetes;
mod label;
mod manager;
mod name;
mod network;
mod port;
mod report;
mod slice;

pub use cluster::{ClusterDescription, DriverDescription, cluster};
pub use name::{named, names, optional_names};
pub use network::{network, network_changes, network_references};
pub use port::{port, port_references};
pub use report::{Report, Violation};
pub use slice::{cluster_still_serves, slice, slice_references};

/// What depends on how the service was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Endpoints may be `http://`.
    pub plaintext: bool,
}

/// A resource as a client describes it.
#[derive(Clone, PartialEq, Debug)]
pub struct Described<S> {
    /// Kind and names.
    pub key: crate::domain::Key,
    /// What is wanted.
    pub spec: S,
    /// The version that the client has seen; empty: no check.
    pub etag: String,
    /// Who manages the resource, if it is new.
    pub managed_by: String,
}
