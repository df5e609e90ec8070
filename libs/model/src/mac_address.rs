use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// A 48-bit IEEE 802 MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// Why a text is no [`MacAddress`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MacAddressError {
    /// It is not six colon-separated pairs of hexadecimal digits.
    #[error("must be six pairs of hexadecimal digits with ':' between them")]
    Syntax,
    /// It is a group address, which no endpoint can have.
    #[error("must be a unicast address: the lowest bit of the first byte must be 0")]
    Group,
    /// It is all zeros.
    #[error("must not be all zeros")]
    Zero,
}

impl MacAddress {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address with these bytes, whatever they are.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The bytes in the order of transmission.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// Whether it is a group (multicast or broadcast) address.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// A locally administered unicast address for a port that was given none: the same whenever
    /// it is derived. 46 bits of a hash, so whoever stores it must refuse a second in a network.
    pub fn for_port(slice: &str, network: &str, port: &str, attempt: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [slice, network, port] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(attempt.to_be_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&digest[..6]);
        bytes[0] = bytes[0] & 0xfc | 0x02;
        Self(bytes)
    }

    /// Parses the address of an endpoint: a unicast address other than zero.
    ///
    /// # Errors
    /// The text is no address, or the address cannot be an endpoint's.
    pub fn parse_unicast(text: &str) -> Result<Self, MacAddressError> {
        let mac: Self = text.parse()?;
        match mac {
            Self([0, 0, 0, 0, 0, 0]) => Err(MacAddressError::Zero),
            mac if mac.is_group() => Err(MacAddressError::Group),
            mac => Ok(mac),
        }
    }
}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacAddressError::Syntax)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddressError::Syntax);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacAddressError::Syntax)?;
        }
        if parts.next().is_some() {
            return Err(MacAddressError::Syntax);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::serde_as_string!(MacAddress);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_bad_syntax() {
        for text in [
            "",
            "02:00",
            "02:00:00:00:00:0",
            "02:00:00:00:00:00:00",
            "02-00-00-00-00-01",
            "+2:00:00:00:00:01",
        ] {
            assert_eq!(text.parse::<MacAddress>(), Err(MacAddressError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_has_a_unicast_address() {
        let parse = MacAddress::parse_unicast;
        assert_eq!(parse("00:00:00:00:00:00"), Err(MacAddressError::Zero));
        assert_eq!(parse("01:00:5e:00:00:01"), Err(MacAddressError::Group));
        assert_eq!(parse("02:00:00:00:00:01"), Ok(MacAddress::new([2, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn derived_addresses_are_local_unicast_and_change_with_the_attempt() {
        let first = MacAddress::for_port("s", "n", "p", 0);
        assert_eq!(first.bytes()[0] & 3, 2);
        assert_ne!(first, MacAddress::for_port("s", "n", "p", 1));
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(bytes: [u8; 6]) {
            let mac = MacAddress::new(bytes);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        }
    }
}
