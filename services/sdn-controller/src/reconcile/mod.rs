//! Brings what is to what is wanted: one function for each kind of object. Each reads what is
//! stored, does what is left to do downstream, and notes on the board how the object fares.
//!
//! A function may be stopped at any point, or fail, and is then simply called again.

mod error;
mod learned;
mod load;
mod network;
mod node;
mod port;
mod slice;
mod tunnels;

use std::sync::Arc;

use l2sces_model::Name;
use l2sces_reconcile::{Outcome, Queue};

use crate::{
    agent::Agents,
    board::Board,
    domain::Key,
    exchange::Exchange,
    fabric::Fabric,
    measurements::LinkMeasurements,
    store::Store,
    trunks::Trunks,
    watch::{AgentWatches, Uplink},
};
pub(crate) use error::{ReconcileError, is_refusal};
pub(crate) use tunnels::Tunnels;

/// All that the reconcile functions need.
pub(crate) struct Reconciler {
    pub(crate) cluster: Name,
    /// Targets of the switches' OpenFlow connections, in Open vSwitch's notation.
    pub(crate) controllers: Vec<String>,
    /// How often the ends of a tunnel say that they are there, in milliseconds; 0: never.
    pub(crate) bfd_interval_ms: u32,
    pub(crate) store: Store,
    pub(crate) fabric: Arc<dyn Fabric>,
    pub(crate) agents: Arc<dyn Agents>,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Queue<Key>,
    pub(crate) watches: AgentWatches,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) trunks: Arc<Trunks>,
    pub(crate) tunnels: Tunnels,
    pub(crate) measurements: Arc<LinkMeasurements>,
}

impl Reconciler {
    /// Reconciles one object.
    ///
    /// # Errors
    /// Something does not answer or refuses: to be tried again after a pause.
    pub(crate) async fn reconcile(&self, key: Key) -> Result<Outcome, ReconcileError> {
        match key {
            Key::Node(name) => self.reconcile_node(&name).await?,
            Key::Slice(name) => self.reconcile_slice(&name).await?,
            Key::Network(key) => self.reconcile_network(&key).await?,
            Key::Port(key) => self.reconcile_port(&key).await?,
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
