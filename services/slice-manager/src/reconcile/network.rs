use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::Name;
use l2sces_proto::{fabric::v1 as fabric, sco::v1 as sco};
use l2sces_reconcile::Outcome;
use l2sces_trace::TraceContext;

use super::{
    Failure, Worker,
    finding::{self, Part},
    parts::{Wanted, obsolete},
};
use crate::{
    domain::{Key, Kind, Network, NetworkDetail, Slice, Stored},
    downstream::{
        ClusterBody, ClusterClient, Given, ObjectKey, ScoBody, ScoClient, Target, Version,
    },
    places,
    store::{Placement, Scope},
};

impl Worker {
    pub(super) async fn network(
        &self,
        key: &Key,
        slice_name: &Name,
        name: &Name,
    ) -> Result<Outcome, Failure> {
        let slice_key = Key::Slice(slice_name.clone());
        let found = self.store.get_any(&[key.clone(), slice_key.clone()]).await?;
        let Some(network) = found.get::<Network>(key)? else { return Ok(Outcome::Done) };
        TraceContext::link_current(network.meta.origin);
        let known = self.store.placements(network.meta.uid).await?;
        if network.meta.is_deleting() {
            self.remove_network(&network, slice_key, known).await?;
            return Ok(Outcome::Done);
        }
        // A slice that has a network cannot go.
        let slice = found.get::<Slice>(&slice_key)?.ok_or(Failure::Missing(slice_key))?;
        let wanted = places::of_network(&network, &slice.spec);
        self.remember(network.meta.uid, &known, &wanted).await?;
        let obsolete = obsolete(&known, &wanted);

        let mut parts = self.apply(vec![self.between(slice_name, name, &network, &slice)]).await;
        let mut detail = network.status.detail.clone();
        if let Some((vni, mtu)) = identity(&parts) {
            (detail.vni, detail.mtu) = (vni, mtu);
        }
        if detail.vni != 0 {
            let clusters = network.spec.spanned(&slice.spec);
            let mut within = Vec::new();
            for &cluster in &clusters {
                within.push(self.within(slice_name, name, &network, &detail, cluster).await?);
            }
            let within = self.apply(within).await;
            detail.pods = pods(&clusters, &within, &detail.pods);
            parts.extend(within);
        }
        // Ports wait for their network.
        if finding::any_sent(&parts) {
            self.signals.wake(self.store.unsettled_ports(slice_name, name).await?);
        }
        if !obsolete.is_empty() {
            parts.extend(self.clear(network.meta.uid, obsolete).await?);
            // The slice may wait to leave the cluster.
            self.signals.wake([Key::Slice(slice_name.clone())]);
        }
        self.report_unless_on_its_way(&network, &parts, detail).await
    }

    /// Ports go first, then the network in its clusters, then its identity: so nobody else is given
    /// the identity while anything of the network is left.
    async fn remove_network(
        &self,
        network: &Stored<Network>,
        slice: Key,
        places: BTreeSet<Placement>,
    ) -> Result<(), Failure> {
        let detail = network.status.detail.clone();
        let key = &network.meta.key;
        let scope = Scope { slice: key.slice(), network: key.name().as_str() };
        let ports = self.store.count(Kind::Port, scope).await?;
        if ports > 0 {
            let message = format!("waits for {ports} ports to be gone");
            return self.report(network, Some(finding::deleting(message)), detail).await;
        }
        let sco = Target::Sco.to_string();
        let (between, within): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| place.target == sco);
        let mut left = self.clear(network.meta.uid, within).await?;
        if left.is_empty() {
            left = self.clear(network.meta.uid, between).await?;
        }
        if left.is_empty() {
            return self.remove(&network.meta, Some(slice)).await;
        }
        self.report(network, finding::of_removal(&left), detail).await?;
        finding::refusal(&left).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }

    fn between(
        &self,
        slice_name: &Name,
        name: &Name,
        network: &Stored<Network>,
        slice: &Stored<Slice>,
    ) -> Wanted<ScoClient> {
        // The clusters may be all of the slice, whatever those are. Other changes of the slice are
        // none of the network, lest each cost a call for every network: see `slice::version`.
        let generation = network.meta.generation << 32 | slice.spec.clusters_generation;
        let version = Version { uid: network.meta.uid, generation };
        let clusters = network.spec.spanned(&slice.spec).into_iter();
        Wanted {
            place: Target::Sco.describe(),
            remote: Ok(self.remotes.sco().clone()),
            key: ObjectKey::Network { slice: slice_name.clone(), name: name.clone() },
            body: ScoBody::Network(sco::Network {
                key: Some(sco::NetworkKey {
                    slice: slice_name.to_string(),
                    name: name.to_string(),
                }),
                version: Some((&version).into()),
                clusters: clusters.map(ToString::to_string).collect(),
                cidr: cidr(network),
            }),
            version,
            needs: vec![ObjectKey::Slice(slice_name.clone())],
        }
    }

    async fn within(
        &self,
        slice_name: &Name,
        name: &Name,
        network: &Stored<Network>,
        detail: &NetworkDetail,
        cluster: &Name,
    ) -> Result<Wanted<ClusterClient>, Failure> {
        let remote = self.carrier(cluster).await?;
        let remote = remote.ok_or_else(|| Failure::Missing(Key::Cluster(cluster.clone())))?;
        // Nothing of this object can ever change.
        let version = Version { uid: network.meta.uid, generation: 1 };
        Ok(Wanted {
            place: Target::Cluster(cluster.clone()).describe(),
            remote,
            key: ObjectKey::Network { slice: slice_name.clone(), name: name.clone() },
            body: ClusterBody::Network(fabric::Network {
                slice: slice_name.to_string(),
                name: name.to_string(),
                version: Some((&version).into()),
                vni: detail.vni,
                cidr: cidr(network),
                mtu: detail.mtu,
            }),
            version,
            needs: vec![ObjectKey::Slice(slice_name.clone())],
        })
    }
}

