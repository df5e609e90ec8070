use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// The pause after this many failures in a row: at random up to 50 ms, doubled with each failure,
/// at most 10 s. Full jitter, so that objects that failed together do not retry together.
pub(crate) fn pause(failures: u32) -> Duration {
    rand::rng().random_range(Duration::ZERO..=ceiling(failures))
}

fn ceiling(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    LONGEST.min(FIRST * (1 << doublings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_the_first_to_the_longest_pause() {
        let ceilings = [0, 1, 2, 3, 8, 9, u32::MAX].map(|failures| ceiling(failures).as_millis());
        assert_eq!(ceilings, [50, 50, 100, 200, 6_400, 10_000, 10_000]);
    }

    #[test]
    fn is_spread_over_the_whole_range() {
        let pauses: Vec<_> = (0..1_000).map(|_| pause(9)).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses.iter().any(|pause| *pause < LONGEST / 10));
        assert!(pauses.iter().any(|pause| *pause > LONGEST / 10 * 9));
    }
}
