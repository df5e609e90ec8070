//! Handoffs that the sco-provider waits for.

use std::collections::BTreeMap;

use l2sces_controller::PortId;
use l2sces_model::{Epoch, Name};
use l2sces_proto::{
    resource::v1::ChangeKind,
    sco::v1::{Gate, Handoff, WatchClusterResponse, watch_cluster_response::Change},
};

use crate::{domain::NetworkKey, fabric::handoff_id};

/// The handoffs with two plans that have been reported and not been confirmed, by slice and network.
#[derive(Default)]
pub(super) struct Unconfirmed(BTreeMap<(String, String), Handoff>);

impl Unconfirmed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes note of what the sco-provider says.
    pub(super) fn note(&mut self, response: &WatchClusterResponse) {
        let Some(Change::Handoff(handoff)) = &response.change else { return };
        let Some(network) = &handoff.network else { return };
        let key = (network.slice.clone(), network.name.clone());
        if response.kind() == ChangeKind::Put && handoff.other.is_some() {
            self.0.insert(key, handoff.clone());
        } else {
            self.0.remove(&key);
        }
    }

    /// The handoffs all of whose trunks are ready.
    pub(super) fn take_if(&mut self, is_ready: impl Fn(&PortId) -> bool) -> Vec<Handoff> {
        let ready = self.0.extract_if(.., |_, handoff| trunks(handoff).iter().all(&is_ready));
        ready.map(|(_, handoff)| handoff).collect()
    }
}

/// The trunks of a handoff. What cannot be understood has none.
fn trunks(handoff: &Handoff) -> Vec<PortId> {
    let other = handoff.other.iter().map(|other| (other.epoch, &other.gates));
    let crossings = other.chain([(handoff.epoch, &handoff.gates)]);
    crossings
        .flat_map(|(epoch, gates)| gates.iter().filter_map(move |gate| trunk(handoff, epoch, gate)))
        .collect()
}

fn trunk(handoff: &Handoff, epoch: u32, gate: &Gate) -> Option<PortId> {
    let network = handoff.network.as_ref()?;
    let network =
        NetworkKey { slice: network.slice.parse().ok()?, name: network.name.parse().ok()? };
    let node: Name = gate.node.parse().ok()?;
    Some(handoff_id(&network, &node, Epoch::try_from(u8::try_from(epoch).ok()?).ok()?))
}
