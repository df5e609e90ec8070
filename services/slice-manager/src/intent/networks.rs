use std::collections::BTreeMap;

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

    /// Replaces the specification of a network, of which only the clusters can change: without `force`
    /// it loses none in which it has pods.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn update_network(
        &self,
        described: Described<NetworkSpec>,
        force: bool,
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
        check_ports(transaction, &key, &spec, &slice.spec, force).await?;
        let (had, keeps) = (before.spec.spanned(&slice.spec), spec.spanned(&slice.spec));
        if !force && let Some(pods) = pods_lost(&before, &had, &keeps) {
            let reason = format!("has {pods}: delete them first, or use force");
            return Err(Refusal::in_use(&key, reason));
        }
        let stored = transaction.replace::<Network>(&before.meta, &spec).await?;
        transaction.place(stored.meta.uid, &places::of_network(&stored, &slice.spec)).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the deletion of a network: without `force` only of one that has no ports, or only
    /// such that are being deleted, and no pods as far as its clusters have told.
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
            let ports = transaction.count_lasting_children(scope).await?;
            if let Some(reason) = reason_to_keep(ports, &stored.status.detail.pods) {
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

/// Whether every port is still in a cluster that the network spans. With `force` those that are being
/// deleted need none.
async fn check_ports(
    transaction: &mut Transaction,
    key: &Key,
    spec: &NetworkSpec,
    slice: &SliceSpec,
    force: bool,
) -> Result<(), Refusal> {
    let scope = Scope { slice: key.slice(), network: key.name().as_str() };
    let spanned: Vec<&str> = spec.spanned(slice).into_iter().map(Name::as_str).collect();
    for place in transaction.port_places(scope, "").await? {
        let is_needed = place.lasts || !force;
        if is_needed && !spanned.contains(&place.cluster.as_str()) {
            let reason = format!("has port {} in cluster '{}'", place.example, place.cluster);
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}

/// Why a network with this many ports, and these pods in clusters, is not deleted without force; nothing:
/// it has neither.
fn reason_to_keep(ports: i64, pods: &BTreeMap<Name, u32>) -> Option<String> {
    match (ports, described(pods)) {
        (0, None) => None,
        (ports, None) => Some(format!("has {ports} ports: detach them first, or use force")),
        (0, Some(pods)) => Some(format!("has {pods}: delete them first, or use force")),
        (ports, Some(pods)) => {
            Some(format!("has {ports} ports, and {pods}: remove them first, or use force"))
        }
    }
}

/// The pods, for people, that a network has in clusters that it spans and is not to span any more;
/// nothing: none, as far as those have told.
pub(super) fn pods_lost(
    network: &Stored<Network>,
    had: &[&Name],
    keeps: &[&Name],
) -> Option<String> {
    let pods = network.status.detail.pods.iter();
    described(pods.filter(|(cluster, _)| had.contains(cluster) && !keeps.contains(cluster)))
}

/// Pods in clusters, for people, such as "3 pods in cluster 'a'"; nothing: there are none.
fn described<'a>(pods: impl IntoIterator<Item = (&'a Name, &'a u32)>) -> Option<String> {
    let mut pods = pods.into_iter();
    let (cluster, attached) = pods.next()?;
    let first = format!("{attached} pods in cluster '{cluster}'");
    Some(match pods.count() {
        0 => first,
        others => format!("{first} (and in {others} more)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_kept_by_ports_and_by_pods() {
        let kept = |ports, pods: &[(&str, u32)]| {
            let pods = pods.iter().map(|(cluster, pods)| (cluster.parse().unwrap(), *pods));
            reason_to_keep(ports, &pods.collect())
        };
        let reason = |reason: &str| Some(reason.to_owned());
        assert_eq!(kept(0, &[]), None);
        assert_eq!(kept(2, &[]), reason("has 2 ports: detach them first, or use force"));
        assert_eq!(
            kept(0, &[("a", 3)]),
            reason("has 3 pods in cluster 'a': delete them first, or use force")
        );
        assert_eq!(
            kept(2, &[("a", 3), ("b", 1), ("c", 4)]),
            reason(
                "has 2 ports, and 3 pods in cluster 'a' (and in 2 more): remove them first, or use \
                 force"
            )
        );
    }
}
