//! How much of a link its probes may take.

use std::time::Duration;

use crate::{
    Policy,
    stamp::{REFLECTED_LENGTH, TEST_LENGTH},
};

/// Bytes of a test packet's frame, as it enters the overlay.
pub const TEST_FRAME: usize = TEST_LENGTH;
/// Bytes of a reflected packet's frame.
pub const REFLECTED_FRAME: usize = REFLECTED_LENGTH;
/// Bytes of each frame of a train: in a tunnel over IPv6 it is not longer than what every link carries
/// (RFC 8200, section 5).
pub const TRAIN_FRAME: usize = 1_280 - TUNNEL_OVERHEAD;
/// Frames of a train.
pub const TRAIN_LENGTH: u32 = 20;
/// Trains of a round.
pub const TRAINS: u32 = 5;

/// The most that a tunnel adds to a frame, in bytes: Ethernet, IPv6, UDP, and Geneve with the label.
const TUNNEL_OVERHEAD: usize = 14 + 40 + 8 + 8 + 12;

/// What a link is taken to carry while its throughput is not measured, in bits a second.
const UNKNOWN_THROUGHPUT: f64 = 1_000_000.0;

/// The part of both directions of a link that the probes of one end may take: half of the share, for
/// the probes of the other end take the rest. Its own tests go in one direction, what is reflected of
/// them comes back in the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Bits a second.
    away: f64,
    back: f64,
}

impl Budget {
    /// The budget on a link that is known to carry so many bits a second in each direction; 0: not
    /// known.
    pub fn new(policy: &Policy, away: u64, back: u64) -> Self {
        let part = |throughput: u64| {
            let carries = if throughput == 0 { UNKNOWN_THROUGHPUT } else { throughput as f64 };
            carries * policy.max_share() / 2.0
        };
        Self { away: part(away), back: part(back) }
    }

    /// How long so many frames of a length in bytes and their reflections have the budget for
    /// themselves.
    pub fn time_for(&self, frames: u32, length: usize) -> Duration {
        let bits = |length: usize| f64::from(frames) * 8.0 * (length + TUNNEL_OVERHEAD) as f64;
        let seconds = (bits(length) / self.away).max(bits(REFLECTED_FRAME) / self.back);
        // Only what nobody measures takes longer than can be said.
        let nearest = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        // A time that was rounded down would take more than the budget.
        if nearest.as_secs_f64() < seconds {
            nearest.saturating_add(Duration::from_nanos(1))
        } else {
            nearest
        }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_proto::measurement::v1::MeasurementPolicy;
    use proptest::prelude::*;

    use super::*;

    fn policy(max_share_permille: u32) -> Policy {
        let metrics = vec![1, 2, 3, 4];
        let message =
            MeasurementPolicy { metrics, max_share_permille, ..MeasurementPolicy::default() };
        Policy::read(&message).unwrap()
    }

    #[test]
    fn a_link_of_which_nothing_is_known_is_taken_to_be_slow() {
        let known = Budget::new(&policy(10), 1_000_000, 1_000_000);
        assert_eq!(Budget::new(&policy(10), 0, 0), known);
        // Five thousand bits a second for 154 bytes each way.
        let time = known.time_for(10, TEST_FRAME);
        assert_eq!(time, Duration::from_secs_f64(10.0 * 8.0 * 154.0 / 5_000.0));
    }

    proptest! {
        /// What both ends send in one direction is within the share of it: tests of the one,
        /// reflections of the other's.
        #[test]
        fn both_ends_together_keep_to_the_share(
            permille in 1..=500_u32,
            away in 10_000..10_000_000_000_u64,
            back in 10_000..10_000_000_000_u64,
            frames in 1..1_000_u32,
            length in TEST_FRAME..1_500,
        ) {
            let policy = policy(permille);
            let (one, other) = (Budget::new(&policy, away, back), Budget::new(&policy, back, away));
            let bits = |length: usize| f64::from(frames) * 8.0 * (length + TUNNEL_OVERHEAD) as f64;
            let tests = bits(length) / one.time_for(frames, length).as_secs_f64();
            let reflected = bits(REFLECTED_FRAME) / other.time_for(frames, length).as_secs_f64();
            // But for what the sum of two quotients is rounded by.
            prop_assert!(tests + reflected <= away as f64 * policy.max_share() * (1.0 + 1e-12));
        }
    }
}
