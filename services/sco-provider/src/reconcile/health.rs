use super::Reconciler;
use crate::{
    domain::Key,
    downstream::{Agents, Fabric, Names},
};

impl<F: Fabric, A: Agents, N: Names> Reconciler<F, A, N> {
    /// Has slices reconciled of which other gateways or links work than before, or are known to, for
    /// ever.
    pub(super) async fn follow_health(&self) {
        loop {
            self.health.changed().await;
            let links = self.fabric.links().await;
            let slices = self.slices.all();
            self.health.take_in(&links, slices.iter().map(|(_, known)| &known.topology));
            for (name, known) in slices {
                let doubts = self.health.doubts(&known.topology);
                if self.health.failures(&known.topology) != known.failures
                    || doubts.is_empty() != known.doubts.is_empty()
                {
                    self.queues.wake(Key::Slice(name));
                }
            }
        }
    }
}
