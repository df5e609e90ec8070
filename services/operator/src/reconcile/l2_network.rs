use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::reflector::ObjectRef;
use l2sces_custom_resources::{ConnectivityStatus, FINALIZER, L2Network, L2NetworkStatus};
use l2sces_kubernetes::{conditions, finalizer};
use l2sces_model::Name;
use l2sces_reconcile::Outcome;
use serde_json::json;

use super::{Failure, Key, Reconciler};
use crate::{
    plan::{Claim, NetworkKey, Plan, Problem, Reference, made_network, recorded_slice},
    services::{Board, ObjectKey, ObjectState, Objects, Trouble},
};

/// The most addresses that a status lists, of up to some 120 bytes each with its pod: an API server keeps no
/// resource of more than 1.5 MiB.
const MOST_ADDRESSES: usize = 5_000;

/// The pods of a network, as its status tells of them.
#[derive(Debug, Default)]
struct Pods {
    count: i32,
    /// Their addresses, each with the name of its pod.
    addresses: BTreeMap<String, String>,
    /// That they are not all, if so.
    truncated: Option<Condition>,
}

impl Reconciler {
    pub(super) async fn l2_network(
        &self,
        plan: &Plan,
        reference: &Reference,
    ) -> Result<Outcome, Failure> {
        let Some(network) = self.cached_network(reference) else { return Ok(Outcome::Done) };
        if network.metadata.deletion_timestamp.is_some() {
            if plan.claims.contains_key(reference) {
                // The plan does not know yet, and is made anew for that; it wakes this when it does.
                return Ok(Outcome::Done);
            }
            return self.network_that_goes(plan, &network).await;
        }
        if !finalizer::is_on(FINALIZER, &*network) {
            finalizer::add(&self.client, FINALIZER, &*network).await?;
            return Ok(Outcome::Done);
        }
        let Some(claim) = plan.claims.get(reference) else { return Ok(Outcome::Done) };
        let after = self.network_status(plan, &network, claim);
        let before = network.status.clone().unwrap_or_default();
        self.publisher.publish(&*network, network.status.as_ref(), &after).await?;
        self.publisher.announce(&*network, &before.conditions, &after.conditions).await;
        Ok(Outcome::Done)
    }

    /// Says why a resource is still there that is being deleted, or lets it go if no network is made of
    /// it: another resource may be the one that it names.
    async fn network_that_goes(
        &self,
        plan: &Plan,
        network: &L2Network,
    ) -> Result<Outcome, Failure> {
        if !finalizer::is_on(FINALIZER, network) {
            return Ok(Outcome::Done);
        }
        let reference = Reference::to(network);
        let own = made_network(network).filter(|key| plan.leaving.get(key) == Some(&reference));
        let Some(key) = own.map(Key::Network) else {
            finalizer::remove(&self.client, FINALIZER, network).await?;
            return Ok(Outcome::Done);
        };
        let trouble = self.trouble(&key);
        if trouble.is_none() {
            // It has not been removed yet, or the resource was written when it was to be let go.
            self.queue.wake(key);
        }
        self.publish_leaving(network, trouble).await?;
        Ok(Outcome::Done)
    }

    /// Lets a resource go of whose network nothing is left.
    pub(super) async fn let_network_go(
        &self,
        reference: &Reference,
        key: &NetworkKey,
    ) -> Result<(), Failure> {
        // It may have been the last of its slice.
        self.queue.wake(Key::Slice(key.slice.clone()));
        let Some(network) = self.cached_network(reference) else { return Ok(()) };
        let is_it = network.metadata.deletion_timestamp.is_some()
            && made_network(&network).as_ref() == Some(key);
        // Else it is another of that name already, which the plan does not know yet.
        if is_it && finalizer::is_on(FINALIZER, &*network) {
            finalizer::remove(&self.client, FINALIZER, &*network).await?;
        }
        Ok(())
    }

