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
        let first = NetworkKey { slice: slice.clone(), name: least_name() };
        self.choose_from(&ObjectKey::Network(first), |(key, _)| match key {
            ObjectKey::Network(network) if network.slice == *slice => Some(network.clone()),
            _ => None,
        })
    }

    fn ports_of(&self, network: &NetworkKey) -> BTreeMap<Name, ObjectState> {
        let first = ObjectKey::Port(network.clone(), least_name());
        let ports = self.choose_from(&first, |(key, state)| match key {
            ObjectKey::Port(of, name) if of == network => Some((name.clone(), state.clone())),
            _ => None,
        });
        ports.into_iter().collect()
    }
}

/// The name that none is before.
fn least_name() -> Name {
    Name::standing_for("0")
}

impl ObjectState {
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        self.uid == other.uid && self.generation == other.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_ports_are_found_among_those_of_others() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let network = |slice, network| NetworkKey { slice: name(slice), name: name(network) };
        let board = Board::new();
        let wanted = network("s", "blue");
        for slice in ["r", "s", "s-t"] {
            board.told(ObjectKey::Slice(name(slice)), Some(ObjectState::default()));
            for of in ["0", "blue", "blue-0", "red"] {
                let key = network(slice, of);
                board.told(ObjectKey::Network(key.clone()), Some(ObjectState::default()));
                for port in ["0", "0-a", "z"] {
                    let key = ObjectKey::Port(key.clone(), name(port));
                    board.told(key, Some(ObjectState::default()));
                }
            }
        }
        let ports: Vec<Name> = board.ports_of(&wanted).into_keys().collect();
        assert_eq!(ports, ["0", "0-a", "z"].map(name));
        let networks: Vec<Name> =
            board.networks_of(&name("s")).into_iter().map(|it| it.name).collect();
        assert_eq!(networks, ["0", "blue", "blue-0", "red"].map(name));
        assert!(board.networks_of(&name("t")).is_empty());
        assert!(board.ports_of(&network("s-t", "green")).is_empty());
    }
}
