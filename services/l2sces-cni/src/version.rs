use std::{fmt, str::FromStr};

use crate::error::{CniError, Code};

/// A version of the Container Network Interface that the plugin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 0.3.0
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0, with CHECK
    V0_4_0,
    /// 1.0.0
    V1_0_0,
    /// 1.1.0, with GC and STATUS
    V1_1_0,
}

impl Version {
    /// Every version, the oldest first.
    pub(crate) const ALL: [Self; 5] =
        [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The latest.
    pub(crate) const LATEST: Self = Self::V1_1_0;

    /// As it stands in a configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = CniError;

    fn from_str(text: &str) -> Result<Self, CniError> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            let message = format!("cniVersion must be one of {all}, not {text:?}");
            CniError::new(Code::IncompatibleVersion, message)
        })
    }
}
