use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::Name;

use super::{
    Intents, Options, Refusal,
    networks::pods_lost,
    write::{Begun, check_etag, check_lasting, found},
};
use crate::{
    domain::{Cluster, ClusterSpec, Key, Slice, SliceSpec, Stored},
    places,
    signals::Changed,
    store::{Lock, Scope, Transaction},
    validate::{self, Described},
};

impl Intents {
    /// Creates a slice.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn create_slice(
        &self,
        described: Described<SliceSpec>,
        options: Options,
    ) -> Result<Stored<Slice>, Refusal> {
        let Described { key, mut spec, managed_by, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        spec.number_clusters(None, 1);
        let transaction = &mut write.transaction;
        check_references(transaction, &spec).await?;
        let inserted = transaction.insert::<Slice>(&key, None, &managed_by, &spec).await;
        let stored = inserted.map_err(|error| Refusal::of_insert(&key, error))?;
        transaction.place(stored.meta.uid, &places::of_slice(&stored)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Replaces the specification of a slice: without `force` it loses no cluster in which its networks
    /// have pods.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn update_slice(
        &self,
        described: Described<SliceSpec>,
        force: bool,
        options: Options,
    ) -> Result<Stored<Slice>, Refusal> {
        let Described { key, mut spec, etag, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let before = found(transaction.lock::<Slice>(&key, Lock::Exclusive).await?, &key)?;
        check_etag(&before.meta, &etag)?;
        check_lasting(&before.meta)?;
        let clusters = check_references(transaction, &spec).await?;
        spec.number_clusters(Some(&before.spec), before.meta.generation + 1);
        if spec == before.spec {
            return write.finish(before, &[]).await;
        }
        check_networks(transaction, &before, &spec, force).await?;
        check_ports(transaction, &key, &spec, &clusters, force).await?;
        let stored = transaction.replace::<Slice>(&before.meta, &spec).await?;
        transaction.place(stored.meta.uid, &places::of_slice(&stored)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the deletion of a slice: without `force` only of one that has no networks, or only
    /// such that are being deleted.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn delete_slice(
        &self,
        key: &Key,
        etag: &str,
        force: bool,
        options: Options,
    ) -> Result<Stored<Slice>, Refusal> {
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let stored = found(transaction.lock::<Slice>(key, Lock::Exclusive).await?, key)?;
        check_etag(&stored.meta, etag)?;
        if stored.meta.is_deleting() {
            return write.finish(stored, &[]).await;
        }
        let scope = Scope { slice: key.name().as_str(), network: "" };
        let mut changed = Vec::new();
        if force {
            changed.extend(
                transaction.mark_children_deleting(scope).await?.into_iter().map(Changed::from),
            );
        } else {
            let count = transaction.count_lasting_children(scope).await?;
            if count > 0 {
                let reason = format!("has {count} networks: delete them first, or use force");
                return Err(Refusal::in_use(key, reason));
            }
        }
        let stored = transaction.mark_deleting(&stored.meta).await?;
        changed.push(Changed::from(&stored.meta));
        write.finish(stored, &changed).await
    }
}

/// The clusters of a slice, locked so that none of them, nor a node of them, goes meanwhile.
async fn check_references(
    transaction: &mut Transaction,
    spec: &SliceSpec,
) -> Result<BTreeMap<Name, ClusterSpec>, Refusal> {
    let keys: Vec<Key> =
        spec.clusters.iter().map(|part| Key::Cluster(part.cluster.clone())).collect();
    let found = transaction.lock_any(&keys, Lock::Shared).await?;
    let mut clusters = BTreeMap::new();
    let mut deleting = None;
    for key in &keys {
        let Some(cluster) = found.get::<Cluster>(key)? else { continue };
        if cluster.meta.is_deleting() {
            deleting = Some(cluster.meta.key.clone());
        }
        clusters.insert(key.name().clone(), cluster.spec);
    }
    validate::slice_references(spec, &clusters)?;
    match deleting {
        Some(key) => Err(Refusal::Deleting(key)),
        None => Ok(clusters),
    }
}

async fn check_networks(
    transaction: &mut Transaction,
    before: &Stored<Slice>,
    spec: &SliceSpec,
    force: bool,
) -> Result<(), Refusal> {
    let key = &before.meta.key;
    for network in transaction.networks_of(key.name()).await? {
        if let Some(gone) = network.spec.clusters.iter().find(|name| spec.cluster(name).is_none()) {
            let reason = format!("has {}, which names cluster '{gone}'", network.meta.key);
            return Err(Refusal::in_use(key, reason));
        }
        // Whoever deletes a network has decided about its pods.
        if force || network.meta.is_deleting() {
            continue;
        }
        let (had, keeps) = (network.spec.spanned(&before.spec), network.spec.spanned(spec));
        if let Some(pods) = pods_lost(&network, &had, &keeps) {
            let network = &network.meta.key;
            let reason =
                format!("has {network}, which has {pods}: delete them first, or use force");
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}

/// Whether every port still has its node. With `force` those that are being deleted need none: they may
/// wait for a cluster that never comes back.
async fn check_ports(
    transaction: &mut Transaction,
    key: &Key,
    spec: &SliceSpec,
    clusters: &BTreeMap<Name, ClusterSpec>,
    force: bool,
) -> Result<(), Refusal> {
    let parts = spec.clusters.iter().filter_map(|part| Some((part, clusters.get(&part.cluster)?)));
    let members: BTreeSet<(&str, &str)> = parts
        .flat_map(|(part, cluster)| {
            let members = part.members(cluster).into_iter();
            members.map(|node| (part.cluster.as_str(), node.name.as_str()))
        })
        .collect();
    let scope = Scope { slice: key.name().as_str(), network: "" };
    for place in transaction.port_places(scope, "").await? {
        let is_needed = place.lasts || !force;
        if is_needed && !members.contains(&(place.cluster.as_str(), place.node.as_str())) {
            let (node, cluster) = (place.node, place.cluster);
            let reason =
                format!("has port {} on node '{node}' of cluster '{cluster}'", place.example);
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}
