//! Which addresses of a network a port can have.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

/// Why a port cannot have an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AddressError {
    /// The network has no addresses, and the port does not say how long its own prefix is.
    #[error("must be empty or have a prefix length, as 10.1.0.5/24 has: the network has no CIDR")]
    NoCidr,
    /// It is outside the network's CIDR.
    #[error("must lie in the network's CIDR, {0}")]
    Outside(IpNet),
    /// It is the network's own or its broadcast address.
    #[error("must not be the first or last address of the network's CIDR, {0}")]
    Reserved(IpNet),
}

/// Addresses of a network that no port can have: the network's own and, in IPv4, the broadcast
/// address; none where the prefix leaves no room for them (RFC 3021, RFC 6164).
pub(crate) fn reserved_addresses(cidr: &IpNet) -> Vec<IpAddr> {
    match cidr {
        IpNet::V4(net) if net.prefix_len() <= 30 => {
            vec![net.network().into(), net.broadcast().into()]
        }
        IpNet::V6(net) if net.prefix_len() <= 126 => vec![net.network().into()],
        _ => Vec::new(),
    }
}

/// Checks that a port of a network with this CIDR can have an address.
///
/// # Errors
/// It lies outside, or is reserved.
pub(crate) fn check_address(cidr: &IpNet, address: IpAddr) -> Result<(), AddressError> {
    if !cidr.contains(&address) {
        return Err(AddressError::Outside(*cidr));
    }
    if reserved_addresses(cidr).contains(&address) {
        return Err(AddressError::Reserved(*cidr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_an_address_inside_its_network_that_is_not_reserved() {
        let outside = |net: &str| Err(AddressError::Outside(net.parse().unwrap()));
        let reserved = |net: &str| Err(AddressError::Reserved(net.parse().unwrap()));
        let cases = [
            ("10.1.0.0/24", "10.1.0.1", Ok(())),
            ("10.1.0.0/24", "10.1.0.0", reserved("10.1.0.0/24")),
            ("10.1.0.0/24", "10.1.0.255", reserved("10.1.0.0/24")),
            ("10.1.0.0/24", "10.1.1.0", outside("10.1.0.0/24")),
            ("10.1.0.0/31", "10.1.0.0", Ok(())),
            ("10.1.0.0/31", "10.1.0.1", Ok(())),
            ("fd00::/64", "fd00::", reserved("fd00::/64")),
            ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", Ok(())),
            ("fd00::/64", "10.1.0.1", outside("fd00::/64")),
            ("fd00::/127", "fd00::", Ok(())),
        ];
        for (net, address, expected) in cases {
            let checked = check_address(&net.parse().unwrap(), address.parse().unwrap());
            assert_eq!(checked, expected, "{address} in {net}");
        }
    }
}
