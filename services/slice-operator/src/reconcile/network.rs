use l2sces_custom_resources::{
    ClusterStatus, SLICE_NETWORK_FINALIZER, SliceNetwork, SliceNetworkStatus,
};
use l2sces_kubernetes::{Failure, NetworkKey, Problem, Reference, Trouble, conditions, finalizer};
use l2sces_model::Name;
use l2sces_proto::{
    resource::v1::{ConditionStatus, Metadata},
    slice::v1 as api,
};
use serde_json::json;

use super::{Reconciler, managed_by};
use crate::{
    manager::{clusters_of, network_spec},
    plan::{Claim, Plan, PlannedNetwork, recorded_network},
};

impl Reconciler {
    pub(super) async fn network(&self, plan: &Plan, reference: &Reference) -> Result<(), Failure> {
        let Some(network) = self.caches.network(reference) else { return Ok(()) };
        let has_finalizer = finalizer::is_on(SLICE_NETWORK_FINALIZER, &*network);
        if network.metadata.deletion_timestamp.is_some() {
            // A plan that has it does not know yet; it is made anew for that, and wakes this.
            if has_finalizer && !plan.networks.contains_key(reference) {
                return self.let_network_go(&network).await;
            }
            return Ok(());
        }
        if !has_finalizer {
            return Ok(finalizer::add(&self.client, SLICE_NETWORK_FINALIZER, &*network).await?);
        }
        let Some(claim) = plan.networks.get(reference) else { return Ok(()) };
        let carried_out = self.carry_out_network(&network, claim).await;
        let problem = match &carried_out {
            Ok(key) => claim.objection.clone().or_else(|| self.manager.networks.problem(key)),
            Err(Failure::Service(trouble)) => Some(trouble.clone().into()),
            Err(Failure::Kubernetes(_)) => return carried_out.map(drop),
        };
        let generation = claim.generation;
        let before = network.status.clone().unwrap_or_default();
        let conditions = vec![conditions::ready(problem.as_ref(), generation)];
        let key = carried_out.as_ref().ok().cloned().or_else(|| recorded_network(&network));
        let made = key.as_ref().and_then(|key| self.manager.networks.board.current(key));
        let made = made.filter(|made| is_managed(made, &network)).and_then(|made| made.status);
        let made = made.unwrap_or_default();
        let identity = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
        let after = SliceNetworkStatus {
            cluster_statuses: self.cluster_statuses(claim, problem.as_ref()),
            slice: key.map(|key| key.slice.to_string()),
            vni: identity(made.vni),
            mtu: identity(made.mtu),
            conditions: conditions::with_times(conditions, &before.conditions),
            observed_generation: generation,
        };
        self.publisher.publish(&*network, network.status.as_ref(), &after).await?;
        self.publisher.announce(&*network, &before.conditions, &after.conditions).await;
        carried_out.map(drop)
    }

    /// Makes sure that the slice-manager has the network that a resource is; which one that is.
    async fn carry_out_network(
        &self,
        network: &SliceNetwork,
        claim: &Claim<NetworkKey, PlannedNetwork>,
    ) -> Result<NetworkKey, Failure> {
        let key = claim.key.clone().map_err(Trouble::from)?;
        let planned = claim.wanted.as_ref().map_err(|problem| Trouble::from(problem.clone()))?;
        if let Some(fault) = self.manager.fault() {
            return Err(Trouble::unreachable(fault).into());
        }
        let managed_by = managed_by(network);
        self.manager.networks.check(&key, &managed_by)?;
        let slice = self.manager.slices.board.state(&key.slice).ok_or_else(|| {
            Trouble::waiting(format!("there is no slice {} yet: no SliceOverlay is it", key.slice))
        })?;
        let is_going = slice.metadata.as_ref().is_some_and(|it| it.delete_time.is_some());
        if is_going && !self.manager.networks.board.knows(&key) {
            let message = format!("slice {} is being deleted", key.slice);
            return Err(Trouble::waiting(message).into());
        }
        let clusters = self.clusters(&planned.clusters);
        let spec = network_spec(planned, &slice, &clusters).map_err(Trouble::from)?;
        self.record_network(network, &key).await?;
        let metadata = Metadata { name: key.name.to_string(), managed_by, ..Metadata::default() };
        let wanted = api::Network {
            slice: key.slice.to_string(),
            spec: Some(spec),
            ..api::Network::default()
        };
        self.manager.networks.keep(&key, metadata, wanted).await?;
        Ok(key)
    }

