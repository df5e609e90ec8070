use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

const IPV4_SUFFIX: &str = ".in-addr.arpa";
const IPV6_SUFFIX: &str = ".ip6.arpa";

/// A block of addresses whose reverse names are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseZone(IpNet);

/// Why a text is no [`ReverseZone`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReverseZoneError {
    /// It is no block in CIDR notation.
    #[error("must be a block of addresses such as 10.0.0.0/8")]
    Syntax,
    /// It is the whole address space, of which this server cannot be the authority.
    #[error("must have a prefix of at least 1 bit")]
    Everything,
}

impl ReverseZone {
    /// The names of the zones that cover the block: reverse names have a label for every 8 bits of
    /// an IPv4 address and 4 bits of an IPv6 address, so a prefix in between takes several.
    pub(super) fn names(&self) -> Vec<String> {
        let bits = if matches!(self.0, IpNet::V4(_)) { 8 } else { 4 };
        let length = self.0.prefix_len().div_ceil(bits) * bits;
        // The length is rounded up and at most the address's, so the block has such subnets.
        self.0.subnets(length).into_iter().flatten().map(name_of_block).collect()
    }
}

impl std::str::FromStr for ReverseZone {
    type Err = ReverseZoneError;

    fn from_str(text: &str) -> Result<Self, ReverseZoneError> {
        let block: IpNet = text.parse().map_err(|_| ReverseZoneError::Syntax)?;
        if block.prefix_len() == 0 {
            return Err(ReverseZoneError::Everything);
        }
        Ok(Self(block.trunc()))
    }
}

/// The reverse name of a block whose prefix ends between labels (RFC 1035, section 3.5; RFC 3596,
/// section 2.5).
fn name_of_block(block: IpNet) -> String {
    let mut name = String::new();
    match block {
        IpNet::V4(block) => {
            let octets = block.network().octets();
            for octet in octets[..usize::from(block.prefix_len() / 8)].iter().rev() {
                // Writing to a string cannot fail.
                let _ = write!(name, "{octet}.");
            }
            name.push_str(&IPV4_SUFFIX[1..]);
        }
        IpNet::V6(block) => {
            let nibbles = nibbles(block.network());
            for nibble in nibbles[..usize::from(block.prefix_len() / 4)].iter().rev() {
                let _ = write!(name, "{nibble:x}.");
            }
            name.push_str(&IPV6_SUFFIX[1..]);
        }
    }
    name
}

/// The reverse name of an address.
#[cfg(test)]
pub(super) fn name_of_address(address: IpAddr) -> String {
    name_of_block(address.into())
}

/// The block of addresses whose reverse names are `name` or lie below it: one address if the name
/// is complete. `None` if it is no reverse name, or not in the one form that reverse names have.
pub(super) fn block(name: &str) -> Option<IpNet> {
    if let Some(labels) = name.strip_suffix(IPV4_SUFFIX) {
        let mut octets = [0; 4];
        let mut count = 0;
        for label in labels.rsplit('.') {
            let octet = label.parse::<u8>().ok().filter(|octet| octet.to_string() == label)?;
            *octets.get_mut(count)? = octet;
            count += 1;
        }
        let length = u8::try_from(count * 8).ok()?;
        return Some(Ipv4Net::new(Ipv4Addr::from(octets), length).ok()?.into());
    }
    let labels = name.strip_suffix(IPV6_SUFFIX)?;
    let mut bits = 0_u128;
    let mut length = 0_u8;
    for label in labels.rsplit('.') {
        let &[digit] = label.as_bytes() else { return None };
        if length == 128 || digit.is_ascii_uppercase() {
            return None;
        }
        bits |= u128::from(char::from(digit).to_digit(16)?) << (124 - length);
        length += 4;
    }
    Some(Ipv6Net::new(Ipv6Addr::from(bits), length).ok()?.into())
}

/// The address, if the block is of one only.
pub(super) fn single(block: IpNet) -> Option<IpAddr> {
    (block.prefix_len() == block.max_prefix_len()).then(|| block.addr())
}

/// The 32 nibbles of an address, the highest first.
fn nibbles(address: Ipv6Addr) -> [u8; 32] {
    let octets = address.octets();
    std::array::from_fn(|n| if n % 2 == 0 { octets[n / 2] >> 4 } else { octets[n / 2] & 0xf })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zones(text: &str) -> Vec<String> {
        text.parse::<ReverseZone>().unwrap().names()
    }

    #[test]
    fn zones_end_between_labels() {
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.1.2.3/16"), ["1.10.in-addr.arpa"]);
        assert_eq!(zones("fd00::/8"), ["d.f.ip6.arpa"]);
        assert_eq!(zones("fc00::/7"), ["c.f.ip6.arpa", "d.f.ip6.arpa"]);
        let twelve = zones("172.16.0.0/12");
        assert_eq!(twelve.len(), 16);
        assert_eq!(twelve[15], "31.172.in-addr.arpa");
        assert_eq!("::/0".parse::<ReverseZone>(), Err(ReverseZoneError::Everything));
        assert_eq!("10".parse::<ReverseZone>(), Err(ReverseZoneError::Syntax));
    }

    #[test]
    fn only_the_one_form_of_a_reverse_name_counts() {
        assert_eq!(block("2.1.10.in-addr.arpa"), Some("10.1.2.0/24".parse().unwrap()));
        assert_eq!(block("8.b.d.0.1.0.0.2.ip6.arpa"), Some("2001:db8::/32".parse().unwrap()));
        for name in [
            "in-addr.arpa",
            "01.10.in-addr.arpa",
            "+1.10.in-addr.arpa",
            "256.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "a.in-addr.arpa",
            "ip6.arpa",
            "g.ip6.arpa",
            "10.ip6.arpa",
            "example.org",
        ] {
            assert_eq!(block(name), None, "{name}");
        }
        assert_eq!(block(&format!("{}ip6.arpa", "0.".repeat(33))), None);
    }

    proptest! {
        #[test]
        fn name_and_block_are_inverse(address: IpAddr) {
            let block = block(&name_of_address(address));
            prop_assert_eq!(block.and_then(single), Some(address));
        }
    }
}
