use ipnet::IpNet;
use l2sces_model::Name;
use serde::{Deserialize, Serialize};

use super::{Kind, Resource, SliceSpec};

/// An isolated segment of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network;

impl Resource for Network {
    const KIND: Kind = Kind::Network;
    type Spec = NetworkSpec;
    type Detail = NetworkDetail;
}

/// The kind of service that a network gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkType {
    /// A multipoint segment.
    Vnet,
}

/// What is wanted of a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The clusters that it spans; none: all of the slice.
    pub clusters: Vec<Name>,
    /// The kind of service.
    pub r#type: NetworkType,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNet>,
}

/// What is known of a network beside its condition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NetworkDetail {
    /// Virtual network identifier; 0 until known.
    pub vni: u32,
    /// MTU of its ports, in bytes; 0 until known.
    pub mtu: u32,
}

impl NetworkSpec {
    /// The clusters that the network spans when its slice is this.
    pub fn spanned<'a>(&'a self, slice: &'a SliceSpec) -> Vec<&'a Name> {
        if self.clusters.is_empty() {
            slice.clusters.iter().map(|part| &part.cluster).collect()
        } else {
            self.clusters.iter().collect()
        }
    }
}
