//! Addresses that ports on their way have asked for: a block is leased for one before the port is stored,
//! and then nobody else is to be given that address.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::Store;
use crate::domain::{NetworkKey, PortSpec};

/// The wishes of a controller. A controller that died has none: whoever asked it asks again.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    addresses: Arc<Mutex<Vec<(NetworkKey, IpAddr)>>>,
}

/// A port's wish, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Wish {
    wishes: Wishes,
    wished: Option<(NetworkKey, IpAddr)>,
}

impl Store {
    /// Has nobody else be given the address that a port asks for, as long as the answer lives.
    pub(crate) fn wish(&self, spec: &PortSpec) -> Wish {
        let wished = spec.address.map(|address| (spec.key.network_key(), address));
        self.wishes.lock().extend(wished.clone());
        Wish { wishes: self.wishes.clone(), wished }
    }
}

impl Wishes {
    /// The addresses of a network that ports have asked for, without what is none of its addresses.
    pub(super) fn of(&self, network: &NetworkKey, cidr: &IpNet) -> Vec<IpAddr> {
        let wished = self.lock();
        let wished = wished.iter().filter(|(of, address)| of == network && cidr.contains(address));
        wished.map(|(_, address)| *address).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(NetworkKey, IpAddr)>> {
        // No code that holds the lock can leave it half changed.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let Some(wished) = &self.wished else { return };
        let mut all = self.wishes.lock();
        if let Some(at) = all.iter().position(|one| one == wished) {
            all.swap_remove(at);
        }
    }
}
