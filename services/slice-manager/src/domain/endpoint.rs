use std::{fmt, str::FromStr};

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Most bytes of an endpoint: a DNS name, a scheme and a port fit.
const MAX_BYTES: usize = 300;

/// Where a gRPC server listens, such as `https://10.0.0.1:50052`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint(String);

/// Why a text is no [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is too long.
    #[error("must have at most {MAX_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// It is no URI.
    #[error("must be a URI such as https://10.0.0.1:50052")]
    Syntax,
    /// Its scheme is neither `https` nor `http`.
    #[error("must begin with https://")]
    Scheme,
    /// It has no port, or port 0.
    #[error("must name a port from 1 to 65535")]
    Port,
    /// It has a user, a path or a query.
    #[error("must have nothing but a scheme, a host and a port")]
    Excess,
}

impl Endpoint {
    /// The endpoint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is not encrypted.
    pub fn is_plaintext(&self) -> bool {
        self.0.starts_with("http://")
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(EndpointError::TooLong(text.len()));
        }
        let uri: Uri = text.parse().map_err(|_| EndpointError::Syntax)?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return Err(EndpointError::Scheme);
        }
        let authority = uri.authority().ok_or(EndpointError::Syntax)?;
        if authority.host().is_empty() {
            return Err(EndpointError::Syntax);
        }
        if authority.port_u16().is_none_or(|port| port == 0) {
            return Err(EndpointError::Port);
        }
        let has_path = !matches!(uri.path(), "" | "/");
        if has_path || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(EndpointError::Excess);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_addresses_and_names() {
        for text in [
            "https://10.0.0.1:50052",
            "https://[fd00::1]:50052",
            "http://a.example:1",
            "https://h:65535/",
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|e| e.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_cannot_be_dialled() {
        for (text, error) in [
            ("", EndpointError::Empty),
            ("https://", EndpointError::Syntax),
            ("https://a b:1", EndpointError::Syntax),
            ("10.0.0.1:50052", EndpointError::Scheme),
            ("tcp://10.0.0.1:50052", EndpointError::Scheme),
            ("https://10.0.0.1", EndpointError::Port),
            ("https://10.0.0.1:0", EndpointError::Port),
            ("https://10.0.0.1:50052/path", EndpointError::Excess),
            ("https://10.0.0.1:50052/?q", EndpointError::Excess),
            ("https://user@10.0.0.1:50052", EndpointError::Excess),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text:?}");
        }
        let long = format!("https://{}:1", "x".repeat(300));
        assert_eq!(long.parse::<Endpoint>(), Err(EndpointError::TooLong(310)));
    }
}
