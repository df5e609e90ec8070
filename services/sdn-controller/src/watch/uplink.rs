//! What is known of the sco-provider.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use l2sces_model::Vni;

use crate::domain::NetworkKey;

/// What is known of the connection to the sco-provider, and of what it made possible.
#[derive(Default)]
pub(crate) struct Uplink {
    fault: Mutex<Option<String>>,
    complete: AtomicBool,
    follows: AtomicBool,
    carried: Mutex<BTreeMap<NetworkKey, Carried>>,
}

/// What the sco-provider wants of a network, whether it has ports in this cluster or only crosses
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Its identifier, if it leaves the cluster by a trunk.
    pub(crate) vni: Option<Vni>,
    /// Identifiers by which it did, and the fabric may still know it.
    pub(crate) left: BTreeSet<Vni>,
}

impl Uplink {
    /// Why the sco-provider cannot be reached, if that is known: then there is no use in calling
    /// it, and what depends on it is woken when it is back.
    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Whether the engine knows all that is wanted. Before that it touches no switch, so that no
    /// deletion can be completed.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether all that the sco-provider knows now is known here. Before that a learned address is
    /// not announced: it may have moved on, to where it would be taken from.
    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::Acquire)
    }

    pub(crate) fn set_fault(&self, fault: Option<String>) {
        self.follows.store(fault.is_none(), Ordering::Release);
        *lock(&self.fault) = fault;
    }

    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// What the sco-provider wants of a network.
    pub(crate) fn carried(&self, network: &NetworkKey) -> Carried {
        lock(&self.carried).get(network).cloned().unwrap_or_default()
    }

    /// Says by which identifier a network leaves the cluster, if it does. Returns whether that is
    /// news.
    pub(crate) fn set_carried(&self, network: &NetworkKey, vni: Option<Vni>) -> bool {
        let mut carried = lock(&self.carried);
        let entry = carried.entry(network.clone()).or_default();
        let former = std::mem::replace(&mut entry.vni, vni);
        entry.left.extend(former.filter(|former| Some(*former) != vni));
        if let Some(vni) = vni {
            entry.left.remove(&vni);
        }
        former != vni
    }

    /// Takes note that the fabric knows a network no more by an identifier that it has left.
    pub(crate) fn forget_left(&self, network: &NetworkKey, vni: Vni) {
        let mut carried = lock(&self.carried);
        if let Some(entry) = carried.get_mut(network) {
            entry.left.remove(&vni);
            if *entry == Carried::default() {
                carried.remove(network);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
