//! What the sco-provider says of the other clusters, and what the fabric needs of it. Pure.
//!
//! Endpoints of other clusters are known by their cluster; through which trunk that is reached is
//! told apart from them, so that it may change without a word about any endpoint.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_controller::{EndpointSpec, NetworkSpec, PortId, PortRole, PortSpec};
use l2sces_model::{Epoch, InterfaceName, MacAddress, Name, Vni};
use l2sces_trace::{Caused, TraceContext};

use crate::{
    domain::NetworkKey,
    fabric::{datapath_id, handoff_id},
};

/// Names an endpoint of another cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointKey {
    pub(super) network: NetworkKey,
    pub(super) cluster: Name,
    pub(super) port: Name,
    /// The address that was learned behind the port; none: the endpoint is the port itself.
    pub(super) learned: Option<MacAddress>,
}

/// The trunks that a network may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handoff {
    pub(super) vni: Vni,
    /// By which frames set out.
    pub(super) current: Crossing,
    /// By which others are on their way, or soon will be.
    pub(super) other: Option<Crossing>,
}

/// The cluster's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) epoch: Epoch,
    /// The gateways' nodes, and the clusters that are reached through them.
    pub(super) gates: BTreeMap<Name, BTreeSet<Name>>,
}

/// A change to the fabric. Steps may be carried out in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The trunks of a network change.
    Handoff {
        network: NetworkKey,
        /// What the fabric must know of the network, whether it has ports here or not; none: it
        /// leaves the cluster no more.
        spec: Option<NetworkSpec>,
        /// The trunks by which frames set out: to be put first, so that there is always one.
        current: Vec<PortSpec>,
        /// To be put then.
        others: Vec<PortSpec>,
        /// To be taken away last.
        removed: Vec<PortId>,
    },
    PutEndpoint(EndpointSpec),
    RemoveEndpoint(Vni, MacAddress),
}

/// What a step is about; of several steps about one thing only the last matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Handoff(NetworkKey),
    Endpoint(Vni, MacAddress),
}

type Address = (Vni, MacAddress);

/// Handoffs and remote endpoints.
pub(super) struct Directory {
    cluster: Name,
    trunk: InterfaceName,
    handoffs: BTreeMap<NetworkKey, Handoff>,
    /// The trunks that the fabric has been told of.
    told: BTreeMap<NetworkKey, BTreeSet<PortId>>,
    endpoints: BTreeMap<EndpointKey, Address>,
    /// Whose an address is: the endpoint that was told of last.
    owners: BTreeMap<Address, EndpointKey>,
    /// And why.
    changed: BTreeMap<Target, Option<TraceContext>>,
    unseen_handoffs: BTreeSet<NetworkKey>,
    unseen_endpoints: BTreeSet<EndpointKey>,
}

impl Directory {
    /// An empty directory of a cluster whose gateways have a trunk of this name.
    pub(super) fn new(cluster: Name, trunk: InterfaceName) -> Self {
        Self {
            cluster,
            trunk,
            handoffs: BTreeMap::new(),
            told: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            owners: BTreeMap::new(),
            changed: BTreeMap::new(),
            unseen_handoffs: BTreeSet::new(),
            unseen_endpoints: BTreeSet::new(),
        }
    }

    /// A new watch begins: it will tell everything that is.
    pub(super) fn begin(&mut self) {
        self.unseen_handoffs = self.handoffs.keys().cloned().collect();
        self.unseen_endpoints = self.endpoints.keys().cloned().collect();
    }

    /// The watch has told everything that is: the rest is gone.
    pub(super) fn synced(&mut self) {
        for network in std::mem::take(&mut self.unseen_handoffs) {
            self.remove_handoff(&network);
        }
        for key in std::mem::take(&mut self.unseen_endpoints) {
            self.remove_endpoint(&key);
        }
    }

    pub(super) fn put_handoff(&mut self, network: NetworkKey, handoff: Handoff) {
        self.unseen_handoffs.remove(&network);
        if self.handoffs.get(&network) != Some(&handoff) {
            self.handoffs.insert(network.clone(), handoff);
            self.note(Target::Handoff(network));
        }
    }

