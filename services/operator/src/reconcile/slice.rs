use l2sces_model::Name;
use l2sces_proto::fabric::v1 as fabric;
use l2sces_reconcile::Outcome;

use super::{
    Failure, Key, Reconciler,
    neighbors::{LOOK_UP_AGAIN, Resolved, have_names},
};
use crate::{
    plan::{Plan, PlannedSlice},
    services::{ObjectKey, Objects, Trouble},
};

impl Reconciler {
    pub(super) async fn slice(&self, plan: &Plan, name: &Name) -> Result<Outcome, Failure> {
        // The sdn-controller has no slices without nodes.
        match plan.slices.get(name).filter(|planned| !planned.nodes.is_empty()) {
            Some(planned) => self.keep_slice(plan, name, planned).await,
            None => self.remove_slice(plan, name).await.map(|()| Outcome::Done),
        }
    }

    async fn keep_slice(
        &self,
        plan: &Plan,
        name: &Name,
        planned: &PlannedSlice,
    ) -> Result<Outcome, Failure> {
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
        let Resolved { addresses, trouble } =
            self.neighbors.resolve(name, is_new, &planned.neighbors).await;
        if let Some(addresses) = addresses {
            self.sco.apply_slice_member(name, &uid, gateways, addresses).await?;
        }
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
        match trouble {
            Some(trouble) => Err(trouble.into()),
            None if have_names(&planned.neighbors) => Ok(Outcome::After(LOOK_UP_AGAIN)),
            None => Ok(Outcome::Done),
        }
    }

    /// Leaves a slice when its networks are gone.
    async fn remove_slice(&self, plan: &Plan, name: &Name) -> Result<(), Failure> {
        self.neighbors.forget(name);
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
