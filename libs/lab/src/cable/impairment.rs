use std::time::Duration;

use thiserror::Error;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_HEADER: usize = 14;

/// The longest delay that a cable can have.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// What a cable does to the frames of one direction. The default lets them all pass at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// How long a frame takes to the far end, once it has left the queue.
    pub delay: Duration,
    /// The most that the delay of a frame deviates from that, uniformly distributed to both sides;
    /// not more than the delay. A frame never overtakes another, unless `reorder` is set: it waits
    /// until the one before it has arrived.
    pub jitter: Duration,
    /// Whether a frame may overtake another, when its own delay ends earlier.
    pub reorder: bool,
    /// Which frames are lost.
    pub loss: Loss,
    /// How fast frames leave; none: at once.
    pub rate: Option<Rate>,
    /// The most bytes behind the Ethernet header of a frame that passes; larger ones are dropped,
    /// and nobody is told. None: no bound.
    pub mtu: Option<u32>,
}

/// Which frames a cable loses, by their number: never by their size, or when they come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with the same probability, whatever becomes of the others.
    Independent {
        /// From 0 to 1.
        probability: f64,
    },
    /// Some in a row (the model of Gilbert, 1960): all in a bad state, none in a good one.
    Bursts {
        /// The share of all frames that is lost, from 0 up to, but not including, 1.
        probability: f64,
        /// How many are lost in a row, on average; at least 1.
        mean_length: f64,
    },
}

/// How fast frames leave: a token bucket and a queue, whose tail is dropped when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits of Ethernet frames, without preamble and check sequence, per second.
    pub bits_per_second: u64,
    /// Size of the bucket in bytes: so much leaves at once after a pause. 0: every frame takes its
    /// time, as on a wire.
    pub burst: u32,
    /// How many bytes may wait, with the frame that is leaving.
    pub queue: u32,
}

impl Rate {
    /// How long `bytes` take.
    pub(super) fn time(&self, bytes: u64) -> Duration {
        let nanoseconds =
            u128::from(bytes) * 8_000_000_000 / u128::from(self.bits_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// What is wrong with an [`Impairment`].
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum ImpairmentError {
    /// The delay is too long.
    #[error("a delay of {0:?}: at most {LONGEST_DELAY:?}")]
    Delay(Duration),
    /// A frame would arrive before it leaves.
    #[error("a jitter of {jitter:?}: at most the delay, {delay:?}")]
    Jitter {
        /// The jitter.
        jitter: Duration,
        /// The delay.
        delay: Duration,
    },
    /// No probability, or one that bursts of that length cannot have.
    #[error("a loss of {0}: not possible")]
    Loss(f64),
    /// A burst has at least one frame.
    #[error("bursts of {0} frames on average: at least 1")]
    BurstLength(f64),
    /// Nothing would ever arrive.
    #[error("a rate of 0 bit/s: cut the cable instead")]
    Rate,
    /// No full-sized frame would ever pass.
    #[error("a queue of {0} bytes: too small for a frame of 1514")]
    Queue(u32),
}

impl Impairment {
    /// # Errors
    /// What no cable can do.
    pub fn validate(&self) -> Result<(), ImpairmentError> {
        if self.delay > LONGEST_DELAY {
            return Err(ImpairmentError::Delay(self.delay));
        }
        if self.jitter > self.delay {
            return Err(ImpairmentError::Jitter { jitter: self.jitter, delay: self.delay });
        }
        self.loss.validate()?;
        match self.rate {
            Some(Rate { bits_per_second: 0, .. }) => Err(ImpairmentError::Rate),
            Some(Rate { queue, .. }) if queue < 1514 => Err(ImpairmentError::Queue(queue)),
            _ => Ok(()),
        }
    }
}

impl Loss {
    fn validate(self) -> Result<(), ImpairmentError> {
        match self {
            Self::Independent { probability } if !(0.0..=1.0).contains(&probability) => {
                Err(ImpairmentError::Loss(probability))
            }
            Self::Bursts { mean_length, .. } if !(1.0..f64::INFINITY).contains(&mean_length) => {
                Err(ImpairmentError::BurstLength(mean_length))
            }
            Self::Bursts { probability, mean_length }
                if !(0.0..1.0).contains(&probability)
                    || burst_begins(probability, mean_length) > 1.0 =>
            {
                Err(ImpairmentError::Loss(probability))
            }
            _ => Ok(()),
        }
    }
}

/// The probability that a burst begins with a frame, when the one before it was not lost.
pub(super) fn burst_begins(probability: f64, mean_length: f64) -> f64 {
    probability / (mean_length * (1.0 - probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_impossible_is_refused() {
        let second = Duration::from_secs(1);
        let rate = |bits_per_second, queue| Some(Rate { bits_per_second, burst: 0, queue });
        let with_loss = |loss| Impairment { loss, ..Impairment::default() };
        for (impairment, error) in [
            (Impairment { delay: 60 * second, ..Default::default() }, "a delay"),
            (Impairment { jitter: second, ..Default::default() }, "a jitter"),
            (with_loss(Loss::Independent { probability: 1.1 }), "a loss"),
            (with_loss(Loss::Independent { probability: f64::NAN }), "a loss"),
            (with_loss(Loss::Bursts { probability: 1.0, mean_length: 3.0 }), "a loss"),
            (with_loss(Loss::Bursts { probability: 0.9, mean_length: 2.0 }), "a loss"),
            (with_loss(Loss::Bursts { probability: 0.1, mean_length: 0.5 }), "bursts"),
            (Impairment { rate: rate(0, 9000), ..Default::default() }, "a rate"),
            (Impairment { rate: rate(1, 1000), ..Default::default() }, "a queue"),
        ] {
            let refused = impairment.validate().unwrap_err().to_string();
            assert!(refused.starts_with(error), "{impairment:?}: {refused}");
        }
        let possible = Impairment {
            delay: second,
            jitter: second,
            loss: Loss::Bursts { probability: 0.1, mean_length: 3.0 },
            rate: rate(1_000_000, 1514),
            ..Default::default()
        };
        assert_eq!(possible.validate(), Ok(()));
    }
}
