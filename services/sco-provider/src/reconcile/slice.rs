use std::{collections::BTreeSet, sync::Arc};

use l2sces_controller::{LinkSpec, SliceSpec};
use l2sces_measurement::Policy;
use l2sces_model::Name;
use l2sces_trace::TraceContext;

use super::{ReconcileError, Reconciler};
use crate::{
    domain::{
        GatewayKey, GatewayLink, Key, ObjectKey, StoredNetwork, StoredSlice, Topology, plan::Ways,
    },
    downstream::{Agents, Fabric, Names},
    health::{Doubts, Failures},
    status::{Fact, Problem},
};

/// A slice as it has been brought about, and what networks may plan with.
#[derive(Debug)]
pub(super) struct KnownSlice {
    /// Of the topology that is wanted.
    pub(super) version: i64,
    /// What the switches have: what is wanted, and what networks are leaving.
    pub(super) topology: Topology,
    /// What is measured of its links.
    pub(super) measurement: Option<Policy>,
    /// Networks are leaving something.
    pub(super) is_left: bool,
    /// What of the topology does not work.
    pub(super) failures: Failures,
    /// What of it may work or not.
    pub(super) doubts: Doubts,
    /// The links that have come into the slice and were not known to work since.
    joining: Vec<GatewayLink>,
    /// The links that are no part of the slice any more.
    lost: Vec<GatewayLink>,
    /// What is left of what is wanted.
    pub(super) ways: Ways,
    /// What is left of all that the switches have.
    pub(super) ways_in_use: Ways,
}

/// What a link costs that is to be used only where there is no way around it.
const LAST_RESORT: u32 = u32::MAX;

impl KnownSlice {
    /// Whether the slice has not had a link before, or only since a moment ago.
    fn is_without(&self, link: &GatewayLink) -> bool {
        let is_same = |own: &GatewayLink| (&own.a, &own.b) == (&link.a, &link.b);
        !self.topology.links.iter().any(is_same) || self.joining.iter().any(is_same)
    }

