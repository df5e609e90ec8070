use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Name of a network interface: 1 to 15 printable ASCII characters without `/`, `:` and blanks
/// (Linux, `dev_valid_name`; OpenFlow port names have 15 bytes too).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// Why a text is no [`InterfaceName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InterfaceNameError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than Linux allows.
    #[error("must have at most 15 bytes, not {0}")]
    TooLong(usize),
    /// It has a character that an interface name cannot have.
    #[error("must not contain {0:?}")]
    Character(char),
    /// It is `.` or `..`.
    #[error("must not be '.' or '..'")]
    Dots,
}

impl InterfaceName {
    /// Name of the interface on a node's switch that serves a port: the same whenever it is
    /// derived, so that it is found again after a restart.
    pub fn for_port(slice: &str, network: &str, port: &str) -> Self {
        Self::derived("l2p-", &[slice, network, port])
    }

    /// Name of the tunnel interface towards a peer, named by the texts that identify it.
    pub fn for_tunnel(peer: &[&str]) -> Self {
        Self::derived("l2v-", peer)
    }

    /// `prefix` and 44 bits of a hash of the parts: among 100,000 names on a node, two are alike
    /// with a probability of 0.0003; whoever stores them must refuse the second.
    fn derived(prefix: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let bits = digest.iter().take(6).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        Self(format!("{prefix}{:011x}", bits >> 4))
    }

    /// Whether it is of the form that we give to interfaces that we make: nobody may attach one.
    pub fn is_reserved(&self) -> bool {
        ["l2p-", "l2v-", "l2t-"].iter().any(|prefix| self.0.starts_with(prefix))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        if text.is_empty() {
            return Err(InterfaceNameError::Empty);
        }
        if text.len() > 15 {
            return Err(InterfaceNameError::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '/' | ':')) {
            return Err(InterfaceNameError::Character(bad));
        }
        if text == "." || text == ".." {
            return Err(InterfaceNameError::Dots);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for InterfaceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

crate::serde_as_string!(InterfaceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_linux_refuses() {
        let cases = [
            ("", InterfaceNameError::Empty),
            ("sixteen-bytes-xx", InterfaceNameError::TooLong(16)),
            ("a/b", InterfaceNameError::Character('/')),
            ("a b", InterfaceNameError::Character(' ')),
            ("..", InterfaceNameError::Dots),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<InterfaceName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn derived_names_are_valid_and_depend_on_every_part() {
        let name = InterfaceName::for_port("s", "n", "p");
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        assert_eq!(name.as_str().len(), 15);
        assert!(name.is_reserved());
        assert_ne!(name, InterfaceName::for_port("s", "np", ""));
        assert_ne!(name, InterfaceName::for_port("sn", "", "p"));
    }
}
