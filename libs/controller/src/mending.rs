//! When a switch is read again whose flows are not, or may not be, as wanted.

use std::time::Duration;

use rand::Rng;

/// After others have changed flows: several changes in a row are looked at once.
pub(crate) const AFTER_FOREIGN_CHANGE: Duration = Duration::from_secs(1);

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// After a switch has refused something this many times in a row: 5 s, doubled each time, at most
/// 5 min, and at random up to half of that less, so that switches with the same fault do not come
/// all at once.
pub(crate) fn pause(failures: u32) -> Duration {
    let most = ceiling(failures);
    rand::rng().random_range(most / 2..=most)
}

fn ceiling(failures: u32) -> Duration {
    LONGEST.min(FIRST * (1 << failures.saturating_sub(1).min(16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_pause() {
        let ceilings = [0, 1, 2, 3, 6, 7, u32::MAX].map(|failures| ceiling(failures).as_secs());
        assert_eq!(ceilings, [5, 5, 10, 20, 160, 300, 300]);
    }

    #[test]
    fn is_spread_over_the_upper_half() {
        let pauses: Vec<_> = (0..1_000).map(|_| pause(9)).collect();
        assert!(pauses.iter().all(|pause| (LONGEST / 2..=LONGEST).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < LONGEST * 6 / 10));
        assert!(pauses.iter().any(|pause| *pause > LONGEST * 9 / 10));
    }
}
