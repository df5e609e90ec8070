use l2sces_custom_resources::{LABEL_ATTACHED, NETWORKS_ANNOTATION};

use super::{
    Intents, Options, Refusal,
    write::{Begun, check_etag, check_lasting, found},
};
use crate::{
    domain::{Cluster, Driver, Key, Network, Port, PortSpec, Slice, Stored},
    places,
    signals::Changed,
    store::Lock,
    validate::{self, Described},
};

impl Intents {
    /// Attaches a port to a network.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn attach_port(
        &self,
        described: Described<PortSpec>,
        options: Options,
    ) -> Result<Stored<Port>, Refusal> {
        let Described { key, spec, managed_by, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let missing = || Refusal::NotFound(key.clone());
        let slice_key = places::slice_of(&key).ok_or_else(missing)?;
        let network_key = places::network_of(&key).ok_or_else(missing)?;
        let cluster_key = Key::Cluster(spec.cluster.clone());
        let parents = [slice_key.clone(), network_key.clone(), cluster_key.clone()];
        let parents = transaction.lock_any(&parents, Lock::Shared).await?;
        let slice = found(parents.get::<Slice>(&slice_key)?, &slice_key)?;
        let network = found(parents.get::<Network>(&network_key)?, &network_key)?;
        let cluster = parents.get::<Cluster>(&cluster_key)?;
        let cluster = cluster.as_ref().map(|cluster| &cluster.spec);
        validate::port_references(&spec, &slice.spec, &network.spec, cluster)?;
        if cluster.is_some_and(|cluster| matches!(cluster.driver, Driver::Kubernetes(_))) {
            let reason = format!(
                "is a Kubernetes cluster: label a pod '{LABEL_ATTACHED}: \"true\"' and name the \
                 network in its annotation {NETWORKS_ANNOTATION}"
            );
            return Err(Refusal::in_use(&cluster_key, reason));
        }
        check_lasting(&slice.meta)?;
        check_lasting(&network.meta)?;
        let inserted =
            transaction.insert::<Port>(&key, Some(network.meta.uid), &managed_by, &spec).await;
        let stored = inserted.map_err(|error| Refusal::of_insert(&key, error))?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the removal of a port.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn detach_port(
        &self,
        key: &Key,
        etag: &str,
        options: Options,
    ) -> Result<Stored<Port>, Refusal> {
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let stored = found(transaction.lock::<Port>(key, Lock::Exclusive).await?, key)?;
        check_etag(&stored.meta, etag)?;
        if stored.meta.is_deleting() {
            return write.finish(stored, &[]).await;
        }
        let stored = transaction.mark_deleting(&stored.meta).await?;
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }
}
