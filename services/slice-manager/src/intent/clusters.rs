use std::collections::BTreeSet;

use super::{
    Intents, Options, Refusal,
    write::{Begun, check_etag, check_lasting, found},
};
use crate::{
    domain::{Cluster, ClusterSpec, Driver, Key, KubernetesDriver, Stored},
    downstream::Target,
    places,
    signals::Changed,
    store::{Lock, Scope, Transaction},
    validate::{self, ClusterDescription, Described, DriverDescription, Report},
};

impl Intents {
    /// Creates a cluster.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn create_cluster(
        &self,
        described: Described<ClusterDescription>,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let Described { key, spec: ClusterDescription { driver, nodes }, managed_by, .. } =
            described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let mut spec = ClusterSpec { driver: self.seal(&key, driver, None)?, nodes };
        spec.number_nodes(None, 1);
        let inserted = write.transaction.insert::<Cluster>(&key, None, &managed_by, &spec).await;
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
        described: Described<ClusterDescription>,
        force: bool,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let Described { key, spec: ClusterDescription { driver, nodes }, etag, .. } = described;
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let before = found(transaction.lock::<Cluster>(&key, Lock::Exclusive).await?, &key)?;
        check_etag(&before.meta, &etag)?;
        check_lasting(&before.meta)?;
        let driver = self.seal(&key, driver, Some(&before.spec.driver))?;
        let mut spec = ClusterSpec { driver, nodes };
        spec.number_nodes(Some(&before.spec), before.meta.generation + 1);
        if spec == before.spec {
            if !force {
                return write.finish(before, &[]).await;
            }
            transaction.force_all_but(before.meta.uid, &places::of_cluster(&before)).await?;
            return write.finish(before, &[key.into()]).await;
        }
        self.check_namespace(transaction, &before, &spec).await?;
        check_slices(transaction, &key, &spec).await?;
        check_ports(transaction, &key, &spec, force).await?;
        let stored = transaction.replace::<Cluster>(&before.meta, &spec).await?;
        let places = places::of_cluster(&stored);
        transaction.place(stored.meta.uid, &places).await?;
        if force {
            transaction.force_all_but(stored.meta.uid, &places).await?;
        }
        let changed = [Changed::from(&stored.meta)];
        write.finish(stored, &changed).await
    }

    /// Asks for the deletion of a cluster that no slice has; with `force` what is in it is given up, and no
    /// slice that is being deleted keeps it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn delete_cluster(
        &self,
        key: &Key,
        etag: &str,
        force: bool,
        options: Options,
    ) -> Result<Stored<Cluster>, Refusal> {
        let mut write = match self.write(options).await? {
            Begun::Fresh(write) => write,
            Begun::Answered(stored) => return Ok(stored),
        };
        let transaction = &mut write.transaction;
        let stored = found(transaction.lock::<Cluster>(key, Lock::Exclusive).await?, key)?;
        check_etag(&stored.meta, etag)?;
        let was_deleting = stored.meta.is_deleting();
        if was_deleting && !force {
            return write.finish(stored, &[]).await;
        }
        let slices = transaction.slices_naming(key.name()).await?;
        if let Some(slice) = slices.iter().find(|slice| !force || !slice.meta.is_deleting()) {
            return Err(Refusal::in_use(key, format!("is used by {}", slice.meta.key)));
        }
        let mut changed = Vec::new();
        if force {
            let target = Target::Cluster(key.name().clone()).to_string();
            changed.extend(transaction.give_up(&target).await?.into_iter().map(Changed::from));
            transaction.force_all_but(stored.meta.uid, &[]).await?;
        }
        let stored = match was_deleting {
            true => stored,
            false => transaction.mark_deleting(&stored.meta).await?,
        };
        changed.push(Changed::from(&stored.meta));
        write.finish(stored, &changed).await
    }
}

