use std::collections::BTreeMap;

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
    /// How many pods are attached in each cluster that has any, as that told last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<Name, u32>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_pods_were_counted_is_read() {
        let stored = r#"{"vni":7,"mtu":1438}"#;
        let mut detail: NetworkDetail = serde_json::from_str(stored).unwrap();
        assert!(detail.pods.is_empty());
        assert_eq!(serde_json::to_string(&detail).unwrap(), stored);
        detail.pods.insert("a".parse().unwrap(), 3);
        let text = serde_json::to_string(&detail).unwrap();
        assert_eq!(serde_json::from_str::<NetworkDetail>(&text).unwrap(), detail);
    }
}
