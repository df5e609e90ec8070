//! What the sco-provider says of the other clusters, and what the fabric needs of it. Pure.
//!
//! An endpoint of another cluster lies behind the trunk that its network may use: without a handoff
//! it is remembered only.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_controller::{EndpointSpec, PortId, PortRole, PortSpec};
use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};

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
}

/// A change to the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    PutHandoff(PortSpec),
    RemoveHandoff(PortId),
    PutEndpoint(EndpointSpec),
    RemoveEndpoint(Vni, MacAddress),
}

/// What a step is about; of several steps about one thing only the last matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Handoff(NetworkKey),
    Endpoint(Vni, MacAddress),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Handoff {
    vni: Vni,
    node: Name,
}

type Address = (Vni, MacAddress);

/// Handoffs and remote endpoints.
pub(super) struct Directory {
    cluster: Name,
    trunk: InterfaceName,
    handoffs: BTreeMap<NetworkKey, Handoff>,
    endpoints: BTreeMap<EndpointKey, Address>,
    /// Whose an address is: the endpoint that was told of last.
    owners: BTreeMap<Address, EndpointKey>,
    changed: BTreeSet<Target>,
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
            endpoints: BTreeMap::new(),
            owners: BTreeMap::new(),
            changed: BTreeSet::new(),
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
            self.remove_handoff(&network, None);
        }
        for key in std::mem::take(&mut self.unseen_endpoints) {
            self.remove_endpoint(&key);
        }
    }

    pub(super) fn put_handoff(&mut self, network: NetworkKey, vni: Vni, node: Name) {
        self.unseen_handoffs.remove(&network);
        let handoff = Handoff { vni, node };
        if self.handoffs.get(&network) != Some(&handoff) {
            self.handoffs.insert(network.clone(), handoff);
            self.handoff_changed(network);
        }
    }

    /// Removes a network's handoff, unless it has moved from `node` meanwhile.
    pub(super) fn remove_handoff(&mut self, network: &NetworkKey, node: Option<&Name>) {
        let Some(handoff) = self.handoffs.get(network) else { return };
        if node.is_none_or(|node| handoff.node == *node) {
            self.handoffs.remove(network);
            self.handoff_changed(network.clone());
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
        self.changed.insert(Target::Endpoint(vni, mac));
    }

    pub(super) fn remove_endpoint(&mut self, key: &EndpointKey) {
        let Some(address) = self.endpoints.remove(key) else { return };
        // Another endpoint may have got the address before this one's end was told.
        if self.owners.get(&address) == Some(key) {
            self.owners.remove(&address);
            self.changed.insert(Target::Endpoint(address.0, address.1));
        }
    }

    fn handoff_changed(&mut self, network: NetworkKey) {
        let behind = self.endpoints.iter().filter(|(key, _)| key.network == network);
        let targets: Vec<_> = behind.map(|(_, (vni, mac))| Target::Endpoint(*vni, *mac)).collect();
        self.changed.extend(targets);
        self.changed.insert(Target::Handoff(network));
    }

    /// What is to be done about everything that has changed since this was last asked.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|target| self.step(target)).collect()
    }

    fn step(&self, target: Target) -> Step {
        match target {
            Target::Handoff(network) => match self.handoffs.get(&network) {
                Some(handoff) => Step::PutHandoff(PortSpec {
                    id: handoff_id(&network),
                    vni: handoff.vni,
                    switch: self.switch(handoff),
                    interface: self.trunk.clone(),
                    role: PortRole::Trunk,
                }),
                None => Step::RemoveHandoff(handoff_id(&network)),
            },
            Target::Endpoint(vni, mac) => {
                let owner = self.owners.get(&(vni, mac));
                match owner.and_then(|key| self.handoffs.get(&key.network)) {
                    Some(handoff) => Step::PutEndpoint(EndpointSpec {
                        vni,
                        mac,
                        switch: self.switch(handoff),
                        interface: self.trunk.clone(),
                    }),
                    None => Step::RemoveEndpoint(vni, mac),
                }
            }
        }
    }

    fn switch(&self, handoff: &Handoff) -> DatapathId {
        datapath_id(&self.cluster, &handoff.node)
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

    fn endpoint(port: &str) -> EndpointKey {
        EndpointKey { network: network(), cluster: name("b"), port: name(port) }
    }

    fn vni() -> Vni {
        5.try_into().unwrap()
    }

    const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

    fn directory() -> Directory {
        Directory::new(name("a"), "l2t-sps".parse().unwrap())
    }

    fn put_handoff(node: &str) -> Step {
        Step::PutHandoff(PortSpec {
            id: "handoff/s/blue".into(),
            vni: vni(),
            switch: datapath_id(&name("a"), &name(node)),
            interface: "l2t-sps".parse().unwrap(),
            role: PortRole::Trunk,
        })
    }

    fn put_endpoint(node: &str) -> Step {
        Step::PutEndpoint(EndpointSpec {
            vni: vni(),
            mac: MAC,
            switch: datapath_id(&name("a"), &name(node)),
            interface: "l2t-sps".parse().unwrap(),
        })
    }

    #[test]
    fn an_endpoint_waits_for_the_handoff_and_moves_with_it() {
        let mut directory = directory();
        directory.put_endpoint(endpoint("web"), vni(), MAC);
        assert_eq!(directory.steps(), [Step::RemoveEndpoint(vni(), MAC)]);
        directory.put_handoff(network(), vni(), name("g1"));
        assert_eq!(directory.steps(), [put_handoff("g1"), put_endpoint("g1")]);
        directory.put_handoff(network(), vni(), name("g2"));
        assert_eq!(directory.steps(), [put_handoff("g2"), put_endpoint("g2")]);
        // Of the place that it has left.
        directory.remove_handoff(&network(), Some(&name("g1")));
        assert_eq!(directory.steps(), []);
        directory.remove_handoff(&network(), Some(&name("g2")));
        let gone = [Step::RemoveHandoff("handoff/s/blue".into()), Step::RemoveEndpoint(vni(), MAC)];
        assert_eq!(directory.steps(), gone);
    }

    #[test]
    fn what_a_new_watch_does_not_tell_again_is_removed_and_the_rest_left_alone() {
        let mut directory = directory();
        directory.put_handoff(network(), vni(), name("g1"));
        directory.put_endpoint(endpoint("web"), vni(), MAC);
        let other = MacAddress::new([2, 0, 0, 0, 0, 2]);
        directory.put_endpoint(endpoint("db"), vni(), other);
        directory.steps();
        directory.begin();
        directory.put_handoff(network(), vni(), name("g1"));
        directory.put_endpoint(endpoint("web"), vni(), MAC);
        assert_eq!(directory.steps(), []);
        directory.synced();
        assert_eq!(directory.steps(), [Step::RemoveEndpoint(vni(), other)]);
    }

    #[test]
    fn an_address_that_changed_hands_stays() {
        let mut directory = directory();
        directory.put_handoff(network(), vni(), name("g1"));
        directory.put_endpoint(endpoint("old"), vni(), MAC);
        directory.put_endpoint(endpoint("new"), vni(), MAC);
        directory.steps();
        directory.remove_endpoint(&endpoint("old"));
        assert_eq!(directory.steps(), []);
        directory.remove_endpoint(&endpoint("new"));
        assert_eq!(directory.steps(), [Step::RemoveEndpoint(vni(), MAC)]);
    }

    #[test]
    fn an_endpoint_that_changes_its_mac_leaves_the_former() {
        let mut directory = directory();
        directory.put_handoff(network(), vni(), name("g1"));
        let former = MacAddress::new([2, 0, 0, 0, 0, 2]);
        directory.put_endpoint(endpoint("web"), vni(), former);
        directory.steps();
        directory.put_endpoint(endpoint("web"), vni(), MAC);
        assert_eq!(directory.steps(), [put_endpoint("g1"), Step::RemoveEndpoint(vni(), former)]);
    }
}
