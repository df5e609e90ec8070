//! Which tunnels the nodes' bridges have, as far as their agents have answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use l2sces_model::Name;

use crate::domain::Link;

/// In memory only: after a restart it is found out anew.
#[derive(Default)]
pub(crate) struct Tunnels {
    bridges: Mutex<BTreeMap<Name, Bridge>>,
}

/// What came of the last attempt to make a node's bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bridge {
    /// It was made with tunnels to these nodes.
    Made(BTreeSet<Name>),
    /// It could not be made: nobody waits for its tunnels.
    Failed,
}

impl Tunnels {
    /// Takes note of a node's bridge; answers whether that is news.
    pub(super) fn note(&self, node: &Name, bridge: Bridge) -> bool {
        self.lock().insert(node.clone(), bridge.clone()) != Some(bridge)
    }

    pub(super) fn forget(&self, node: &Name) {
        self.lock().remove(node);
    }

    /// Whether every link has its tunnel at both ends, but for ends that could not be made. If not,
    /// there is news to come of some node.
    pub(super) fn serve(&self, links: &[Link]) -> bool {
        let bridges = self.lock();
        let has_end = |node: &Name, peer: &Name| match bridges.get(node) {
            Some(Bridge::Made(peers)) => peers.contains(peer),
            Some(Bridge::Failed) => true,
            None => false,
        };
        links.iter().all(|link| has_end(&link.a, &link.b) && has_end(&link.b, &link.a))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Bridge>> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::name;

    #[test]
    fn a_link_is_served_when_both_ends_are_made_or_given_up() {
        let tunnels = Tunnels::default();
        let links = [Link { a: name("n1"), b: name("n2"), cost: 1 }];
        assert!(!tunnels.serve(&links));
        let to = |peer: &str| Bridge::Made([name(peer)].into());
        assert!(tunnels.note(&name("n1"), to("n2")));
        assert!(!tunnels.note(&name("n1"), to("n2")), "no news");
        assert!(!tunnels.serve(&links));
        tunnels.note(&name("n2"), to("n1"));
        assert!(tunnels.serve(&links));
        tunnels.note(&name("n2"), to("n3"));
        assert!(!tunnels.serve(&links));
        tunnels.note(&name("n2"), Bridge::Failed);
        assert!(tunnels.serve(&links));
        tunnels.forget(&name("n2"));
        assert!(!tunnels.serve(&links));
    }
}