    /// Notes in a network's status which one it is, before that is made: it is removed with it.
    async fn record_network(
        &self,
        network: &SliceNetwork,
        key: &NetworkKey,
    ) -> Result<(), Failure> {
        if recorded_network(network).as_ref() == Some(key) {
            return Ok(());
        }
        Ok(self.publisher.record(network, &json!({ "slice": key.slice })).await?)
    }

    /// Lets a network go when nothing is left of it.
    async fn let_network_go(&self, network: &SliceNetwork) -> Result<(), Failure> {
        let managed_by = managed_by(network);
        let removed = match (recorded_network(network), self.manager.fault()) {
            // Nothing is made before it stands there what.
            (None, _) => Ok(()),
            (Some(_), Some(fault)) => Err(Trouble::unreachable(fault)),
            (Some(key), None) => self.manager.networks.remove(&key, &managed_by).await,
        };
        let Err(trouble) = removed else {
            return Ok(finalizer::remove(&self.client, SLICE_NETWORK_FINALIZER, network).await?);
        };
        let before = network.status.clone().unwrap_or_default();
        let problem = Problem::new("Deleting", trouble.message.clone());
        let condition = conditions::ready(Some(&problem), network.metadata.generation);
        let after = SliceNetworkStatus {
            cluster_statuses: Vec::new(),
            conditions: conditions::with_times(vec![condition], &before.conditions),
            ..before
        };
        self.publisher.publish(network, network.status.as_ref(), &after).await?;
        Err(trouble.into())
    }

    /// What is of a network in each of its clusters. The slice-manager says of a whole network only
    /// whether it is ready, so that of others no more is known than how their clusters are.
    fn cluster_statuses(
        &self,
        claim: &Claim<NetworkKey, PlannedNetwork>,
        problem: Option<&Problem>,
    ) -> Vec<ClusterStatus> {
        let Ok(planned) = &claim.wanted else { return Vec::new() };
        let slice = claim.key.as_ref().ok();
        let slice = slice.and_then(|key| self.manager.slices.board.state(&key.slice));
        let status = |name: &Name| {
            let known = self.manager.clusters.state(name);
            let (status, message) = match (problem, &known) {
                (None, _) => ("Ready", None),
                (Some(_), None) => ("NotRegistered", None),
                (Some(_), Some(cluster)) => match cluster_problem(cluster) {
                    Some(message) => ("NotReady", Some(message)),
                    None if slice
                        .as_ref()
                        .is_some_and(|it| !clusters_of(it).contains(name.as_str())) =>
                    {
                        ("NotInSlice", None)
                    }
                    None => ("Pending", None),
                },
            };
            ClusterStatus {
                cluster_name: name.to_string(),
                status: Some(status.to_owned()),
                message,
            }
        };
        planned.clusters.iter().map(status).collect()
    }
}

/// Why a cluster is not ready.
fn cluster_problem(cluster: &api::Cluster) -> Option<String> {
    let conditions = &cluster.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.r#type == "Ready")?;
    (ready.status() != ConditionStatus::True).then(|| ready.message.clone())
}

fn is_managed(made: &api::Network, network: &SliceNetwork) -> bool {
    made.metadata.as_ref().is_some_and(|metadata| metadata.managed_by == managed_by(network))
}
