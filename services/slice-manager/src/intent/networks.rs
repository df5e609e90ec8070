use l2sces_model::Name;

use super::{
    Intents, Options, Refusal,
    write::{Begun, check_etag, check_lasting, found},
};
use crate::{
    domain::{Key, Network, NetworkSpec, Slice, SliceSpec, Stored},
    places,
    signals::Changed,
    store::{Lock, Scope, Transaction},
    validate::{self, Described},
};

impl Intents {
    /// Creates a network in a slice.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn create_network(
        &self,
        described: Described<NetworkSpec>,
        options: Options,
    ) -> Result<Stored<Network>, Refusal> {
        let Described { key, spec, managed_by, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let slice = lock_slice(transaction, &key).await?;
        check_lasting(&slice.meta)?;
        validate::network_references(&spec, &slice.spec)?;
        let inserted =
            transaction.insert::<Network>(&key, Some(slice.meta.uid), &managed_by, &spec).await;
        let stored = inserted.map_err(|error| Refusal::of_insert(&key, error))?;
        transaction.place(stored.meta.uid, &places::of_network(&stored, &slice.spec)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Replaces the specification of a network, of which only the clusters can change.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn update_network(
        &self,
        described: Described<NetworkSpec>,
        options: Options,
    ) -> Result<Stored<Network>, Refusal> {
        let Described { key, spec, etag, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let slice = lock_slice(transaction, &key).await?;
        let before = found(transaction.lock::<Network>(&key, Lock::Exclusive).await?, &key)?;
        check_etag(&before.meta, &etag)?;
        validate::network_changes(&before.spec, &spec)?;
        validate::network_references(&spec, &slice.spec)?;
        check_lasting(&before.meta)?;
        if spec == before.spec {
            return write.finish(before, &[]).await;
        }
        check_ports(transaction, &key, &spec, &slice.spec).await?;
        let stored = transaction.replace::<Network>(&before.meta, &spec).await?;
        transaction.place(stored.meta.uid, &places::of_network(&stored, &slice.spec)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the deletion of a network: without `force` only of one that has no ports, or only
    /// such that are being deleted.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn delete_network(
        &self,
        key: &Key,
        etag: &str,
        force: bool,
        options: Options,
    ) -> Result<Stored<Network>, Refusal> {
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let stored = found(transaction.lock::<Network>(key, Lock::Exclusive).await?, key)?;
        check_etag(&stored.meta, etag)?;
        if stored.meta.is_deleting() {
            return write.finish(stored, &[]).await;
        }
        let scope = Scope { slice: key.slice(), network: key.name().as_str() };
        let mut changed = Vec::new();
        if force {
            changed.extend(
                transaction.mark_children_deleting(scope).await?.into_iter().map(Changed::from),
            );
        } else {
            let count = transaction.count_lasting_children(scope).await?;
            if count > 0 {
                let reason = format!("has {count} ports: detach them first, or use force");
                return Err(Refusal::in_use(key, reason));
            }
        }
        let stored = transaction.mark_deleting(&stored.meta).await?;
        changed.push(Changed::from(&stored.meta));
        write.finish(stored, &changed).await
    }
}

/// The slice of a network, locked so that it neither changes nor goes meanwhile.
async fn lock_slice(transaction: &mut Transaction, key: &Key) -> Result<Stored<Slice>, Refusal> {
    let slice = places::slice_of(key).ok_or_else(|| Refusal::NotFound(key.clone()))?;
    found(transaction.lock::<Slice>(&slice, Lock::Shared).await?, &slice)
}

async fn check_ports(
    transaction: &mut Transaction,
    key: &Key,
    spec: &NetworkSpec,
    slice: &SliceSpec,
) -> Result<(), Refusal> {
    let scope = Scope { slice: key.slice(), network: key.name().as_str() };
    let spanned: Vec<&str> = spec.spanned(slice).into_iter().map(Name::as_str).collect();
    for place in transaction.port_places(scope, "").await? {
        if !spanned.contains(&place.cluster.as_str()) {
            let reason = format!("has port {} in cluster '{}'", place.example, place.cluster);
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}
