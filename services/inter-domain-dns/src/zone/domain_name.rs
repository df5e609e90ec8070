use std::{fmt, str::FromStr};

use l2sces_model::{Name, NameError};
use thiserror::Error;

/// An absolute domain name in lower case, written without the final dot. Never the root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// Why a text is no [`DomainName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DomainNameError {
    /// One of its labels is none.
    #[error("the label {label:?} {error}")]
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// It is longer than DNS allows.
    #[error("must have at most 253 characters, not {0}")]
    TooLong(usize),
}

impl DomainName {
    /// The most characters of a name: 255 octets on the wire (RFC 1035, section 3.1), less the
    /// first length octet and the root.
    pub const MAX_LEN: usize = 253;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name `relative` below this one; `None` if that is too long.
    pub fn below(&self, relative: &str) -> Option<Self> {
        let name = format!("{relative}.{self}");
        (name.len() <= Self::MAX_LEN).then_some(Self(name))
    }
}

/// A name and the names above it, the name itself first, the top-level domain last.
pub(super) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let name = rest?;
        rest = name.split_once('.').map(|(_, above)| above);
        Some(name)
    })
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if text.len() > Self::MAX_LEN {
            return Err(DomainNameError::TooLong(text.len()));
        }
        for label in text.split('.') {
            if let Err(error) = label.parse::<Name>() {
                return Err(DomainNameError::Label { label: label.to_owned(), error });
            }
        }
        Ok(Self(text))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_lower_case_without_the_final_dot() {
        assert_eq!("Inter.L2sces.".parse::<DomainName>().unwrap().as_str(), "inter.l2sces");
    }

    #[test]
    fn refuses_bad_labels_and_lengths() {
        for text in ["", ".", "a..b", "a_b.c", "-a.b", &format!("{}.b", "a".repeat(64))] {
            assert!(
                matches!(text.parse::<DomainName>(), Err(DomainNameError::Label { .. })),
                "{text:?}"
            );
        }
        let long = ["a".repeat(63).as_str(); 4].join(".");
        assert_eq!(long.parse::<DomainName>(), Err(DomainNameError::TooLong(255)));
    }

    #[test]
    fn below_stops_at_the_longest_name_of_dns() {
        let zone: DomainName = "z".parse().unwrap();
        assert_eq!(zone.below("a.b").unwrap().as_str(), "a.b.z");
        assert!(zone.below(&"a".repeat(251)).is_some());
        assert!(zone.below(&"a".repeat(252)).is_none());
    }

    #[test]
    fn suffixes_go_up_to_the_top_level_domain() {
        assert_eq!(suffixes("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
    }
}
