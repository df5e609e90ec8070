use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which plan for crossing clusters a frame of a network follows: every frame that goes through a
/// trunk carries it, and no trunk takes frames of another epoch, so that a gateway that was not told
/// of a new plan can neither loop nor duplicate frames (see `docs/pipeline.md`). From 1 to 127;
/// 0 is [`Epoch::NONE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Epoch(u8);

/// A number that is no [`Epoch`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("must be from 0 to {max}, not {0}", max = Epoch::MAX.get())]
pub struct EpochError(u8);

impl Epoch {
    /// Of a network that crosses no trunk.
    pub const NONE: Self = Self(0);

    /// The last one; [`next`](Self::next) then begins again with 1.
    pub const MAX: Self = Self(127);

    /// The epoch as a number, 0 to 127: it has 7 bits on the wire.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The epoch that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 % Self::MAX.0 + 1)
    }
}

impl TryFrom<u8> for Epoch {
    type Error = EpochError;

    fn try_from(number: u8) -> Result<Self, EpochError> {
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(EpochError(number)) }
    }
}

impl From<Epoch> for u8 {
    fn from(epoch: Epoch) -> Self {
        epoch.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_again_with_one() {
        assert_eq!(Epoch::NONE.next().get(), 1);
        assert_eq!(Epoch::try_from(126).map(Epoch::next), Ok(Epoch::MAX));
        assert_eq!(Epoch::MAX.next().get(), 1);
        assert_eq!(Epoch::try_from(128), Err(EpochError(128)));
    }
}