    /// The links as the engine is to know them. One that has just come is not used before it is known
    /// to work, and one that the slice has lost only until the others are, where that can be helped.
    fn link_specs(&self) -> impl Iterator<Item = LinkSpec> {
        let avoids_lost = self.doubts.is_empty();
        self.topology.links.iter().map(move |link| {
            let is_lost = avoids_lost && self.lost.contains(link);
            let is_spared = is_lost || self.joining.contains(link);
            let cost = if is_spared { LAST_RESORT } else { link.cost };
            LinkSpec::from(&GatewayLink { cost, ..link.clone() })
        })
    }
}

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    pub(super) async fn reconcile_slice(
        &self,
        name: &Name,
    ) -> Result<Option<Problem>, ReconcileError> {
        let stored = self.store.slice(name).await?;
        TraceContext::link_current(stored.as_ref().and_then(|stored| stored.origin));
        match stored {
            None => {
                self.forget_slice(name);
                Ok(None)
            }
            Some(stored) if stored.deleting => self.remove_slice(&stored).await,
            Some(stored) => self.make_slice(&stored).await,
        }
    }

    /// Tells the engine and the watchers of a slice. Returns what was known of it before, and is
    /// now.
    pub(super) async fn admit_slice(
        &self,
        stored: &StoredSlice,
    ) -> (Option<Arc<KnownSlice>>, Arc<KnownSlice>) {
        let slice = &stored.slice;
        let known = self.assess(stored);
        let links: Vec<LinkSpec> = known.link_specs().collect();
        let needs =
            if links.is_empty() { Vec::new() } else { vec![Fact::Links(slice.name.clone())] };
        self.status.expect(&ObjectKey::Slice(slice.name.clone()), &slice.version, None, needs);
        let spec = SliceSpec {
            name: slice.name.clone(),
            ordinal: stored.ordinal,
            switches: known.topology.gateways.iter().map(GatewayKey::datapath_id).collect(),
            links,
            avoid_transit: BTreeSet::new(),
            is_measured: slice.measurement.is_some(),
        };
        self.fabric.put_slice(spec).await;
        (self.slices.insert(&slice.name, known.clone()), known)
    }

    /// A slice, and what of it works now.
    fn assess(&self, stored: &StoredSlice) -> Arc<KnownSlice> {
        let topology = stored.topology_in_use();
        let (failures, doubts) = (self.health.failures(&topology), self.health.doubts(&topology));
        let former = self.slices.get(&stored.slice.name);
        let is_joining = |link: &&GatewayLink| {
            let is_new = former.as_ref().is_some_and(|former| former.is_without(link));
            is_new && doubts.concern_link(link)
        };
        let joining = topology.links.iter().filter(is_joining).cloned().collect();
        let wanted = Topology::from(&stored.slice);
        let lost = topology.links.iter().filter(|link| !wanted.links.contains(link));
        let lost = lost.cloned().collect();
        let ways_of = |topology: &Topology| {
            Ways::new(
                topology,
                |gateway| failures.spares_gateway(gateway),
                |a, b| failures.spares_link(a, b),
            )
        };
        Arc::new(KnownSlice {
            version: stored.topology_version,
            measurement: stored.slice.measurement.clone(),
            is_left: !stored.leaving.is_empty(),
            ways: ways_of(&wanted),
            ways_in_use: ways_of(&topology),
            failures,
            doubts,
            joining,
            lost,
            topology,
        })
    }

    /// The slice of a network, with at least the topology that it had when the network was read.
    pub(super) async fn slice_of(
        &self,
        stored: &StoredNetwork,
    ) -> Result<Option<Arc<KnownSlice>>, ReconcileError> {
        let name = &stored.network.key.slice;
        let known = self.slices.get(name);
        if let Some(known) = known.filter(|known| known.version >= stored.topology_version) {
            return Ok(Some(known));
        }
        let slice = self.store.slice(name).await?;
        Ok(slice.map(|slice| self.assess(&slice)))
    }

    async fn make_slice(&self, stored: &StoredSlice) -> Result<Option<Problem>, ReconcileError> {
        let name = &stored.slice.name;
        let (former, known) = self.admit_slice(stored).await;
        let tunnels_changed = former.as_ref().is_none_or(|former| {
            (&former.topology, &former.measurement) != (&known.topology, &known.measurement)
        });
        if tunnels_changed {
            // The tunnels, and what is measured of them, are the gateways'.
            let own = known.topology.gateways.iter();
            let lost = former.iter().flat_map(|former| &former.topology.gateways);
            for gateway in own.chain(lost) {
                self.queues.wake(Key::Gateway(gateway.clone()));
            }
        }
        let ways_changed = former.is_none_or(|former| {
            (former.version, &former.failures) != (known.version, &known.failures)
        });
        if ways_changed {
            // How a network crosses clusters is the network's.
            let networks = self.store.networks_of(name).await.inspect_err(|_| {
                // Or the next attempt would see no change.
                self.slices.remove(name);
            })?;
            for network in networks {
                self.queues.wake(Key::Network(network));
            }
        }
        if known.doubts.is_empty() {
            let waiting = self.waiting.all().into_iter().filter(|(key, _)| key.slice == *name);
            waiting.for_each(|(key, _)| self.queues.wake(Key::Network(key)));
        }
        self.forget_leaving(name, &known).await?;
        Ok(None)
    }

    /// Has the switches and agents lose what a slice has lost, once no network goes by it.
    pub(super) async fn forget_leaving(
        &self,
        name: &Name,
        known: &KnownSlice,
    ) -> Result<(), ReconcileError> {
        if known.is_left && self.store.forget_leaving(name).await? {
            self.queues.wake(Key::Slice(name.clone()));
        }
        Ok(())
    }

    async fn remove_slice(&self, stored: &StoredSlice) -> Result<Option<Problem>, ReconcileError> {
        let name = &stored.slice.name;
        self.expect_slice_gone(stored);
        // Before the engine forgets its links: that is no failure which concerns it.
        self.slices.remove(name);
        self.fabric.remove_slice(name.clone()).await;
        let unconfirmed = self.gateways_with_old_tunnels(stored).await?;
        if let Some(gateway) = unconfirmed.first() {
            let message = format!("gateway {gateway} has not confirmed that its tunnels are gone");
            // These only: each wakes the slice when it is done, and must not be woken for that.
            for gateway in unconfirmed {
                self.queues.wake(Key::Gateway(gateway.clone()));
            }
            return Ok(Some(Problem::new("Deleting", message)));
        }
        if self.store.forget_slice(name).await? {
            self.forget_slice(name);
            if stored.slice.measurement.is_some() {
                // Of tunnels that other slices have as well, less is measured now.
                let gateways = stored.slice.gateways.iter().cloned();
                gateways.for_each(|gateway| self.queues.wake(Key::Gateway(gateway)));
            }
        } else {
            // It was wanted again meanwhile.
            self.queues.wake(Key::Slice(name.clone()));
        }
        Ok(None)
    }

    /// Tells the watchers that a slice is on its way out.
    pub(super) fn expect_slice_gone(&self, stored: &StoredSlice) {
        let object = ObjectKey::Slice(stored.slice.name.clone());
        self.status.expect_gone(&object, &stored.slice.version, None);
    }

    /// The gateways of a slice on its way out that have not confirmed to have just the tunnels that
    /// the other slices want.
    async fn gateways_with_old_tunnels<'slice>(
        &self,
        stored: &'slice StoredSlice,
    ) -> Result<Vec<&'slice GatewayKey>, ReconcileError> {
        let mut unconfirmed = Vec::new();
        for gateway in stored.gateways_in_use() {
            let wanted = self.store.gateway_links(gateway).await?.peers;
            if self.gateways.get(gateway).is_none_or(|applied| applied.peers != wanted) {
                unconfirmed.push(gateway);
            }
        }
        Ok(unconfirmed)
    }

    fn forget_slice(&self, name: &Name) {
        self.slices.remove(name);
        self.status.remove(&ObjectKey::Slice(name.clone()));
    }
}
