use std::collections::BTreeMap;

use l2sces_model::Name;
use l2sces_proto::{fabric::v1 as fabric, sco::v1 as sco};
use l2sces_trace::TraceContext;

use super::{
    Failure, Worker, finding,
    parts::{Wanted, obsolete},
};
use crate::{
    domain::{Cluster, Driver, Key, Node, Slice, SliceCluster, SliceDetail, Stored},
    downstream::{
        ClusterBody, ClusterClient, GatewayPlace, ObjectKey, Remote, ScoBody, ScoClient, SlicePart,
        Target, Trouble, Version,
    },
    places,
    store::Placement,
};

impl Worker {
    pub(super) async fn slice(&self, key: &Key, name: &Name) -> Result<(), Failure> {
        let Some(slice) = self.store.get::<Slice>(key).await? else { return Ok(()) };
        TraceContext::link_current(slice.meta.origin);
        let known = self.store.placements(slice.meta.uid).await?;
        if slice.meta.is_deleting() {
            return self.remove_slice(&slice, name, known.into_iter().collect()).await;
        }
        let clusters = self.clusters_of(&slice).await?;
        let wanted = places::of_slice(&slice);
        self.remember(slice.meta.uid, &known, &wanted).await?;
        let obsolete = obsolete(&known, &wanted);

        let within = slice.spec.clusters.iter().filter_map(|part| {
            let cluster = clusters.get(&part.cluster)?;
            let remote = self.remotes.cluster(&part.cluster, &cluster.spec.driver);
            Some(within(name, &slice, part, &clusters, cluster, remote))
        });
        let between = between(name, &slice, &clusters, self.remotes.sco().clone());
        let (within, between) =
            tokio::join!(self.apply(within.collect()), self.apply(vec![between]));
        let mut parts = between;
        parts.extend(within);

        let sent = finding::any_sent(&parts);
        if concerns_networks(&slice, sent) || !obsolete.is_empty() {
            self.signals.wake(self.store.networks_of_slice(name).await?);
        }
        // Nodes that it has let go of can be removed.
        if sent || !obsolete.is_empty() {
            let clusters = slice.spec.clusters.iter().map(|part| part.cluster.clone());
            self.signals.wake(clusters.map(Key::Cluster));
        }
        parts.extend(self.clear(slice.meta.uid, obsolete).await?);
        self.report(&slice, finding::of_parts(&parts), SliceDetail {}).await?;
        finding::refusal(&parts).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }

    async fn remove_slice(
        &self,
        slice: &Stored<Slice>,
        name: &Name,
        places: Vec<Placement>,
    ) -> Result<(), Failure> {
        let networks = self.store.networks_of_slice(name).await?;
        if let Some(first) = networks.first() {
            let message = match networks.len() {
                1 => format!("waits for {first} to be gone"),
                count => format!("waits for {first} and {} more to be gone", count - 1),
            };
            return self.report(slice, Some(finding::deleting(message)), SliceDetail {}).await;
        }
        let left = self.clear(slice.meta.uid, places).await?;
        if left.is_empty() {
            return self.remove(&slice.meta, None).await;
        }
        self.report(slice, finding::of_removal(&left), SliceDetail {}).await?;
        finding::refusal(&left).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }

    async fn clusters_of(
        &self,
        slice: &Stored<Slice>,
    ) -> Result<BTreeMap<Name, Stored<Cluster>>, Failure> {
        let names = slice.spec.clusters.iter().map(|part| part.cluster.clone());
        let keys: Vec<Key> = names.map(Key::Cluster).collect();
        let found = self.store.get_any(&keys).await?;
        let mut clusters = BTreeMap::new();
        for key in keys {
            // A cluster that a slice names cannot be deleted.
            let cluster = found.get(&key)?.ok_or_else(|| Failure::Missing(key.clone()))?;
            clusters.insert(key.name().clone(), cluster);
        }
        Ok(clusters)
    }
}

/// Whether networks have to be looked at. They wait for their slice, and a slice leaves a cluster
/// after its networks; but a slice whose nodes, links or costs change costs its networks nothing,
/// however many they are. One that has been sent though it has not changed was lost by a service,
/// perhaps with its networks.
fn concerns_networks(slice: &Stored<Slice>, sent: bool) -> bool {
    if slice.has_changed() { slice.spec.clusters_generation == slice.meta.generation } else { sent }
}

/// Version of an object that follows from a slice and from clusters of it. While the slice's
/// generation stays, so do its clusters, whose generations only grow; so the pair never shrinks.
fn version<'a>(
    slice: &Stored<Slice>,
    clusters: impl IntoIterator<Item = &'a Stored<Cluster>>,
) -> Version {
    let of_clusters: i64 = clusters.into_iter().map(|cluster| cluster.meta.generation).sum();
    Version { uid: slice.meta.uid, generation: slice.meta.generation << 32 | of_clusters }
}

