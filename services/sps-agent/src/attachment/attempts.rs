use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Numbers of attempts to attach sandboxes, each greater than those before it. They go by the clock, in
/// microseconds, so that they grow from one life of the agent to the next, too.
#[derive(Debug, Default)]
pub(super) struct Attempts(AtomicI64);

impl Attempts {
    /// The number of the next attempt.
    pub(super) fn next(&self) -> i64 {
        self.next_at(SystemTime::now())
    }

    fn next_at(&self, now: SystemTime) -> i64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = i64::try_from(now).unwrap_or_default();
        let last = self.0.fetch_max(now, Ordering::Relaxed);
        if now > last { now } else { self.0.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_grow_whatever_the_clock_does() {
        let attempts = Attempts::default();
        let at = |seconds| attempts.next_at(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!([at(5), at(5), at(2), at(6)], [5_000_000, 5_000_001, 5_000_002, 6_000_000]);
        let later = Attempts::default();
        assert!(later.next() > at(7));
    }
}
