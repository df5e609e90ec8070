//! Which clusters have said that their switches follow what they were told of networks that go over
//! to another plan.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use l2sces_model::Name;

use crate::{domain::NetworkKey, exchange::Notice};

/// The last handoff that each cluster has confirmed, of networks that go over to another plan.
/// Nothing is lost with it: whoever connects anew confirms anew.
#[derive(Debug, Default)]
pub struct Confirmations {
    networks: Mutex<HashMap<NetworkKey, HashMap<Name, Arc<Notice>>>>,
}

impl Confirmations {
    /// Takes note of a handoff that a cluster has confirmed.
    pub fn note(&self, network: &NetworkKey, cluster: &Name, handoff: Arc<Notice>) {
        let mut networks = self.lock();
        networks.entry(network.clone()).or_default().insert(cluster.clone(), handoff);
    }

    /// Whether this is what a cluster has confirmed last.
    pub(crate) fn has(&self, network: &NetworkKey, cluster: &Name, handoff: &Notice) -> bool {
        let networks = self.lock();
        let confirmed = networks.get(network).and_then(|clusters| clusters.get(cluster));
        confirmed.is_some_and(|confirmed| **confirmed == *handoff)
    }

    /// Forgets a network: it has gone over.
    pub(crate) fn forget(&self, network: &NetworkKey) {
        self.lock().remove(network);
    }

    /// A map is whole between any two of its methods.
    fn lock(&self) -> MutexGuard<'_, HashMap<NetworkKey, HashMap<Name, Arc<Notice>>>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