fn within(
    name: &Name,
    slice: &Stored<Slice>,
    part: &SliceCluster,
    clusters: &BTreeMap<Name, Stored<Cluster>>,
    cluster: &Stored<Cluster>,
    remote: Result<Remote<ClusterClient>, Trouble>,
) -> Wanted<ClusterClient> {
    // A custom resource says where the gateways of other clusters are; a controller need not know.
    let is_kubernetes = matches!(cluster.spec.driver, Driver::Kubernetes(_));
    let version =
        if is_kubernetes { version(slice, clusters.values()) } else { version(slice, [cluster]) };
    let members = part.members(&cluster.spec);
    let avoided = part.avoids_transit(&cluster.spec).into_iter();
    let links = part.links.iter();
    let is_neighbor = |other: &&SliceCluster| {
        other.cluster != part.cluster && slice.spec.joins(&part.cluster, &other.cluster)
    };
    let neighbors = slice.spec.clusters.iter().filter(is_neighbor);
    let nodes = members.iter().map(|node| ObjectKey::Node(node.name.clone()));
    let needs = if is_kubernetes { Vec::new() } else { nodes.collect() };
    Wanted {
        place: Target::Cluster(part.cluster.clone()).describe(),
        remote,
        key: ObjectKey::Slice(name.clone()),
        body: ClusterBody::Slice(Box::new(SlicePart {
            within: fabric::Slice {
                name: name.to_string(),
                version: Some((&version).into()),
                nodes: members.iter().map(|node| node.name.to_string()).collect(),
                links: links
                    .map(|link| fabric::NodeLink {
                        node_a: link.a.to_string(),
                        node_b: link.b.to_string(),
                        cost: link.cost.into(),
                    })
                    .collect(),
                avoid_transit: avoided.map(|node| node.name.to_string()).collect(),
                measurement: slice.spec.measurement.as_ref().map(Into::into),
            },
            gateways: gateway_places(part, clusters),
            neighbors: neighbors.flat_map(|other| gateway_places(other, clusters)).collect(),
        })),
        version,
        needs,
    }
}

/// The gateways of a cluster in a slice.
fn gateway_places(
    part: &SliceCluster,
    clusters: &BTreeMap<Name, Stored<Cluster>>,
) -> Vec<GatewayPlace> {
    let members = clusters.get(&part.cluster).map(|cluster| part.members(&cluster.spec));
    let place = |node: &Node| {
        node.gateway.as_ref().map(|gateway| GatewayPlace {
            cluster: part.cluster.to_string(),
            node: node.name.to_string(),
            address: gateway.underlay.to_string(),
        })
    };
    members.into_iter().flatten().filter_map(place).collect()
}

fn between(
    name: &Name,
    slice: &Stored<Slice>,
    clusters: &BTreeMap<Name, Stored<Cluster>>,
    remote: Remote<ScoClient>,
) -> Wanted<ScoClient> {
    let version = version(slice, clusters.values());
    let parts = slice.spec.clusters.iter();
    let gateways: Vec<(&Name, &Name)> = parts
        .filter_map(|part| Some((part, clusters.get(&part.cluster)?)))
        .flat_map(|(part, cluster)| {
            let members = part.members(&cluster.spec).into_iter();
            members.filter(|node| node.gateway.is_some()).map(|node| (&part.cluster, &node.name))
        })
        .collect();
    let key = |&(cluster, node): &(&Name, &Name)| sco::GatewayKey {
        cluster: cluster.to_string(),
        node: node.to_string(),
    };
    let need = |&(cluster, node): &(&Name, &Name)| ObjectKey::Gateway {
        cluster: cluster.clone(),
        node: node.clone(),
    };
    let links = slice.spec.links.iter();
    let gateway = |name: &Option<Name>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    Wanted {
        place: Target::Sco.describe(),
        remote: Ok(remote),
        key: ObjectKey::Slice(name.clone()),
        body: ScoBody::Slice(sco::Slice {
            name: name.to_string(),
            version: Some((&version).into()),
            clusters: slice.spec.clusters.iter().map(|part| part.cluster.to_string()).collect(),
            gateways: gateways.iter().map(key).collect(),
            links: links
                .map(|link| sco::ClusterLink {
                    cluster_a: link.a.to_string(),
                    cluster_b: link.b.to_string(),
                    gateway_a: gateway(&link.gateway_a),
                    gateway_b: gateway(&link.gateway_b),
                    cost: link.cost.into(),
                })
                .collect(),
            measurement: slice.spec.measurement.as_ref().map(Into::into),
        }),
        version,
        needs: gateways.iter().map(need).collect(),
    }
}
