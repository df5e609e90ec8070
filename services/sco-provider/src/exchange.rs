//! What the clusters are told of each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use l2sces_model::{Epoch, Name, Vni};

use crate::{
    board::{Board, Change},
    domain::{Endpoint, EndpointKey, NetworkKey},
};

/// How many changes a cluster's controller may fall behind: more than a network of a thousand
/// endpoints brings at once, and small enough that a stuck one costs little.
const BACKLOG: usize = 16 * 1024;

/// Names what a cluster is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKey {
    /// A network's gates in a cluster.
    Handoff {
        /// The network.
        network: NetworkKey,
        /// The cluster.
        cluster: Name,
    },
    /// An endpoint.
    Endpoint(EndpointKey),
}

/// What a cluster is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A network may use trunks of the cluster.
    Handoff {
        /// The network's identifier.
        vni: Vni,
        /// By which its frames set out.
        current: Crossing,
        /// By which others are on their way, or soon will be.
        other: Option<Crossing>,
    },
    /// There is an endpoint in another cluster.
    Endpoint {
        /// The endpoint.
        endpoint: Endpoint,
        /// Its network's identifier.
        vni: Vni,
    },
}

/// A cluster's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whose frames the trunks take.
    pub epoch: Epoch,
    /// The nodes of the gateways, and the clusters that are reached through them.
    pub gates: BTreeMap<Name, BTreeSet<Name>>,
}

/// An item, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The clusters that are told.
    pub audience: Vec<Name>,
    /// What they are told.
    pub item: Item,
}

/// A change as one cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// The item is as given now.
    Put(ItemKey, Arc<Notice>),
    /// The item is gone.
    Deleted(ItemKey),
}

/// All that any cluster is told.
pub type ExchangeBoard = Board<ItemKey, Notice>;

/// An empty board.
pub fn board() -> ExchangeBoard {
    Board::new(BACKLOG)
}

/// What a change means to a cluster; `None`: nothing. An item whose audience loses the cluster is
/// deleted for it.
pub fn seen_by(cluster: &Name, change: &Change<ItemKey, Notice>) -> Option<ClusterChange> {
    let concerned =
        |notice: &&Arc<Notice>| notice.audience.iter().any(|listener| listener == cluster);
    match (change.before.as_ref().filter(concerned), change.after.as_ref().filter(concerned)) {
        (_, Some(after)) => Some(ClusterChange::Put(change.key.clone(), after.clone())),
        (Some(_), None) => Some(ClusterChange::Deleted(change.key.clone())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(audience: &[&str], vni: u32) -> Option<Arc<Notice>> {
        let name = |text: &str| text.parse::<Name>().unwrap();
        Some(Arc::new(Notice {
            audience: audience.iter().map(|cluster| name(cluster)).collect(),
            item: Item::Handoff {
                vni: Vni::try_from(vni).unwrap(),
                current: Crossing {
                    epoch: Epoch::NONE.next(),
                    gates: BTreeMap::from([(name("n"), BTreeSet::from([name("z")]))]),
                },
                other: None,
            },
        }))
    }

    #[test]
    fn a_cluster_sees_what_concerns_it() {
        let b: Name = "b".parse().unwrap();
        let key = ItemKey::Handoff {
            network: NetworkKey { slice: "s".parse().unwrap(), name: "n".parse().unwrap() },
            cluster: "a".parse().unwrap(),
        };
        let put = |notice: Option<Arc<Notice>>| {
            notice.map(|notice| ClusterChange::Put(key.clone(), notice))
        };
        let deleted = Some(ClusterChange::Deleted(key.clone()));
        for (before, after, seen) in [
            (None, notice(&["a", "b"], 1), put(notice(&["a", "b"], 1))),
            (None, notice(&["a"], 1), None),
            (notice(&["b"], 1), notice(&["b"], 2), put(notice(&["b"], 2))),
            (notice(&["b"], 1), notice(&["a"], 1), deleted.clone()),
            (notice(&["a"], 1), notice(&["b"], 1), put(notice(&["b"], 1))),
            (notice(&["b"], 1), None, deleted),
            (notice(&["a"], 1), None, None),
        ] {
            let change = Change { key: key.clone(), before, after };
            assert_eq!(seen_by(&b, &change), seen, "{change:?}");
        }
    }
}