    /// Notes in a network's status which slice it is made in, unless that stands there.
    pub(super) async fn record_slice(
        &self,
        reference: &Reference,
        key: &NetworkKey,
    ) -> Result<(), Failure> {
        let network = self.cached_network(reference);
        let network = network.filter(|network| network.metadata.deletion_timestamp.is_none());
        let Some(network) = network else {
            // The plan does not know yet.
            let message = format!("L2Network {reference} is being deleted");
            return Err(Trouble::waiting(message).into());
        };
        match recorded_slice(&network) {
            Some(slice) if slice == key.slice => Ok(()),
            Some(slice) => {
                // The plan does not know yet.
                let message = format!("network {} is in slice {slice}", key.name);
                Err(Trouble::waiting(message).into())
            }
            None => self.write_slice(&network, &key.slice).await,
        }
    }

    async fn write_slice(&self, network: &L2Network, slice: &Name) -> Result<(), Failure> {
        // Required by upstream's schema, and set for good by the next look at the status.
        let connectivity = network.status.clone().unwrap_or_default().internal_connectivity;
        let fields = json!({ "slice": slice, "internalConnectivity": connectivity });
        Ok(self.publisher.record(network, &fields).await?)
    }

    fn network_status(&self, plan: &Plan, network: &L2Network, claim: &Claim) -> L2NetworkStatus {
        let before = network.status.clone().unwrap_or_default();
        let generation = network.metadata.generation;
        let object = ObjectKey::Network(claim.key.clone());
        let here = self.fabric.board.state(&object);
        let between = self.sco.board.state(&object);
        let is_own = claim.problem.is_none();
        let problem = claim
            .problem
            .clone()
            .or_else(|| claim.objection.clone())
            .or_else(|| self.network_problem(plan, claim, here.as_ref(), between.as_ref()));
        let pods = self.pods(claim, &before, generation);
        let (vni, mtu) = match &between {
            // Pods are attached to what has an identity: that a leader has just begun, or that the
            // sco-provider is away, takes it from no network.
            None if is_own && self.sco.board.fault().is_some() => (before.vni, before.mtu),
            between => {
                let identity =
                    |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
                let state = between.as_ref().filter(|_| is_own);
                let of = |number: fn(&ObjectState) -> u32| state.map(number).and_then(identity);
                (of(|state| state.vni), of(|state| state.mtu))
            }
        };
        let of_own = |board: &Board, state: &Option<ObjectState>| match is_own {
            true => connectivity(board, state.as_ref()),
            false => ConnectivityStatus::Unavailable,
        };
        let mut conditions = vec![conditions::ready(problem.as_ref(), generation)];
        conditions.extend(conditions::ignored(&ignored_fields(network), generation));
        conditions.extend(pods.truncated);
        L2NetworkStatus {
            connected_pod_count: pods.count,
            last_assigned_ip: None,
            assigned_ips: pods.addresses,
            internal_connectivity: of_own(&self.fabric.board, &here),
            provider_connectivity: network
                .spec
                .provider
                .as_ref()
                .map(|_| of_own(&self.sco.board, &between)),
            observed_generation: generation,
            conditions: conditions::with_times(conditions, &before.conditions),
            slice: before.slice,
            vni,
            mtu,
        }
    }

    /// The pods that a network has in the cluster. What was known before stays while the sdn-controller does
    /// not say: that a leader has just begun takes no pod away.
    fn pods(&self, claim: &Claim, before: &L2NetworkStatus, generation: Option<i64>) -> Pods {
        if claim.problem.is_some() {
            return Pods::default();
        }
        if self.fabric.board.fault().is_some() {
            return Pods {
                count: before.connected_pod_count,
                addresses: before.assigned_ips.clone(),
                truncated: conditions::still_truncated(&before.conditions),
            };
        }
        Pods::of(&self.fabric.board.ports_of(&claim.key), generation)
    }

    /// Why a network is not as it is to be.
    fn network_problem(
        &self,
        plan: &Plan,
        claim: &Claim,
        here: Option<&ObjectState>,
        between: Option<&ObjectState>,
    ) -> Option<Problem> {
        if let Some(Err(problem)) = plan.networks.get(&claim.key).map(|network| &network.addresses)
        {
            return Some(problem.clone());
        }
        let slice = plan.slices.get(&claim.key.slice);
        if slice.is_none_or(|slice| slice.overlay.is_none()) {
            let message = format!(
                "no Overlay is that of slice {}: none names it as its provider, there is none in \
                 this namespace, and not exactly one in the cluster",
                claim.key.slice
            );
            return Some(Problem::new("NoOverlay", message));
        }
        if let Some(fault) = self.fabric.board.fault().or_else(|| self.sco.board.fault()) {
            return Some(Problem::new("Unreachable", fault));
        }
        let troubles = [Key::Network(claim.key.clone()), Key::Slice(claim.key.slice.clone())];
        if let Some(trouble) = troubles.iter().find_map(|key| self.trouble(key)) {
            return Some(Problem::new(trouble.reason, trouble.message));
        }
        for (state, place) in [(here, "in this cluster"), (between, "between clusters")] {
            match state {
                Some(state) if state.ready => {}
                Some(state) => {
                    return Some(Problem::new("NotReady", format!("{place}: {}", state.message)));
                }
                None => return Some(Problem::new("Waiting", format!("not made {place} yet"))),
            }
        }
        None
    }

