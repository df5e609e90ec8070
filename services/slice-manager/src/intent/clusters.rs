use std::collections::BTreeSet;

use super::{
    Intents, Options, Refusal,
    write::{Begun, check_etag, check_lasting, found},
};
use crate::{
    domain::{Cluster, ClusterSpec, Key, Stored},
    places,
    signals::Changed,
    store::{Lock, Scope, Transaction},
    validate::{self, Described},
};

impl Intents {
    /// Creates a cluster.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn create_cluster(
        &self,
        described: Described<ClusterSpec>,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let Described { key, mut spec, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        spec.number_nodes(None, 1);
        let inserted = write.transaction.insert::<Cluster>(&key, None, &spec).await;
        let stored = inserted.map_err(|error| Refusal::of_insert(&key, error))?;
        write.transaction.place(stored.meta.uid, &places::of_cluster(&stored)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Replaces the specification of a cluster. With `force`, nodes that it loses are given up
    /// without waiting for them, those that it has lost before included.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn update_cluster(
        &self,
        described: Described<ClusterSpec>,
        force: bool,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let Described { key, mut spec, etag } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let before = found(transaction.lock::<Cluster>(&key, Lock::Exclusive).await?, &key)?;
        check_etag(&before.meta, &etag)?;
        check_lasting(&before.meta)?;
        spec.number_nodes(Some(&before.spec), before.meta.generation + 1);
        if spec == before.spec {
            if !force {
                return write.finish(before, &[]).await;
            }
            transaction.force_all_but(before.meta.uid, &places::of_cluster(&before)).await?;
            return write.finish(before, &[key.into()]).await;
        }
        check_slices(transaction, &key, &spec).await?;
        check_ports(transaction, &key, &spec).await?;
        let stored = transaction.replace::<Cluster>(&before.meta, &spec).await?;
        let places = places::of_cluster(&stored);
        transaction.place(stored.meta.uid, &places).await?;
        if force {
            transaction.force_all_but(stored.meta.uid, &places).await?;
        }
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the deletion of a cluster that no slice has.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn delete_cluster(
        &self,
        key: &Key,
        etag: &str,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let stored = found(transaction.lock::<Cluster>(key, Lock::Exclusive).await?, key)?;
        check_etag(&stored.meta, etag)?;
        if stored.meta.is_deleting() {
            return write.finish(stored, &[]).await;
        }
        if let Some(slice) = transaction.slices_naming(key.name()).await?.first() {
            return Err(Refusal::in_use(key, format!("is used by {}", slice.meta.key)));
        }
        let stored = transaction.mark_deleting(&stored.meta).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }
}

/// Whether every slice of the cluster still finds what it needs. A slice that is about to name
/// something of the cluster holds a lock on it, so none is overlooked.
async fn check_slices(
    transaction: &mut Transaction,
    key: &Key,
    spec: &ClusterSpec,
) -> Result<(), Refusal> {
    for slice in transaction.slices_naming(key.name()).await? {
        validate::cluster_still_serves(&slice.spec, key.name(), spec).map_err(|report| {
            Refusal::in_use(key, format!("would no longer serve {}: {report}", slice.meta.key))
        })?;
    }
    Ok(())
}

async fn check_ports(
    transaction: &mut Transaction,
    key: &Key,
    spec: &ClusterSpec,
) -> Result<(), Refusal> {
    let nodes: BTreeSet<&str> = spec.nodes.iter().map(|node| node.name.as_str()).collect();
    for place in transaction.port_places(Scope::default(), key.name().as_str()).await? {
        if !nodes.contains(place.node.as_str()) {
            let reason = format!("has port {} on node '{}'", place.example, place.node);
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}
