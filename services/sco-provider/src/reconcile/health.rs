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
            self.health.take_in(&self.fabric.links().await);
            for (name, known) in self.slices.all() {
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
