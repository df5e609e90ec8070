use std::fmt::Display;

use l2sces_reconcile::{Outcome, Queue, run};

use crate::domain::Key;

/// Agents are called in these: many, because each may keep its worker waiting for seconds.
const GATEWAY_WORKERS: usize = 32;
/// The database and the switches are.
const FABRIC_WORKERS: usize = 32;
/// The DNS is.
const NAME_WORKERS: usize = 16;

/// What waits to be reconciled, apart by what the work depends on: agents or a DNS that do not
/// answer must not hold up the data plane.
#[derive(Clone, Debug)]
pub struct Queues {
    gateways: Queue<Key>,
    fabric: Queue<Key>,
    names: Queue<Key>,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            gateways: Queue::new("gateways"),
            fabric: Queue::new("fabric"),
            names: Queue::new("names"),
        }
    }
}

impl Queues {
    /// Has an object reconciled soon.
    pub fn wake(&self, key: Key) {
        match key {
            Key::Gateway(_) => self.gateways.wake(key),
            Key::Slice(_) | Key::Network(_) | Key::Endpoint(_) => self.fabric.wake(key),
            Key::Name(_) => self.names.wake(key),
        }
    }

    /// Works for ever.
    pub(super) async fn run<F, Fut, E>(&self, reconcile: F)
    where
        F: Fn(Key) -> Fut,
        Fut: Future<Output = Result<Outcome, E>>,
        E: Display,
    {
        tokio::join!(
            run(self.gateways.clone(), GATEWAY_WORKERS, &reconcile),
            run(self.fabric.clone(), FABRIC_WORKERS, &reconcile),
            run(self.names.clone(), NAME_WORKERS, &reconcile),
        );
    }
}
