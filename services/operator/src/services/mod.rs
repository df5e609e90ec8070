//! The services that carry out what is planned: the cluster's sdn-controller and the sco-provider.
//! Of both it is known by a watch how their objects fare.

mod board;
mod fabric;
mod feed;
mod sco;
mod versions;

use l2sces_model::Name;

pub(crate) use board::{Board, Objects};
pub(crate) use fabric::Fabric;
pub(crate) use feed::{Feed, Listener, Told};
pub(crate) use l2sces_kubernetes::Trouble;
pub(crate) use sco::Sco;

use crate::plan::NetworkKey;

/// What a service's watch tells.
pub(crate) type Change = l2sces_watch::Change<ObjectKey, ObjectState>;

/// What a service's watch tells, until it breaks.
pub(crate) type ChangeStream = l2sces_watch::ChangeStream<ObjectKey, ObjectState>;

/// What is new on a board.
pub(crate) type News = l2sces_watch::News<ObjectKey>;

/// Which object of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ObjectKey {
    /// A node, of the sdn-controller.
    Node(Name),
    /// A gateway of this cluster, of the sco-provider.
    Gateway(Name),
    Slice(Name),
    Network(NetworkKey),
    /// A port, of the sdn-controller.
    Port(NetworkKey, Name),
}

/// How an object fares, as its service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectState {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) ready: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The MAC address of a port; empty: none.
    pub(crate) mac: String,
    /// The address of a port, with prefix length; empty: none.
    pub(crate) address: String,
    /// The identity of a network; zero: none.
    pub(crate) vni: u32,
    /// The MTU of a network, or of a port's, in bytes; zero: none.
    pub(crate) mtu: u32,
}

/// A service has something that was sent later, by a replica that led before.
fn surpassed() -> Trouble {
    Trouble {
        reason: "Surpassed",
        message: "a description of a former leader was later: it is sent again".to_owned(),
        is_waiting: false,
    }
}
