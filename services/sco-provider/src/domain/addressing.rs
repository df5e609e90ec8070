//! How a network's addresses are cut into blocks, and how large its frames may be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

/// A network is cut into this many blocks, within the limits of a block's size.
const BLOCKS_LOG2: u8 = 4;
/// A block has at most this many addresses (256), so that a large network serves many clusters.
const LARGEST_BLOCK_LOG2: u8 = 8;
/// Geneve over IPv4 with the one option that tunnels carry: outer IPv4 20, UDP 8, Geneve 8, option
/// 12 and inner Ethernet 14 bytes (RFC 8926, sections 3.4 and 3.5).
const TUNNEL_OVERHEAD_IPV4: u32 = 62;
/// The same over IPv6, whose header has 40 bytes.
const TUNNEL_OVERHEAD_IPV6: u32 = 82;

/// Why a text is no network's CIDR.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// It is no address and prefix length.
    #[error("must be an address and a prefix length, such as 10.1.0.0/24")]
    Syntax,
    /// Bits beyond the prefix are set.
    #[error("has bits set beyond its prefix; {0} was perhaps meant")]
    HostBits(IpNet),
    /// It has fewer than two addresses for endpoints.
    #[error("is too small: the prefix length must be at most {0}")]
    TooSmall(u8),
    /// It is larger than any network needs.
    #[error("is too large: the prefix length must be at least {0}")]
    TooLarge(u8),
    /// Its addresses cannot be endpoints'.
    #[error("must consist of unicast addresses other than loopback")]
    NotUnicast,
    /// It is no part of the network's.
    #[error("must be in {0}")]
    NotInNetwork(IpNet),
    /// Nothing in it is for endpoints.
    #[error("has no address for ports")]
    NothingAssignable,
}

/// Parses the CIDR of a network.
///
/// # Errors
/// The text is no CIDR, or no network can have it.
pub fn parse_cidr(text: &str) -> Result<IpNet, CidrError> {
    let cidr = parse(text)?;
    let (longest, shortest) = match cidr {
        IpNet::V4(_) => (30, 8),
        IpNet::V6(_) => (126, 32),
    };
    if cidr.prefix_len() > longest {
        return Err(CidrError::TooSmall(longest));
    }
    if cidr.prefix_len() < shortest {
        return Err(CidrError::TooLarge(shortest));
    }
    let first = cidr.network();
    let unusable = first.is_loopback()
        || first.is_multicast()
        || matches!(first, IpAddr::V4(address) if address.is_broadcast() || address.octets()[0] == 0);
    if unusable { Err(CidrError::NotUnicast) } else { Ok(cidr) }
}

/// Parses a part of a network's addresses.
///
/// # Errors
/// The text is no CIDR, or none of a part of the network with addresses for endpoints.
pub fn parse_range(cidr: IpNet, text: &str) -> Result<IpNet, CidrError> {
    let range = parse(text)?;
    if !cidr.contains(&range) {
        return Err(CidrError::NotInNetwork(cidr));
    }
    if has_assignable(cidr, range) { Ok(range) } else { Err(CidrError::NothingAssignable) }
}

fn parse(text: &str) -> Result<IpNet, CidrError> {
    let cidr: IpNet = text.parse().map_err(|_| CidrError::Syntax)?;
    if cidr.trunc() == cidr { Ok(cidr) } else { Err(CidrError::HostBits(cidr.trunc())) }
}

/// Prefix length of a network's blocks. All blocks of a network have the same, so two of them are
/// either equal or disjoint: that is what lets a unique key keep leases apart.
pub fn block_prefix(cidr: IpNet) -> u8 {
    let bits = cidr.max_prefix_len();
    (cidr.prefix_len() + BLOCKS_LOG2).max(bits - LARGEST_BLOCK_LOG2).min(bits)
}

/// The block of a network that contains an address.
pub fn block_of(cidr: IpNet, address: IpAddr) -> Option<IpNet> {
    if !cidr.contains(&address) {
        return None;
    }
    IpNet::new(address, block_prefix(cidr)).ok().map(|block| block.trunc())
}

/// Addresses of a network that no endpoint can have: the first, which names the network (IPv6: its
/// routers, RFC 4291, section 2.6.1), and, with IPv4, the broadcast address.
pub fn reserved(cidr: IpNet) -> Vec<IpAddr> {
    match cidr {
        IpNet::V4(_) => vec![cidr.network(), cidr.broadcast()],
        IpNet::V6(_) => vec![cidr.network()],
    }
}

/// Whether an endpoint may have an address of a network.
pub fn is_assignable(cidr: IpNet, address: IpAddr) -> bool {
    cidr.contains(&address) && !reserved(cidr).contains(&address)
}

/// The highest block at or below `from` that is not among `recorded` and has an assignable address.
/// `recorded` are the network's leased and shared blocks at or below `from`, the highest first.
pub fn last_free(
    cidr: IpNet,
    from: IpNet,
    recorded: impl IntoIterator<Item = IpNet>,
) -> Option<IpNet> {
    let mut recorded = recorded.into_iter().peekable();
    let mut candidate = Some(from);
    while let Some(block) = candidate {
        if recorded.next_if_eq(&block).is_none() && has_assignable(cidr, block) {
            return Some(block);
        }
        candidate = preceding(cidr, block);
    }
    None
}

/// The block before this one in its network.
pub fn preceding(cidr: IpNet, block: IpNet) -> Option<IpNet> {
    let last = match block.network() {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from(u32::from(first).checked_sub(1)?)),
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first).checked_sub(1)?)),
    };
    block_of(cidr, last)
}

