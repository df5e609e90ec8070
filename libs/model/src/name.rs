use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

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
        if text.len() > 63 {
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
    use super::*;

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
