use std::collections::BTreeMap;

use l2sces_model::Name;

use super::{ObjectKey, ObjectState};
use crate::plan::NetworkKey;

/// What is known of a service's objects.
pub(crate) type Board = l2sces_watch::Board<ObjectKey, ObjectState>;

/// What else is asked of a board.
pub(crate) trait Objects {
    /// The state of an object, if the service is known to have just this version of it.
    fn covering(&self, key: &ObjectKey, uid: &str, generation: i64) -> Option<ObjectState>;

    /// The networks of a slice.
    fn networks_of(&self, slice: &Name) -> Vec<NetworkKey>;

    /// The ports of a network, by name.
    fn ports_of(&self, network: &NetworkKey) -> BTreeMap<Name, ObjectState>;
}

impl Objects for Board {
    fn covering(&self, key: &ObjectKey, uid: &str, generation: i64) -> Option<ObjectState> {
        let state = self.current(key)?;
        (state.uid == uid && state.generation == generation).then_some(state)
    }

    fn networks_of(&self, slice: &Name) -> Vec<NetworkKey> {
        self.choose(|(key, _)| match key {
            ObjectKey::Network(network) if network.slice == *slice => Some(network.clone()),
            _ => None,
        })
    }

    fn ports_of(&self, network: &NetworkKey) -> BTreeMap<Name, ObjectState> {
        let ports = self.choose(|(key, state)| match key {
            ObjectKey::Port(of, name) if of == network => Some((name.clone(), state.clone())),
            _ => None,
        });
        ports.into_iter().collect()
    }
}

impl ObjectState {
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation
    }
}
