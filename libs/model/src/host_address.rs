use std::{fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

/// An IP address of a host, such as `10.1.0.5`, perhaps with the length of its network's prefix, as in
/// `10.1.0.5/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress {
    address: IpAddr,
    prefix_len: Option<u8>,
}

/// Why a text is no [`HostAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostAddressError {
    /// It has not the form of one.
    #[error("must be an IP address, such as 10.1.0.5 or 10.1.0.5/24")]
    Syntax,
    /// No host has it.
    #[error("must be a host's address, neither unspecified nor multicast")]
    NoHost,
}

impl HostAddress {
    /// The address itself.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits, if it was given.
    pub const fn prefix_len(self) -> Option<u8> {
        self.prefix_len
    }
}

impl FromStr for HostAddress {
    type Err = HostAddressError;

    fn from_str(text: &str) -> Result<Self, HostAddressError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| HostAddressError::Syntax)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len
            .map(|text| {
                let prefix_len = text.parse().ok().filter(|length| (1..=most).contains(length));
                prefix_len.ok_or(HostAddressError::Syntax)
            })
            .transpose()?;
        if address.is_unspecified() || address.is_multicast() {
            return Err(HostAddressError::NoHost);
        }
        Ok(Self { address, prefix_len })
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len {
            Some(prefix_len) => write!(f, "{}/{prefix_len}", self.address),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_host_has_a_prefix_or_none() {
        for text in ["10.1.0.5", "10.1.0.5/24", "10.1.0.5/32", "fd00::5", "fd00::5/128"] {
            assert_eq!(text.parse::<HostAddress>().unwrap().to_string(), text);
        }
        let address: HostAddress = "10.1.0.5/24".parse().unwrap();
        assert_eq!(address.address(), IpAddr::from([10, 1, 0, 5]));
        assert_eq!(address.prefix_len(), Some(24));
    }

    #[test]
    fn what_no_host_has_is_refused() {
        use HostAddressError::{NoHost, Syntax};
        for (text, error) in [
            ("", Syntax),
            ("host", Syntax),
            ("10.1.0.5/", Syntax),
            ("10.1.0.5/0", Syntax),
            ("10.1.0.5/33", Syntax),
            ("fd00::5/129", Syntax),
            ("10.1.0.5/24/24", Syntax),
            ("0.0.0.0", NoHost),
            ("239.1.1.1/24", NoHost),
            ("ff02::1", NoHost),
        ] {
            assert_eq!(text.parse::<HostAddress>(), Err(error), "{text}");
        }
    }
}
