use std::{net::IpAddr, num::NonZeroU32};

use ipnet::IpNet;
use l2sces_measurement::Policy;
use l2sces_model::{MacAddress, Name, Vni};
use l2sces_trace::TraceContext;

use super::{EndpointKey, GatewayKey, NetworkKey, Version, plan::Succession};

/// A gateway node, on which a ned-agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Names it.
    pub key: GatewayKey,
    /// Version of this description.
    pub version: Version,
    /// Endpoint of its ned-agent, a URL.
    pub agent_endpoint: String,
    /// Address that its tunnels end on.
    pub underlay_address: IpAddr,
}

/// An undirected link between two clusters: tunnels between gateways of theirs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterLink {
    a: ClusterEnd,
    b: ClusterEnd,
    cost: NonZeroU32,
}

/// Where a link ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterEnd {
    /// The cluster.
    pub cluster: Name,
    /// The gateway's node; none: every gateway of the cluster in the slice.
    pub node: Option<Name>,
}

impl From<Name> for ClusterEnd {
    fn from(cluster: Name) -> Self {
        Self { cluster, node: None }
    }
}

impl ClusterEnd {
    /// Whether the link ends at this gateway.
    pub fn is_at(&self, gateway: &GatewayKey) -> bool {
        self.cluster == gateway.cluster
            && self.node.as_ref().is_none_or(|node| *node == gateway.node)
    }
}

impl ClusterLink {
    /// The link between two clusters, whichever is named first; none from a cluster to itself.
    pub fn between(
        one: impl Into<ClusterEnd>,
        other: impl Into<ClusterEnd>,
        cost: NonZeroU32,
    ) -> Option<Self> {
        let (one, other) = (one.into(), other.into());
        match one.cluster.cmp(&other.cluster) {
            std::cmp::Ordering::Less => Some(Self { a: one, b: other, cost }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self { a: other, b: one, cost }),
        }
    }

    /// The end in the cluster whose name comes first.
    pub fn a(&self) -> &ClusterEnd {
        &self.a
    }

    /// The end in the cluster whose name comes last.
    pub fn b(&self) -> &ClusterEnd {
        &self.b
    }

    /// What it costs to use it.
    pub fn cost(&self) -> NonZeroU32 {
        self.cost
    }

    /// Whether another link has the same ends.
    pub fn has_ends_of(&self, other: &Self) -> bool {
        (&self.a, &self.b) == (&other.a, &other.b)
    }
}

/// The inter-cluster part of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its name.
    pub name: Name,
    /// Version of this description.
    pub version: Version,
    /// Its clusters.
    pub clusters: Vec<Name>,
    /// Its gateways, in the order of preference within a cluster.
    pub gateways: Vec<GatewayKey>,
    /// Its links between clusters, no two with the same ends.
    pub links: Vec<ClusterLink>,
    /// What is measured of its links.
    pub measurement: Option<Policy>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Names it.
    pub key: NetworkKey,
    /// Version of this description.
    pub version: Version,
    /// The clusters that it spans.
    pub clusters: Vec<Name>,
    /// Its addresses.
    pub cidr: Option<IpNet>,
}

/// What a network has been given for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Virtual network identifier.
    pub vni: Vni,
    /// MTU of its ports, in bytes.
    pub mtu: u32,
}

/// A port of a network, or an address learned behind one, as the other clusters see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Names it.
    pub key: EndpointKey,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its IP address; none of a learned one.
    pub address: Option<IpAddr>,
    /// Another name of it in the DNS, which others may have, too; none of a learned one.
    pub alias: Option<Name>,
}

/// A gateway as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGateway {
    /// What is wanted.
    pub gateway: Gateway,
    /// Names its switch in group numbers, for life.
    pub ordinal: u16,
    /// Its removal was asked for.
    pub deleting: bool,
    /// Its removal does not wait for its agent.
    pub forced: bool,
    /// The span in which it was applied, or its removal asked for, last.
    pub origin: Option<TraceContext>,
}

/// A slice as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSlice {
    /// What is wanted.
    pub slice: Slice,
    /// What it was and is no more, as long as networks go by that.
    pub leaving: Leaving,
    /// Names it in group numbers, for life.
    pub ordinal: u16,
    /// Counts the changes of its gateways and links.
    pub topology_version: i64,
    /// Its removal was asked for.
    pub deleting: bool,
    /// The span in which it was applied, or its removal asked for, last.
    pub origin: Option<TraceContext>,
}

/// Gateways and links that a slice has lost, and that its networks are leaving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// The gateways.
    pub gateways: Vec<GatewayKey>,
    /// The links.
    pub links: Vec<ClusterLink>,
}

impl Leaving {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty() && self.links.is_empty()
    }
}

/// A network as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNetwork {
    /// What is wanted.
    pub network: Network,
    /// What it has been given.
    pub identity: Identity,
    /// Its removal was asked for.
    pub deleting: bool,
    /// How it crosses clusters.
    pub plans: Succession,
    /// The version of its slice's topology.
    pub topology_version: i64,
    /// The version of its slice's topology that the plan was made for; none: there is no plan yet.
    pub planned_for: Option<i64>,
    /// The span in which it was applied, or its removal asked for, last.
    pub origin: Option<TraceContext>,
}

/// An endpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// What is announced.
    pub endpoint: Endpoint,
    /// The DNS may have a record of it.
    pub named: bool,
    /// Its removal was asked for.
    pub deleting: bool,
    /// The span in which it was applied, or its removal asked for, last.
    pub origin: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_no_direction_and_two_ends() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let link = |a, b| ClusterLink::between(name(a), name(b), NonZeroU32::MIN);
        assert_eq!(link("b", "a"), link("a", "b"));
        assert_eq!(link("a", "a"), None);
    }
}
