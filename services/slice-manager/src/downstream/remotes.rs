use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use l2sces_grpc::{Channel, Dialer};
use l2sces_model::Name;

use super::{FabricClient, Remote, ScoClient, Target, Trouble};
use crate::{domain::Endpoint, signals::Signals, store::Store};

/// Every service that this replica drives while it leads.
#[derive(Debug)]
pub struct Remotes {
    dialer: Dialer,
    signals: Signals,
    store: Store,
    sco: Remote<ScoClient>,
    /// Bounded by the number of clusters.
    clusters: Mutex<HashMap<Name, (Endpoint, Remote<FabricClient>)>>,
}

impl Remotes {
    /// The sco-provider behind this channel, and no cluster yet.
    pub fn new(dialer: Dialer, sco_provider: Channel, signals: Signals, store: Store) -> Self {
        let sco = ScoClient::new(sco_provider);
        let sco = Remote::new(Target::Sco, sco, signals.clone(), store.clone());
        Self { dialer, signals, store, sco, clusters: Mutex::new(HashMap::new()) }
    }

    /// The sco-provider.
    pub const fn sco(&self) -> &Remote<ScoClient> {
        &self.sco
    }

    /// The controller of a cluster, where the cluster's specification says it is.
    ///
    /// # Errors
    /// There can be no channel to the endpoint.
    pub fn cluster(
        &self,
        name: &Name,
        endpoint: &Endpoint,
    ) -> Result<Remote<FabricClient>, Trouble> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, remote)) = clusters.get(name)
            && known == endpoint
        {
            return Ok(remote.clone());
        }
        let target = Target::Cluster(name.clone());
        let channel = self.dialer.channel(endpoint.as_str()).map_err(|error| {
            Trouble::Unreachable { service: target.service(), why: error.to_string() }
        })?;
        let client = FabricClient::new(channel);
        let remote = Remote::new(target, client, self.signals.clone(), self.store.clone());
        clusters.insert(name.clone(), (endpoint.clone(), remote.clone()));
        Ok(remote)
    }

    /// The controller of a cluster, if this replica has had to do with it.
    pub fn known(&self, name: &Name) -> Option<Remote<FabricClient>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.get(name).map(|(_, remote)| remote.clone())
    }

    /// Lets go of the controller of a cluster that is gone.
    pub fn forget(&self, name: &Name) {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
