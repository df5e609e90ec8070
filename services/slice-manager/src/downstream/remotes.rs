use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use l2sces_grpc::{Channel, Dialer};
use l2sces_model::Name;

use super::{ClusterClient, FabricClient, KubernetesClient, Remote, ScoClient, Target, Trouble};
use crate::{domain::Driver, signals::Signals, store::Store, vault::Vault};

/// Every service that this replica drives while it leads.
#[derive(Debug)]
pub struct Remotes {
    dialer: Dialer,
    vault: Arc<Vault>,
    signals: Signals,
    store: Store,
    sco: Remote<ScoClient>,
    /// Bounded by the number of clusters.
    clusters: Mutex<HashMap<Name, (Driver, Remote<ClusterClient>)>>,
}

impl Remotes {
    /// The sco-provider behind this channel, and no cluster yet.
    pub fn new(
        dialer: Dialer,
        vault: Arc<Vault>,
        sco_provider: Channel,
        signals: Signals,
        store: Store,
    ) -> Self {
        let sco = ScoClient::new(sco_provider);
        let sco = Remote::new(Target::Sco, sco, signals.clone(), store.clone());
        Self { dialer, vault, signals, store, sco, clusters: Mutex::new(HashMap::new()) }
    }

    /// The sco-provider.
    pub const fn sco(&self) -> &Remote<ScoClient> {
        &self.sco
    }

    /// Who carries out what is wanted in a cluster, as the cluster's specification says.
    ///
    /// # Errors
    /// There can be no connection to it.
    pub fn cluster(&self, name: &Name, driver: &Driver) -> Result<Remote<ClusterClient>, Trouble> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, remote)) = clusters.get(name)
            && known == driver
        {
            return Ok(remote.clone());
        }
        let client = self.client(name, driver)?;
        let target = Target::Cluster(name.clone());
        let remote = Remote::new(target, client, self.signals.clone(), self.store.clone());
        clusters.insert(name.clone(), (driver.clone(), remote.clone()));
        Ok(remote)
    }

    fn client(&self, name: &Name, driver: &Driver) -> Result<ClusterClient, Trouble> {
        match driver {
            Driver::Direct(endpoint) => {
                let channel = self.dialer.channel(endpoint.as_str()).map_err(|error| {
                    let service = Target::Cluster(name.clone()).service();
                    Trouble::Unreachable { service, why: error.to_string() }
                })?;
                Ok(ClusterClient::Direct(FabricClient::new(channel)))
            }
            Driver::Kubernetes(driver) => {
                let opened = self.vault.open(name, &driver.credentials);
                let opened = opened.map_err(|error| error.to_string());
                let client = opened
                    .and_then(|credentials| KubernetesClient::new(&driver.server, credentials));
                client.map(ClusterClient::Kubernetes).map_err(|why| {
                    let service = format!("the API server of cluster {name}");
                    Trouble::Unreachable { service, why: format!("its credentials: {why}") }
                })
            }
        }
    }

    /// Who carries out what is wanted in a cluster, if this replica has had to do with it.
    pub fn known(&self, name: &Name) -> Option<Remote<ClusterClient>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.get(name).map(|(_, remote)| remote.clone())
    }

    /// Lets go of a cluster that is gone.
    pub fn forget(&self, name: &Name) {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