fn has_assignable(cidr: IpNet, block: IpNet) -> bool {
    block.prefix_len() < block.max_prefix_len() || is_assignable(cidr, block.addr())
}

/// MTU of a network's ports, in bytes, given the underlay's MTU and whether a tunnel may run over
/// IPv6.
pub fn network_mtu(underlay_mtu: u32, over_ipv6: bool) -> u32 {
    underlay_mtu.saturating_sub(if over_ipv6 { TUNNEL_OVERHEAD_IPV6 } else { TUNNEL_OVERHEAD_IPV4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// All that a network leases when blocks are asked for one after the other.
    fn leases(cidr: &str) -> Vec<IpNet> {
        let cidr = net(cidr);
        let last = block_of(cidr, cidr.broadcast()).unwrap();
        let mut leased = Vec::new();
        while let Some(block) = last_free(cidr, last, leased.iter().copied()) {
            leased.push(block);
        }
        leased
    }

    #[test]
    fn blocks_are_a_sixteenth_within_limits() {
        for (cidr, prefix) in [
            ("10.0.0.0/8", 24),
            ("10.1.0.0/16", 24),
            ("10.1.0.0/20", 24),
            ("10.1.0.0/24", 28),
            ("10.1.0.0/27", 31),
            ("10.1.0.0/28", 32),
            ("10.1.0.0/30", 32),
            ("fd00::/64", 120),
            ("fd00::/120", 124),
            ("fd00::/126", 128),
        ] {
            assert_eq!(block_prefix(net(cidr)), prefix, "{cidr}");
        }
    }

    #[test]
    fn a_network_of_24_bits_is_leased_whole_in_16_blocks_from_above() {
        let leased = leases("10.1.0.0/24");
        assert_eq!(leased.len(), 16);
        assert_eq!(leased[0], net("10.1.0.240/28"));
        assert_eq!(leased[15], net("10.1.0.0/28"));
    }

    #[test]
    fn a_small_network_leases_single_addresses_but_not_its_ends() {
        assert_eq!(leases("10.1.0.0/30"), [net("10.1.0.2/32"), net("10.1.0.1/32")]);
        assert_eq!(leases("fd00::/126").len(), 3);
    }

    #[test]
    fn a_gap_is_filled_first() {
        let cidr = net("10.1.0.0/24");
        let leased = ["10.1.0.240/28", "10.1.0.208/28"].map(net);
        assert_eq!(last_free(cidr, leased[0], leased), Some(net("10.1.0.224/28")));
        assert_eq!(last_free(cidr, leased[1], [leased[1]]), Some(net("10.1.0.192/28")));
    }

    #[test]
    fn nothing_precedes_the_first_block_of_a_network_or_of_all() {
        assert_eq!(preceding(net("10.1.0.0/24"), net("10.1.0.0/28")), None);
        assert_eq!(preceding(net("::/32"), net("::/120")), None);
    }

    #[test]
    fn a_cidr_is_refused_with_a_reason() {
        for (text, error) in [
            ("", CidrError::Syntax),
            ("10.1.0.0", CidrError::Syntax),
            ("10.1.0.0/33", CidrError::Syntax),
            ("10.1.0.1/24", CidrError::HostBits(net("10.1.0.0/24"))),
            ("10.1.0.0/31", CidrError::TooSmall(30)),
            ("0.0.0.0/0", CidrError::TooLarge(8)),
            ("127.0.0.0/24", CidrError::NotUnicast),
            ("239.0.0.0/24", CidrError::NotUnicast),
            ("0.0.0.0/24", CidrError::NotUnicast),
            ("ff02::/64", CidrError::NotUnicast),
            ("fd00::/127", CidrError::TooSmall(126)),
        ] {
            assert_eq!(parse_cidr(text), Err(error), "{text:?}");
        }
        assert_eq!(parse_cidr("10.1.0.0/24"), Ok(net("10.1.0.0/24")));
    }

    #[test]
    fn a_range_is_a_part_of_its_network_that_ports_can_use() {
        let cidr = net("10.1.0.0/24");
        for (text, error) in [
            ("10.1.0.0", CidrError::Syntax),
            ("10.1.0.1/25", CidrError::HostBits(net("10.1.0.0/25"))),
            ("10.1.0.0/16", CidrError::NotInNetwork(cidr)),
            ("10.2.0.0/25", CidrError::NotInNetwork(cidr)),
            ("fd00::/64", CidrError::NotInNetwork(cidr)),
            ("10.1.0.255/32", CidrError::NothingAssignable),
        ] {
            assert_eq!(parse_range(cidr, text), Err(error), "{text:?}");
        }
        for text in ["10.1.0.0/24", "10.1.0.254/31", "10.1.0.9/32"] {
            assert_eq!(parse_range(cidr, text), Ok(net(text)));
        }
    }

    #[test]
    fn the_ends_of_a_network_are_nobodys() {
        let cidr = net("10.1.0.0/24");
        for (address, assignable) in
            [("10.1.0.0", false), ("10.1.0.1", true), ("10.1.0.255", false), ("10.2.0.1", false)]
        {
            assert_eq!(is_assignable(cidr, address.parse().unwrap()), assignable, "{address}");
        }
        assert!(is_assignable(net("fd00::/64"), "fd00::ffff:ffff:ffff:ffff".parse().unwrap()));
        assert!(!is_assignable(net("fd00::/64"), "fd00::".parse().unwrap()));
    }

    #[test]
    fn tunnels_take_their_share_of_the_mtu() {
        assert_eq!(network_mtu(1500, false), 1438);
        assert_eq!(network_mtu(1500, true), 1418);
    }
}
