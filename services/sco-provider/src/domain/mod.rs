//! What the sco-provider knows: gateways, slices, networks, endpoints, and the rules between them.
//! No I/O.

pub mod addressing;
mod key;
mod member;
mod object;
pub mod plan;
mod topology;
mod version;

pub use key::{EndpointKey, GatewayKey, Key, Kind, NetworkKey, ObjectKey};
pub use member::{NetworkMember, SliceMember, union};
pub use object::{
    ClusterEnd, ClusterLink, Endpoint, Gateway, Identity, Leaving, Network, Slice, StoredEndpoint,
    StoredGateway, StoredNetwork, StoredSlice,
};
pub use topology::{GatewayLink, Topology, tunnel_interface};
pub use version::{Precedence, Version};