    pub(super) fn remove_handoff(&mut self, network: &NetworkKey) {
        if self.handoffs.remove(network).is_some() {
            self.note(Target::Handoff(network.clone()));
        }
    }

    pub(super) fn put_endpoint(&mut self, key: EndpointKey, vni: Vni, mac: MacAddress) {
        self.unseen_endpoints.remove(&key);
        let address = (vni, mac);
        if self.endpoints.get(&key) == Some(&address) {
            return;
        }
        self.remove_endpoint(&key);
        self.endpoints.insert(key.clone(), address);
        self.owners.insert(address, key);
        self.note(Target::Endpoint(vni, mac));
    }

    pub(super) fn remove_endpoint(&mut self, key: &EndpointKey) {
        let Some(address) = self.endpoints.remove(key) else { return };
        // Another endpoint may have got the address before this one's end was told.
        if self.owners.get(&address) == Some(key) {
            self.owners.remove(&address);
            self.note(Target::Endpoint(address.0, address.1));
        }
    }

    /// What is to be done about everything that has changed since this was last asked, and why.
    pub(super) fn steps(&mut self) -> Vec<Caused<Step>> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|(target, cause)| Caused { what: self.step(target), cause }).collect()
    }

    /// Takes note that something has changed, following from the current span.
    fn note(&mut self, target: Target) {
        self.changed.insert(target, TraceContext::current());
    }

    fn step(&mut self, target: Target) -> Step {
        match target {
            Target::Handoff(network) => self.handoff_step(network),
            Target::Endpoint(vni, mac) => match self.owners.get(&(vni, mac)) {
                Some(owner) => Step::PutEndpoint(EndpointSpec {
                    vni,
                    mac,
                    region: owner.cluster.clone(),
                    is_learned: owner.learned.is_some(),
                }),
                None => Step::RemoveEndpoint(vni, mac),
            },
        }
    }

    fn handoff_step(&mut self, network: NetworkKey) -> Step {
        let handoff = self.handoffs.get(&network);
        let spec =
            handoff.map(|handoff| NetworkSpec { vni: handoff.vni, slice: network.slice.clone() });
        let trunks = |is_current| -> Vec<PortSpec> {
            let crossing = handoff.and_then(|handoff| {
                if is_current { Some(&handoff.current) } else { handoff.other.as_ref() }
            });
            let crossing = handoff.zip(crossing).into_iter();
            crossing.flat_map(|(of, it)| self.trunks(&network, of.vni, it, is_current)).collect()
        };
        let (current, others) = (trunks(true), trunks(false));
        let now: BTreeSet<PortId> =
            current.iter().chain(&others).map(|port| port.id.clone()).collect();
        let former = self.told.remove(&network).unwrap_or_default();
        let removed = former.difference(&now).cloned().collect();
        if handoff.is_some() {
            self.told.insert(network.clone(), now);
        }
        Step::Handoff { network, spec, current, others, removed }
    }

    fn trunks(
        &self,
        network: &NetworkKey,
        vni: Vni,
        crossing: &Crossing,
        is_current: bool,
    ) -> Vec<PortSpec> {
        let trunk = |(node, regions): (&Name, &BTreeSet<Name>)| PortSpec {
            id: handoff_id(network, node, crossing.epoch),
            vni,
            switch: datapath_id(&self.cluster, node),
            interface: self.trunk.clone(),
            role: PortRole::Trunk {
                // A cluster's switches are in one segment.
                segment: 0,
                epoch: crossing.epoch,
                is_current,
                regions: regions.clone(),
            },
        };
        crossing.gates.iter().map(trunk).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn network() -> NetworkKey {
        NetworkKey { slice: name("s"), name: name("blue") }
    }

    fn endpoint(cluster: &str, port: &str) -> EndpointKey {
        EndpointKey { network: network(), cluster: name(cluster), port: name(port), learned: None }
    }

    fn vni() -> Vni {
        5.try_into().unwrap()
    }

    const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

    fn steps(directory: &mut Directory) -> Vec<Step> {
        directory.steps().into_iter().map(|step| step.what).collect()
    }

    fn directory() -> Directory {
        Directory::new(name("a"), "l2t-sps".parse().unwrap())
    }

    fn crossing(epoch: u8, gates: &[(&str, &[&str])]) -> Crossing {
        let regions = |clusters: &[&str]| clusters.iter().map(|cluster| name(cluster)).collect();
        Crossing {
            epoch: epoch.try_into().unwrap(),
            gates: gates.iter().map(|(node, clusters)| (name(node), regions(clusters))).collect(),
        }
    }

    fn handoff(epoch: u8, gates: &[(&str, &[&str])]) -> Handoff {
        Handoff { vni: vni(), current: crossing(epoch, gates), other: None }
    }

    fn trunk(epoch: u8, node: &str, regions: &[&str]) -> PortSpec {
        PortSpec {
            id: format!("handoff/s/blue/{node}/{epoch}").into(),
            vni: vni(),
            switch: datapath_id(&name("a"), &name(node)),
            interface: "l2t-sps".parse().unwrap(),
            role: PortRole::Trunk {
                segment: 0,
                epoch: epoch.try_into().unwrap(),
                is_current: true,
                regions: regions.iter().map(|cluster| name(cluster)).collect(),
            },
        }
    }

    /// The same trunk of a plan by which no frames set out.
    fn other(mut trunk: PortSpec) -> PortSpec {
        if let PortRole::Trunk { is_current, .. } = &mut trunk.role {
            *is_current = false;
        }
        trunk
    }

    fn step(current: Vec<PortSpec>, others: Vec<PortSpec>, removed: &[&str]) -> Step {
        let is_there = !current.is_empty() || !others.is_empty();
        Step::Handoff {
            network: network(),
            spec: is_there.then(|| NetworkSpec { vni: vni(), slice: name("s") }),
            current,
            others,
            removed: removed.iter().map(|trunk| format!("handoff/s/blue/{trunk}").into()).collect(),
        }
    }

    fn put_endpoint(cluster: &str) -> Step {
        Step::PutEndpoint(EndpointSpec {
            vni: vni(),
            mac: MAC,
            region: name(cluster),
            is_learned: false,
        })
    }

    #[test]
    fn a_new_plan_moves_trunks_and_no_endpoints() {
        let mut directory = directory();
        directory.put_endpoint(endpoint("b", "web"), vni(), MAC);
        assert_eq!(steps(&mut directory), [put_endpoint("b")]);
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        assert_eq!(steps(&mut directory), [step(vec![trunk(1, "g1", &["b"])], vec![], &[])]);
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        assert_eq!(steps(&mut directory), []);
        directory.put_handoff(network(), handoff(2, &[("g2", &["b"]), ("g3", &["c", "d"])]));
        let gates = vec![trunk(2, "g2", &["b"]), trunk(2, "g3", &["c", "d"])];
        assert_eq!(steps(&mut directory), [step(gates, vec![], &["g1/1"])]);
        directory.remove_handoff(&network());
        assert_eq!(steps(&mut directory), [step(vec![], vec![], &["g2/2", "g3/2"])]);
        directory.remove_handoff(&network());
        assert_eq!(steps(&mut directory), []);
    }

    #[test]
    fn a_network_goes_over_from_one_plan_to_the_next() {
        let mut directory = directory();
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        directory.steps();
        let (old, new) = (trunk(1, "g1", &["b"]), trunk(2, "g1", &["b", "c"]));
        let next = crossing(2, &[("g1", &["b", "c"])]);
        let preparing = Handoff { other: Some(next), ..handoff(1, &[("g1", &["b"])]) };
        directory.put_handoff(network(), preparing);
        assert_eq!(steps(&mut directory), [step(vec![old.clone()], vec![other(new.clone())], &[])]);
        let former = crossing(1, &[("g1", &["b"])]);
        let leaving = Handoff { other: Some(former), ..handoff(2, &[("g1", &["b", "c"])]) };
        directory.put_handoff(network(), leaving);
        assert_eq!(steps(&mut directory), [step(vec![new.clone()], vec![other(old)], &[])]);
        directory.put_handoff(network(), handoff(2, &[("g1", &["b", "c"])]));
        assert_eq!(steps(&mut directory), [step(vec![new], vec![], &["g1/1"])]);
    }

    #[test]
    fn of_plans_that_came_too_fast_nothing_is_left() {
        let mut directory = directory();
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        directory.steps();
        directory.put_handoff(network(), handoff(2, &[("g2", &["b"])]));
        directory.put_handoff(network(), handoff(3, &[("g3", &["b"])]));
        assert_eq!(steps(&mut directory), [step(vec![trunk(3, "g3", &["b"])], vec![], &["g1/1"])]);
    }

    #[test]
    fn what_a_new_watch_does_not_tell_again_is_removed_and_the_rest_left_alone() {
        let mut directory = directory();
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        directory.put_endpoint(endpoint("b", "web"), vni(), MAC);
        let other = MacAddress::new([2, 0, 0, 0, 0, 2]);
        directory.put_endpoint(endpoint("b", "db"), vni(), other);
        directory.steps();
        directory.begin();
        directory.put_handoff(network(), handoff(1, &[("g1", &["b"])]));
        directory.put_endpoint(endpoint("b", "web"), vni(), MAC);
        assert_eq!(steps(&mut directory), []);
        directory.synced();
        assert_eq!(steps(&mut directory), [Step::RemoveEndpoint(vni(), other)]);
        directory.begin();
        directory.synced();
        assert_eq!(
            steps(&mut directory),
            [step(vec![], vec![], &["g1/1"]), Step::RemoveEndpoint(vni(), MAC)]
        );
    }

    #[test]
    fn an_address_that_changed_hands_stays() {
        let mut directory = directory();
        directory.put_endpoint(endpoint("b", "old"), vni(), MAC);
        directory.put_endpoint(endpoint("c", "new"), vni(), MAC);
        assert_eq!(steps(&mut directory), [put_endpoint("c")]);
        directory.remove_endpoint(&endpoint("b", "old"));
        assert_eq!(steps(&mut directory), []);
        directory.remove_endpoint(&endpoint("c", "new"));
        assert_eq!(steps(&mut directory), [Step::RemoveEndpoint(vni(), MAC)]);
    }

    #[test]
    fn an_address_is_learned_or_announced_as_its_last_owner_says() {
        let mut directory = directory();
        let learned = |cluster| EndpointKey { learned: Some(MAC), ..endpoint(cluster, "host") };
        let put = |cluster: &str, is_learned| {
            let (vni, mac, region) = (vni(), MAC, name(cluster));
            [Step::PutEndpoint(EndpointSpec { vni, mac, region, is_learned })]
        };
        directory.put_endpoint(learned("b"), vni(), MAC);
        assert_eq!(steps(&mut directory), put("b", true));
        // Behind one port are many endpoints, the port among them.
        directory.put_endpoint(endpoint("b", "host"), vni(), MacAddress::new([2, 0, 0, 0, 0, 9]));
        directory.steps();
        directory.put_endpoint(learned("c"), vni(), MAC);
        directory.remove_endpoint(&learned("b"));
        assert_eq!(steps(&mut directory), put("c", true));
        directory.put_endpoint(endpoint("c", "web"), vni(), MAC);
        assert_eq!(steps(&mut directory), put("c", false));
    }

    #[test]
    fn an_endpoint_that_changes_its_mac_leaves_the_former() {
        let mut directory = directory();
        let former = MacAddress::new([2, 0, 0, 0, 0, 2]);
        directory.put_endpoint(endpoint("b", "web"), vni(), former);
        directory.steps();
        directory.put_endpoint(endpoint("b", "web"), vni(), MAC);
        assert_eq!(steps(&mut directory), [put_endpoint("b"), Step::RemoveEndpoint(vni(), former)]);
    }
}
