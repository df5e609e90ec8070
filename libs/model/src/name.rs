use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The most bytes of a DNS label.
const MAX_LENGTH: usize = 63;

/// Name of a resource: a DNS label (RFC 1123, section 2.1): 1 to 63 of `a-z`, `0-9` and `-`, the
/// first and last no `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than a DNS label may be.
    #[error("must have at most 63 characters, not {0}")]
    TooLong(usize),
    /// It has a character that a DNS label cannot have.
    #[error("must consist of a-z, 0-9 and '-', not {0:?}")]
    Character(char),
    /// It begins or ends with a hyphen.
    #[error("must not begin or end with '-'")]
    Hyphen,
}

impl Name {
    /// The name that stands for a text that may be none, such as a name of Kubernetes, which can be
    /// longer and have dots: the text itself if it is a name, else what is left of it and a hash.
    /// Always the same for the same text.
    pub fn standing_for(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self::hashed(text, &[text]))
    }

    /// A name that shows a text, as far as it can, and is different for different parts, whatever
    /// the text: it ends in 40 bits of their hash.
    pub fn hashed(text: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digits = hash
            .finalize()
            .iter()
            .take(5)
            .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        let shown: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(MAX_LENGTH - digits.len() - 1)
            .collect();
        match shown.trim_matches('-') {
            "" => Self(digits.into()),
            shown => Self(format!("{shown}-{digits}").into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(NameError::Character(bad));
        }
        if text.len() > MAX_LENGTH {
            return Err(NameError::TooLong(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Hyphen);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

crate::serde_as_string!(Name);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_has_a_name_that_stands_for_it(text in ".{0,100}") {
            let name = Name::standing_for(&text);
            prop_assert_eq!(name.as_str().parse::<Name>(), Ok(name.clone()));
            prop_assert_eq!(text.parse().unwrap_or(name.clone()), name);
        }
    }

    #[test]
    fn what_is_no_name_is_shown_and_told_apart() {
        let name = |text| Name::standing_for(text).to_string();
        assert_eq!(name("ip-10-0-0-1.ec2.internal"), "ip-10-0-0-1-ec2-internal-ae3cbea70e");
        assert_ne!(name("a.b"), name("a_b"));
        assert!(name("a.b").starts_with("a-b-"));
        let long = "x".repeat(64);
        assert_eq!(name(&long).len(), 63);
        assert_ne!(name(&long), name(&format!("{long}x")));
    }

    #[test]
    fn parts_are_told_apart_where_a_text_is_the_same() {
        let of = |a, b| Name::hashed(&format!("{a}-{b}"), &[a, b]);
        assert_ne!(of("a-b", "c"), of("a", "b-c"));
        assert_eq!(of("a", "b"), of("a", "b"));
    }

    #[test]
    fn accepts_dns_labels() {
        for text in ["a", "0", "blue", "net-1", "a--b", &"x".repeat(63)] {
            assert_eq!(text.parse::<Name>().map(|n| n.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_dns_label() {
        let cases = [
            ("", NameError::Empty),
            ("Blue", NameError::Character('B')),
            ("a.b", NameError::Character('.')),
            ("a b", NameError::Character(' ')),
            ("é", NameError::Character('é')),
            ("-a", NameError::Hyphen),
            ("a-", NameError::Hyphen),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
        assert_eq!("x".repeat(64).parse::<Name>(), Err(NameError::TooLong(64)));
    }
}
