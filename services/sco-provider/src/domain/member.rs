//! Slices and networks that are described by their members: each cluster describes its own part.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU32,
};

use ipnet::IpNet;
use l2sces_model::Name;

use super::{ClusterEnd, ClusterLink, GatewayKey, NetworkKey, Slice, Version};

/// A cluster's part of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceMember {
    /// The slice.
    pub slice: Name,
    /// The cluster.
    pub cluster: Name,
    /// Version of this description.
    pub version: Version,
    /// Nodes of the cluster's gateways in the slice, in the order of preference.
    pub gateways: Vec<Name>,
    /// Underlay addresses of other clusters' gateways to which it is linked; none: it leaves its
    /// links to the others.
    pub neighbors: BTreeSet<IpAddr>,
}

/// A cluster's part of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkMember {
    /// The network.
    pub network: NetworkKey,
    /// The cluster.
    pub cluster: Name,
    /// Version of this description.
    pub version: Version,
    /// The network's addresses.
    pub cidr: Option<IpNet>,
    /// The part of them that is leased to the cluster when it asks for any; none: all.
    pub address_range: Option<IpNet>,
}

impl SliceMember {
    /// The cluster's gateways in the slice.
    pub fn gateway_keys(&self) -> impl Iterator<Item = GatewayKey> {
        let key = |node: &Name| GatewayKey { cluster: self.cluster.clone(), node: node.clone() };
        self.gateways.iter().map(key)
    }

    /// The links to the gateways of another member that this one names.
    fn links_to(
        &self,
        other: &Self,
        underlay_addresses: &BTreeMap<GatewayKey, IpAddr>,
    ) -> Vec<ClusterLink> {
        let is_named = |key: &GatewayKey| {
            underlay_addresses.get(key).is_some_and(|address| self.neighbors.contains(address))
        };
        let far_ends = other.gateway_keys().filter(is_named).map(ClusterEnd::from);
        far_ends.filter_map(|end| link(self.cluster.clone().into(), end)).collect()
    }
}

impl From<GatewayKey> for ClusterEnd {
    fn from(key: GatewayKey) -> Self {
        Self { cluster: key.cluster, node: Some(key.node) }
    }
}

/// What the members of a slice describe together, in whichever order they are given. Two clusters
/// are linked if one names a gateway of the other, or if neither names any: so whether they are
/// depends on the two alone, and no other cluster that joins or leaves takes their link away.
pub fn union(
    name: Name,
    version: Version,
    mut members: Vec<SliceMember>,
    underlay_addresses: &BTreeMap<GatewayKey, IpAddr>,
) -> Slice {
    members.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    let mut links = BTreeSet::new();
    for (index, a) in members.iter().enumerate() {
        for b in &members[index + 1..] {
            if a.neighbors.is_empty() && b.neighbors.is_empty() {
                links.extend(link(a.cluster.clone().into(), b.cluster.clone().into()));
            } else {
                links.extend(a.links_to(b, underlay_addresses));
                links.extend(b.links_to(a, underlay_addresses));
            }
        }
    }
    Slice {
        name,
        version,
        clusters: members.iter().map(|member| member.cluster.clone()).collect(),
        gateways: members.iter().flat_map(SliceMember::gateway_keys).collect(),
        links: links.into_iter().collect(),
        measurement: None,
    }
}

