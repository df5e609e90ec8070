use std::time::{Duration, Instant, SystemTime};

use l2sces_measurement::stamp::Timestamp;

/// From the beginning of NTP's first era (1900) to Unix' beginning (1970): RFC 5905, figure 4.
const UNIX_BEGINNING: Duration = Duration::from_secs(2_208_988_800);

/// A clock that never jumps: it was right when it began, and goes on evenly whatever is done to the
/// system's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    beginning: Duration,
    began: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { beginning: UNIX_BEGINNING + since, began: Instant::now() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.before(Duration::ZERO)
    }

    /// So long ago.
    pub(super) fn before(&self, age: Duration) -> Timestamp {
        Timestamp::after((self.beginning + self.began.elapsed()).saturating_sub(age))
    }
}