impl Intents {
    /// The driver as it is stored, in the place of another. Credentials that are left out stay as
    /// they are, but are never sent to a server that they were not given for.
    fn seal(
        &self,
        key: &Key,
        described: DriverDescription,
        before: Option<&Driver>,
    ) -> Result<Driver, Refusal> {
        let (server, given) = match (described, before) {
            (DriverDescription::Direct(_), Some(Driver::Kubernetes(_))) => {
                let wanted = "cannot take the place of kubernetes: delete the cluster first";
                return Err(Report::of("cluster.spec.direct", wanted).into());
            }
            (DriverDescription::Kubernetes { .. }, Some(Driver::Direct(_))) => {
                let wanted = "cannot take the place of direct: delete the cluster first";
                return Err(Report::of("cluster.spec.kubernetes", wanted).into());
            }
            (DriverDescription::Direct(endpoint), _) => return Ok(Driver::Direct(endpoint)),
            (DriverDescription::Kubernetes { server, credentials }, _) => (server, credentials),
        };
        let before = match before {
            Some(Driver::Kubernetes(before)) => Some(before),
            _ => None,
        };
        let kept = before.filter(|before| {
            (&before.server.endpoint, &before.server.ca_pem) == (&server.endpoint, &server.ca_pem)
        });
        let credentials = match (given, kept) {
            (Some(given), kept) => {
                // Those that are given again are not new ones.
                let same = kept.filter(|kept| {
                    self.vault.is_current(&kept.credentials)
                        && self.vault.open(key.name(), &kept.credentials).as_ref() == Ok(&given)
                });
                match same {
                    Some(same) => same.credentials.clone(),
                    None => self.vault.seal(key.name(), &given).map_err(|error| {
                        Report::of("cluster.spec.kubernetes", format!("cannot be used: {error}"))
                    })?,
                }
            }
            (None, Some(kept)) => kept.credentials.clone(),
            (None, None) => {
                let wanted = match before {
                    Some(_) => "must be given again: api_endpoint or ca_pem is another",
                    None => "must be set, or kubeconfig",
                };
                return Err(Report::of("cluster.spec.kubernetes.bearer_token", wanted).into());
            }
        };
        Ok(Driver::Kubernetes(KubernetesDriver { server, credentials }))
    }

    /// What slices and networks have in a cluster stays in the namespace that it was made in: in another,
    /// it would be neither found nor removed.
    async fn check_namespace(
        &self,
        transaction: &mut Transaction,
        before: &Stored<Cluster>,
        spec: &ClusterSpec,
    ) -> Result<(), Refusal> {
        let (Driver::Kubernetes(former), Driver::Kubernetes(driver)) =
            (&before.spec.driver, &spec.driver)
        else {
            return Ok(());
        };
        let (key, namespace) = (&before.meta.key, &former.server.namespace);
        if *namespace == driver.server.namespace {
            return Ok(());
        }
        if let Some(slice) = transaction.slices_naming(key.name()).await?.first() {
            let reason = format!("has {} in namespace {namespace}", slice.meta.key);
            return Err(Refusal::in_use(key, reason));
        }
        let target = Target::Cluster(key.name().clone()).to_string();
        match self.store.others_placed(&target, before.meta.uid).await? {
            0 => Ok(()),
            others => {
                let reason = format!(
                    "has something of {others} slices or networks left in namespace {namespace}"
                );
                Err(Refusal::in_use(key, reason))
            }
        }
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

/// Whether every port still has its node. With `force` those that are being deleted need none: they may
/// wait for a node that never returns.
async fn check_ports(
    transaction: &mut Transaction,
    key: &Key,
    spec: &ClusterSpec,
    force: bool,
) -> Result<(), Refusal> {
    let nodes: BTreeSet<&str> = spec.nodes.iter().map(|node| node.name.as_str()).collect();
    for place in transaction.port_places(Scope::default(), key.name().as_str()).await? {
        let is_needed = place.lasts || !force;
        if is_needed && !nodes.contains(place.node.as_str()) {
            let reason = format!("has port {} on node '{}'", place.example, place.node);
            return Err(Refusal::in_use(key, reason));
        }
    }
    Ok(())
}