fn link(one: ClusterEnd, other: ClusterEnd) -> Option<ClusterLink> {
    ClusterLink::between(one, other, NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;
    use crate::domain::Topology;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Gateway `n<node>` of a cluster has the address 192.0.2.<10 * cluster + node>.
    fn address(cluster: u8, node: u8) -> IpAddr {
        [192, 0, 2, 10 * cluster + node].into()
    }

    fn addresses() -> BTreeMap<GatewayKey, IpAddr> {
        let nodes = (1..=4_u8).flat_map(|cluster| (1..=2_u8).map(move |node| (cluster, node)));
        nodes
            .map(|(cluster, node)| {
                let key = GatewayKey {
                    cluster: name(&format!("c{cluster}")),
                    node: name(&format!("n{node}")),
                };
                (key, address(cluster, node))
            })
            .collect()
    }

    fn member(cluster: u8, nodes: &[u8], neighbors: &[(u8, u8)]) -> SliceMember {
        SliceMember {
            slice: name("s"),
            cluster: name(&format!("c{cluster}")),
            version: version(),
            gateways: nodes.iter().map(|node| name(&format!("n{node}"))).collect(),
            neighbors: neighbors.iter().map(|(cluster, node)| address(*cluster, *node)).collect(),
        }
    }

    fn version() -> Version {
        Version { uid: "u".to_owned(), generation: 1 }
    }

    fn united(members: &[SliceMember]) -> Slice {
        union(name("s"), version(), members.to_vec(), &addresses())
    }

    /// The links between gateways, such as `c1/n1-c2/n1`.
    fn links(members: &[SliceMember]) -> BTreeSet<String> {
        let topology = Topology::from(&united(members));
        topology.links.iter().map(|link| format!("{}-{}", link.a, link.b)).collect()
    }

    fn texts(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clusters_that_name_no_neighbors_are_all_linked() {
        let members = [member(1, &[1], &[]), member(2, &[1, 2], &[]), member(3, &[1], &[])];
        let expected = ["c1/n1-c2/n1", "c1/n1-c2/n2", "c1/n1-c3/n1", "c2/n1-c3/n1", "c2/n2-c3/n1"];
        assert_eq!(links(&members), texts(&expected));
    }

    #[test]
    fn one_that_names_the_other_is_enough_and_means_that_gateway() {
        let members = [member(1, &[1], &[(2, 2)]), member(2, &[1, 2], &[]), member(3, &[1], &[])];
        let expected = ["c1/n1-c2/n2", "c2/n1-c3/n1", "c2/n2-c3/n1"];
        assert_eq!(links(&members), texts(&expected));
    }

    #[test]
    fn a_named_address_is_a_neighbor_only_if_it_is_a_gateway_of_the_slice() {
        let members = [member(1, &[1], &[(2, 2), (4, 1)]), member(2, &[1], &[])];
        assert_eq!(links(&members), texts(&[]));
    }

    fn any_member(cluster: u8) -> impl Strategy<Value = SliceMember> {
        let all: Vec<_> = (1..=4).flat_map(|cluster| [(cluster, 1), (cluster, 2)]).collect();
        (subsequence(vec![1, 2], 0..=2), subsequence(all, 0..=4))
            .prop_map(move |(nodes, neighbors)| member(cluster, &nodes, &neighbors))
    }

    fn any_members() -> impl Strategy<Value = Vec<SliceMember>> {
        (any_member(1), any_member(2), any_member(3), any_member(4))
            .prop_map(|(a, b, c, d)| vec![a, b, c, d])
    }

    proptest! {
        #[test]
        fn the_order_of_members_does_not_matter(
            members in any_members(),
            order in Just([0, 1, 2, 3]).prop_shuffle(),
        ) {
            let shuffled: Vec<_> = order.iter().map(|index| members[*index].clone()).collect();
            prop_assert_eq!(united(&shuffled), united(&members));
        }

        #[test]
        fn a_member_that_leaves_takes_its_own_links_along_and_no_others(
            members in any_members(),
            leaving in 0_usize..4,
        ) {
            let mut fewer = members.clone();
            let gone = format!("{}/", fewer.remove(leaving).cluster);
            let mut expected = links(&members);
            expected.retain(|link| !link.contains(&gone));
            prop_assert_eq!(links(&fewer), expected);
        }

        #[test]
        fn links_end_at_gateways_of_the_slice(members in any_members()) {
            let slice = united(&members);
            for end in slice.links.iter().flat_map(|link| [link.a(), link.b()]) {
                let is_there = slice.gateways.iter().any(|gateway| end.is_at(gateway));
                prop_assert!(end.node.is_none() || is_there);
            }
        }
    }
}
