use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// OpenFlow datapath id: names a switch to its controller. Not zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatapathId(u64);

/// Why something is no [`DatapathId`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DatapathIdError {
    /// It is zero.
    #[error("must not be zero")]
    Zero,
    /// It is not 16 hexadecimal digits, the form in which Open vSwitch shows it.
    #[error("must be 16 hexadecimal digits")]
    Syntax,
}

impl DatapathId {
    /// The id of the switch named by these texts, such as a cluster, a node and a bridge: the same
    /// whenever it is derived. Whoever stores it must refuse a second switch with the same id.
    pub fn derived(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let id = digest.iter().take(8).fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
        Self(id.max(1))
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for DatapathId {
    type Error = DatapathIdError;

    fn try_from(number: u64) -> Result<Self, DatapathIdError> {
        if number == 0 { Err(DatapathIdError::Zero) } else { Ok(Self(number)) }
    }
}

impl FromStr for DatapathId {
    type Err = DatapathIdError;

    fn from_str(text: &str) -> Result<Self, DatapathIdError> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(DatapathIdError::Syntax);
        }
        u64::from_str_radix(text, 16).map_err(|_| DatapathIdError::Syntax)?.try_into()
    }
}

impl fmt::Display for DatapathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for DatapathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::serde_as_string!(DatapathId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_open_vswitch_writes_it() {
        let id = DatapathId::try_from(0x2a).unwrap();
        assert_eq!(id.to_string(), "000000000000002a");
        assert_eq!("000000000000002a".parse(), Ok(id));
        assert_eq!("2a".parse::<DatapathId>(), Err(DatapathIdError::Syntax));
        assert_eq!(DatapathId::try_from(0), Err(DatapathIdError::Zero));
    }

    #[test]
    fn derived_ids_differ_with_every_part() {
        assert_ne!(DatapathId::derived(&["a", "b"]), DatapathId::derived(&["ab", ""]));
    }
}
