use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use thiserror::Error;

/// Where an OVSDB server listens, in Open vSwitch's notation: `unix:/path` or `tcp:address:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It begins with neither `unix:` nor `tcp:`.
    #[error("must begin with 'unix:' or 'tcp:'")]
    Scheme,
    /// `unix:` without a path.
    #[error("the path after 'unix:' must not be empty")]
    Path,
    /// What follows `tcp:` is no address with port.
    #[error("'tcp:' must be followed by an IP address and a port, such as 127.0.0.1:6640")]
    Socket,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("unix", "")) => Err(AddressError::Path),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("tcp", socket)) => {
                socket.parse().map(Self::Tcp).map_err(|_| AddressError::Socket)
            }
            _ => Err(AddressError::Scheme),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(socket) => write!(f, "tcp:{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_parse_are_inverse() {
        for text in ["unix:/run/openvswitch/db.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_other_notations() {
        let cases = [
            ("/run/db.sock", AddressError::Scheme),
            ("ssl:127.0.0.1:6640", AddressError::Scheme),
            ("unix:", AddressError::Path),
            ("tcp:host:6640", AddressError::Socket),
            ("tcp:127.0.0.1", AddressError::Socket),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }
}
