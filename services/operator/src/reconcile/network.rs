use l2sces_proto::fabric::v1 as fabric;

use super::{Failure, Reconciler};
use crate::{
    plan::{NetworkKey, Plan, PlannedNetwork},
    services::{ObjectKey, Objects, Trouble},
};

impl Reconciler {
    pub(super) async fn network(&self, plan: &Plan, key: &NetworkKey) -> Result<(), Failure> {
        if let Some(planned) = plan.networks.get(key) {
            return self.keep_network(key, planned).await;
        }
        if let Some(resource) = plan.leaving.get(key) {
            // Here and nowhere else: whoever gets the network next makes it after this.
            self.remove_network(key).await?;
            return self.let_network_go(resource, key).await;
        }
        // What is not planned and was never made here is another cluster's.
        if self.fabric.board.knows(&ObjectKey::Network(key.clone())) {
            self.remove_network(key).await?;
        }
        Ok(())
    }

    async fn keep_network(
        &self,
        key: &NetworkKey,
        planned: &PlannedNetwork,
    ) -> Result<(), Failure> {
        let addresses = planned.addresses.clone().map_err(Trouble::from)?;
        if !self.fabric.board.knows(&ObjectKey::Slice(key.slice.clone())) {
            let message = format!("slice {} has no nodes in this cluster yet", key.slice);
            return Err(Trouble::waiting(message).into());
        }
        // Before anything is made: what is made outlasts a change of the resource otherwise.
        self.record_slice(&planned.resource, key).await?;
        let text = |net: Option<ipnet::IpNet>| net.map(|net| net.to_string()).unwrap_or_default();
        let cidr = text(addresses.cidr);
        let range = text(addresses.range);
        let state = self.sco.apply_network_member(key, &planned.uid, cidr.clone(), range).await?;
        let network = fabric::Network {
            slice: key.slice.to_string(),
            name: key.name.to_string(),
            version: None,
            vni: state.vni,
            cidr,
            mtu: state.mtu,
        };
        self.fabric.apply_network(key, &planned.uid, network).await?;
        Ok(())
    }

    /// Removes a network from the cluster, with the ports that it still has: their pods have lost it.
    async fn remove_network(&self, key: &NetworkKey) -> Result<(), Failure> {
        let mut is_empty = true;
        for port in self.fabric.board.ports_of(key).into_keys() {
            is_empty &= self.fabric.delete(&ObjectKey::Port(key.clone(), port), false).await?;
        }
        if !is_empty {
            return Err(
                Trouble::waiting(format!("ports of network {key} are being removed")).into()
            );
        }
        if !self.fabric.delete(&ObjectKey::Network(key.clone()), false).await? {
            return Err(Trouble::waiting(format!("network {key} is being removed")).into());
        }
        if !self.sco.delete_network_member(key).await? {
            return Err(Trouble::waiting(format!("network {key} is being left")).into());
        }
        Ok(())
    }
}
