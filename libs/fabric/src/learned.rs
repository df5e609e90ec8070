//! Addresses that nobody announced, learned from what access ports send.

use std::collections::BTreeSet;

use l2sces_model::{DatapathId, InterfaceName, MacAddress, Name, Vni};

use crate::{Fabric, PortId, PortRole, PortSpec, Subject, parts::Part};

/// Nothing was learned at most ports.
static NOTHING: BTreeSet<MacAddress> = BTreeSet::new();

/// Where an address of a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts<'a> {
    /// It is a port's own.
    Port(&'a PortId),
    /// It was learned at a port.
    LearnedAt(&'a PortId),
    /// It is beyond a trunk.
    Region {
        /// Where.
        name: &'a Name,
        /// Whether it was learned there.
        is_learned: bool,
    },
}

impl Fabric {
    /// Learns an address at an access port: it is there from now on, and nowhere else.
    pub fn learn(&mut self, id: &PortId, mac: MacAddress) {
        let Some(PortSpec { vni, switch, .. }) = self.ports.get(id) else { return };
        let (vni, at) = (*vni, *switch);
        if self.learned_at(id).contains(&mac) {
            return;
        }
        self.forget_learned(vni, mac);
        self.note_learned(vni, at, id, mac);
        self.order_entries(vni, mac, |other| other != at);
        self.networks.entry(vni).or_default().learned.insert(mac, id.clone());
        self.learned.entry(id.clone()).or_default().insert(mac);
    }

    /// Forgets an address that was learned at an access port.
    pub fn forget_learned(&mut self, vni: Vni, mac: MacAddress) {
        let network = self.networks.get(&vni);
        let Some(id) = network.and_then(|network| network.learned.get(&mac)).cloned() else {
            return;
        };
        if let Some(at) = self.ports.get(&id).map(|port| port.switch) {
            self.note_learned(vni, at, &id, mac);
            self.order_entries(vni, mac, |other| other == at);
        }
        if let Some(network) = self.networks.get_mut(&vni) {
            network.learned.remove(&mac);
        }
        if let Some(macs) = self.learned.get_mut(&id) {
            macs.remove(&mac);
            if macs.is_empty() {
                self.learned.remove(&id);
            }
        }
    }

    /// The addresses that were learned at a port.
    pub fn learned_at(&self, id: &PortId) -> &BTreeSet<MacAddress> {
        self.learned.get(id).unwrap_or(&NOTHING)
    }

    /// Where an address is, if that is known.
    pub fn whereabouts(&self, vni: Vni, mac: MacAddress) -> Option<Whereabouts<'_>> {
        let network = self.networks.get(&vni)?;
        let own = network.addresses.get(&mac).and_then(BTreeSet::first).map(Whereabouts::Port);
        own.or_else(|| network.learned.get(&mac).map(Whereabouts::LearnedAt)).or_else(|| {
            let region = network.regions.get(&mac)?;
            Some(Whereabouts::Region { name: &region.name, is_learned: region.is_learned })
        })
    }

    /// The access port that has an interface.
    pub fn access_port(&self, id: DatapathId, interface: &InterfaceName) -> Option<&PortSpec> {
        let ids = self.interface_ports.get(&(id, interface.clone()))?;
        let mut ports = ids.iter().filter_map(|id| self.ports.get(id));
        ports.find(|port| matches!(port.role, PortRole::Access { .. }) && self.leg(port).is_some())
    }

    /// What was learned at a port and stays when it changes: as much as it may still learn, if it is
    /// the same interface of the same network.
    pub(crate) fn learned_to_keep(&self, after: &PortSpec) -> Vec<MacAddress> {
        let Some(before) = self.ports.get(&after.id) else { return Vec::new() };
        let place = |port: &PortSpec| (port.vni, port.switch, port.interface.clone());
        let PortRole::Access { mac: own, max_learned } = after.role else { return Vec::new() };
        if place(before) != place(after) {
            return Vec::new();
        }
        let learned = self.learned_at(&after.id).iter().copied().filter(|mac| *mac != own);
        learned.take(max_learned.into()).collect()
    }

    /// Says at which switches the way to an address changes last.
    fn order_entries(&mut self, vni: Vni, mac: MacAddress, is_last: impl Fn(DatapathId) -> bool) {
        for at in self.sites(vni) {
            let entry = Part::Entry(at, vni, mac);
            if is_last(at) {
                self.pending.last.insert(entry);
            } else {
                self.pending.last.remove(&entry);
            }
        }
    }

    fn note_learned(&mut self, vni: Vni, at: DatapathId, id: &PortId, mac: MacAddress) {
        self.pending.subjects.insert(Subject::Network(vni));
        self.note(Part::Access(at, id.clone()));
        self.note_address(vni, mac);
    }
}
