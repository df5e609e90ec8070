use std::{collections::BTreeSet, net::IpAddr};

use l2sces_model::Name;
use l2sces_proto::fabric::v1 as fabric;

use super::{Failure, Key, Reconciler};
use crate::{
    plan::{Plan, PlannedSlice},
    services::{ObjectKey, Objects, Trouble},
};

impl Reconciler {
    pub(super) async fn slice(&self, plan: &Plan, name: &Name) -> Result<(), Failure> {
        match plan.slices.get(name) {
            Some(planned) if planned.nodes.is_empty() => {
                // The sdn-controller has no slices without nodes.
                self.remove_slice(plan, name).await
            }
            Some(planned) => self.keep_slice(plan, name, planned).await,
            None => self.remove_slice(plan, name).await,
        }
    }

    async fn keep_slice(
        &self,
        plan: &Plan,
        name: &Name,
        planned: &PlannedSlice,
    ) -> Result<(), Failure> {
        let links = planned.links.iter().map(|link| fabric::NodeLink {
            node_a: link.a.to_string(),
            node_b: link.b.to_string(),
            cost: link.cost,
        });
        let slice = fabric::Slice {
            name: name.to_string(),
            version: None,
            nodes: planned.nodes.iter().map(ToString::to_string).collect(),
            links: links.collect(),
            avoid_transit: planned.avoid_transit.iter().map(ToString::to_string).collect(),
            measurement: planned.measurement.clone(),
        };
        let is_new = !self.fabric.board.knows(&ObjectKey::Slice(name.clone()));
        let uid = self.uid(name);
        // First here: a slice that the sdn-controller has is removed there and from the sco-provider
        // when it is not planned any more.
        self.fabric.apply_slice(name, &uid, slice).await?;
        let gateways = planned.gateways.iter().map(ToString::to_string).collect();
        let neighbors = resolve(&planned.neighbors).await?;
        self.sco.apply_slice_member(name, &uid, gateways, neighbors).await?;
        if is_new {
            // They have waited for it.
            let networks = plan.networks.keys().filter(|network| network.slice == *name);
            self.wake(networks.cloned().map(Key::Network));
        }
        // Nodes that it has left may go now.
        let leaving = self.fabric.board.keys().into_iter().filter_map(|key| match key {
            ObjectKey::Node(node) if !plan.nodes.contains_key(&node) => Some(Key::Node(node)),
            _ => None,
        });
        self.wake(leaving);
        Ok(())
    }

    /// Leaves a slice when its networks are gone.
    async fn remove_slice(&self, plan: &Plan, name: &Name) -> Result<(), Failure> {
        let key = ObjectKey::Slice(name.clone());
        if !self.fabric.board.is_there(&key).map_err(Trouble::unreachable)? {
            return Ok(());
        }
        let networks = self.fabric.board.networks_of(name);
        if !networks.is_empty() {
            // Those that are planned go when their resources do.
            let left = networks.into_iter().filter(|network| !plan.networks.contains_key(network));
            self.wake(left.map(Key::Network));
            return Err(Trouble::waiting(format!("slice {name} still has networks")).into());
        }
        if !self.sco.delete_slice_member(name).await? {
            return Err(Trouble::waiting(format!("slice {name} is being left")).into());
        }
        if !self.fabric.delete(&key, false).await? {
            return Err(Trouble::waiting(format!("slice {name} is being removed")).into());
        }
        Ok(())
    }

    /// The uid of the cluster's part of a slice: the same whenever there is one.
    fn uid(&self, slice: &Name) -> String {
        format!("{}/{slice}", self.cluster)
    }
}

/// The addresses of gateways of other clusters, in order.
async fn resolve(neighbors: &BTreeSet<String>) -> Result<Vec<String>, Trouble> {
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for neighbor in neighbors {
        if let Ok(address) = neighbor.parse() {
            addresses.insert(address);
            continue;
        }
        // Any port: only the address is of interest.
        let found = tokio::net::lookup_host((neighbor.as_str(), 0)).await;
        let found = found.map_err(|error| Trouble {
            reason: "UnknownNeighbor",
            message: format!("neighbor {neighbor:?} has no address: {error}"),
            is_waiting: false,
        })?;
        addresses.extend(found.map(|address| address.ip().to_canonical()));
    }
    Ok(addresses.iter().map(ToString::to_string).collect())
}
