use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Virtual network identifier of a network (RFC 8926, section 3.4), 24 bits on the wire. 0 is kept
/// for frames that belong to no network, such as link discovery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

/// A number that is no [`Vni`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("must be from 1 to {max}, not {0}", max = Vni::MAX.get())]
pub struct VniError(u32);

impl Vni {
    /// The largest identifier.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// The identifier as a number, 1 to 16,777,215.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = VniError;

    fn try_from(number: u32) -> Result<Self, VniError> {
        if (1..=Self::MAX.0).contains(&number) { Ok(Self(number)) } else { Err(VniError(number)) }
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_24_bits_and_is_not_zero() {
        assert_eq!(Vni::try_from(0), Err(VniError(0)));
        assert_eq!(Vni::try_from(1).map(Vni::get), Ok(1));
        assert_eq!(Vni::try_from(0xff_ffff), Ok(Vni::MAX));
        assert_eq!(Vni::try_from(0x100_0000), Err(VniError(0x100_0000)));
    }
}