    /// Says in a network's status that it is still there, and why.
    async fn publish_leaving(
        &self,
        network: &L2Network,
        trouble: Option<Trouble>,
    ) -> Result<(), Failure> {
        let before = network.status.clone().unwrap_or_default();
        let why = trouble.map(|trouble| format!(": {}", trouble.message)).unwrap_or_default();
        let problem = Problem::new("Deleting", format!("being removed{why}"));
        let condition = conditions::ready(Some(&problem), network.metadata.generation);
        let after = L2NetworkStatus {
            internal_connectivity: ConnectivityStatus::Unavailable,
            conditions: conditions::with_times(vec![condition], &before.conditions),
            ..before
        };
        Ok(self.publisher.publish(network, network.status.as_ref(), &after).await?)
    }

    fn cached_network(&self, reference: &Reference) -> Option<std::sync::Arc<L2Network>> {
        let cached = ObjectRef::<L2Network>::new(&reference.name).within(&reference.namespace);
        self.caches.networks.get(&cached)
    }
}

impl Pods {
    /// Those of a network's ports, of which not all may be listed.
    fn of(ports: &BTreeMap<Name, ObjectState>, generation: Option<i64>) -> Self {
        let addresses = ports.iter().filter(|(_, state)| !state.address.is_empty());
        let all = addresses.clone().count();
        let addresses = addresses.take(MOST_ADDRESSES).map(|(name, state)| {
            let address = state.address.split('/').next().unwrap_or_default();
            (address.to_owned(), name.to_string())
        });
        Self {
            count: i32::try_from(ports.len()).unwrap_or(i32::MAX),
            addresses: addresses.collect(),
            truncated: conditions::truncated("addresses", all.min(MOST_ADDRESSES), all, generation),
        }
    }
}

fn connectivity(board: &Board, state: Option<&ObjectState>) -> ConnectivityStatus {
    match state {
        _ if board.fault().is_some() => ConnectivityStatus::Unknown,
        Some(state) if state.ready => ConnectivityStatus::Available,
        _ => ConnectivityStatus::Unavailable,
    }
}

/// The fields that a network has and that are not carried out.
fn ignored_fields(network: &L2Network) -> Vec<String> {
    let mut fields = Vec::new();
    if network.spec.ids.is_some() {
        fields.push("spec.ids".to_owned());
    }
    if network.spec.config.is_some() {
        fields.push("spec.config".to_owned());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_lists_only_so_many_addresses_and_says_so() {
        let ports = |count: usize| -> BTreeMap<Name, ObjectState> {
            let port = |number: usize| {
                let address = format!("10.{}.{}.1/8", number / 256, number % 256);
                let name = format!("pod-{number:05}").parse::<Name>().unwrap();
                (name, ObjectState { address, ..ObjectState::default() })
            };
            let bare = ("bare".parse().unwrap(), ObjectState::default());
            (0..count).map(port).chain([bare]).collect()
        };
        let few = Pods::of(&ports(2), Some(1));
        assert_eq!((few.count, few.truncated), (3, None));
        assert_eq!(few.addresses["10.0.1.1"], "pod-00001");
        let many = Pods::of(&ports(MOST_ADDRESSES + 7), Some(1));
        assert_eq!((many.count, many.addresses.len()), (5_008, MOST_ADDRESSES));
        assert!(many.addresses.contains_key("10.0.0.1"), "the same whenever it is looked at");
        let said = many.truncated.unwrap();
        assert_eq!(
            (&*said.type_, &*said.message),
            ("Truncated", "5000 of 5007 addresses are listed")
        );
    }
}