fn cidr(network: &Stored<Network>) -> String {
    network.spec.cidr.map(|cidr| cidr.to_string()).unwrap_or_default()
}

/// What the sco-provider has given the network: VNI and MTU.
fn identity(parts: &[Part]) -> Option<(u32, u32)> {
    parts.iter().find_map(|part| match &part.result {
        Ok(applied) => match applied.state.given {
            Given::Network { vni, mtu } => Some((vni, mtu)),
            Given::Nothing | Given::Port { .. } | Given::Pods { .. } => None,
        },
        Err(_) => None,
    })
}

/// How many pods the network has in each of its clusters, of which these are the parts. One that does
/// not tell now, since it is away, has those that it told of last.
fn pods(clusters: &[&Name], parts: &[Part], before: &BTreeMap<Name, u32>) -> BTreeMap<Name, u32> {
    let told = |part: &Part| match &part.result {
        Ok(applied) => match applied.state.given {
            Given::Pods { attached } => Some(attached),
            Given::Nothing | Given::Network { .. } | Given::Port { .. } => None,
        },
        Err(_) => None,
    };
    let counted = clusters.iter().zip(parts).filter_map(|(&cluster, part)| {
        let attached = told(part).or_else(|| before.get(cluster).copied())?;
        (attached > 0).then(|| (cluster.clone(), attached))
    });
    counted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::{Applied, ObjectState, Trouble};

    fn part(result: Result<Given, Trouble>) -> Part {
        let applied = |given| Applied {
            state: ObjectState {
                uid: String::new(),
                generation: 1,
                ready: true,
                reason: String::new(),
                message: String::new(),
                given,
            },
            sent: false,
        };
        Part { place: String::new(), result: result.map(applied) }
    }

    fn counts(counts: &[(&str, u32)]) -> BTreeMap<Name, u32> {
        counts.iter().map(|(cluster, count)| (cluster.parse().unwrap(), *count)).collect()
    }

    #[test]
    fn pods_are_those_that_the_clusters_of_the_network_told_of_last() {
        let names = ["a", "b", "c", "d", "e"].map(|name| name.parse::<Name>().unwrap());
        let clusters: Vec<&Name> = names.iter().collect();
        let parts = [
            part(Ok(Given::Pods { attached: 2 })),
            part(Ok(Given::Pods { attached: 0 })),
            part(Err(Trouble::Connecting)),
            part(Err(Trouble::Waiting("for its slice".to_owned()))),
            part(Ok(Given::Nothing)),
        ];
        let before = counts(&[("a", 1), ("b", 4), ("c", 5), ("gone", 6)]);
        let now = pods(&clusters, &parts, &before);
        assert_eq!(now, counts(&[("a", 2), ("c", 5)]));
        assert_eq!(pods(&clusters[1..2], &parts[1..2], &now), counts(&[]));
    }
}
