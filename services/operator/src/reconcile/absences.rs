use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use l2sces_model::Name;

/// How long a node may be none of the cluster's before it is given up with what is on it: one that registers
/// anew is deleted first, and its pods run on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that have left the cluster, and since when. Bounded by those that the services know.
#[derive(Debug, Default)]
pub(super) struct Absences(Mutex<HashMap<Name, Instant>>);

impl Absences {
    /// Notes that a node is away; whether it has been for so long that it is not waited for any more.
    pub(super) fn has_lasted(&self, node: &Name, now: Instant) -> bool {
        let mut absences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *absences.entry(node.clone()).or_insert(now);
        now.duration_since(since) >= PATIENCE
    }

    /// Notes that a node is there again, or gone for good.
    pub(super) fn forget(&self, node: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_given_up_that_stays_away() {
        let absences = Absences::default();
        let node = "n1".parse().unwrap();
        let left = Instant::now();
        assert!(!absences.has_lasted(&node, left));
        assert!(!absences.has_lasted(&node, left + PATIENCE / 2));
        assert!(absences.has_lasted(&node, left + PATIENCE));
        absences.forget(&node);
        assert!(!absences.has_lasted(&node, left + PATIENCE), "it has been there meanwhile");
    }
}
