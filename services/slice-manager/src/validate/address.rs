use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The underlay address that tunnels can end on.
///
/// # Errors
/// The text is no address, or one that no other host could send to; says which.
pub(super) fn underlay(text: &str) -> Result<IpAddr, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    let address: IpAddr = text.parse().map_err(|_| "must be an IPv4 or IPv6 address".to_owned())?;
    match special(IpNet::from(address)) {
        Some(what) => Err(format!("must be a unicast address of a host, not {what}")),
        None => Ok(address),
    }
}

/// The addresses of a network.
///
/// # Errors
/// The text is no CIDR, has host bits, is too small, or has addresses that no port can have.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text
        .parse()
        .map_err(|_| "must be addresses such as 10.1.0.0/24 or fd00::/64".to_owned())?;
    if net.addr() != net.network() {
        return Err(format!("must have no host bits set: {} would do", net.trunc()));
    }
    let longest = net.max_prefix_len() - 2;
    if net.prefix_len() > longest {
        return Err(format!("must have room for two ports: the longest prefix is /{longest}"));
    }
    match special(net) {
        Some(what) => Err(format!("must be unicast addresses of hosts, not {what}")),
        None => Ok(net),
    }
}

/// The address of a port in its network.
///
/// # Errors
/// No port of the network can have it.
pub(super) fn in_network(address: IpAddr, net: IpNet) -> Result<(), String> {
    if !net.contains(&address) {
        return Err(format!("must lie in the network's {net}"));
    }
    if address == net.network() {
        return Err(format!("must not be the first address of {net}, which names the network"));
    }
    // IPv6 has no broadcast address: the last one is like any other.
    if matches!(net, IpNet::V4(_)) && address == net.broadcast() {
        return Err(format!("must not be the last address of {net}, which is broadcast"));
    }
    Ok(())
}

/// The special block (RFC 6890 and those after it) that some of these addresses belong to.
fn special(net: IpNet) -> Option<&'static str> {
    match net {
        IpNet::V4(net) => SPECIAL_V4.iter().find_map(|&(address, prefix, what)| {
            let block = Ipv4Net::new_assert(address, prefix);
            (block.contains(&net) || net.contains(&block)).then_some(what)
        }),
        IpNet::V6(net) => SPECIAL_V6.iter().find_map(|&(address, prefix, what)| {
            let block = Ipv6Net::new_assert(address, prefix);
            (block.contains(&net) || net.contains(&block)).then_some(what)
        }),
    }
}

const SPECIAL_V4: [(Ipv4Addr, u8, &str); 5] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const SPECIAL_V6: [(Ipv6Addr, u8, &str); 5] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_end_on_unicast_addresses() {
        for text in ["10.0.0.1", "192.0.2.1", "100.64.0.1", "fd00::1", "2001:db8::1"] {
            assert_eq!(underlay(text), Ok(text.parse().unwrap()), "{text}");
        }
        for (text, word) in [
            ("", "empty"),
            ("10.0.0", "address"),
            ("host", "address"),
            ("10.0.0.1/24", "address"),
            ("0.0.0.0", "unspecified"),
            ("127.0.0.1", "loopback"),
            ("169.254.1.1", "link-local"),
            ("239.94.1.1", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:10.0.0.1", "IPv4-mapped"),
            ("fe80::1", "link-local"),
            ("ff02::1", "multicast"),
        ] {
            assert!(underlay(text).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn networks_have_room_for_two_ports() {
        for text in ["10.1.0.0/24", "8.8.8.0/30", "10.0.0.0/8", "fd00::/64", "fd00::/126"] {
            assert_eq!(network(text), Ok(text.parse().unwrap()), "{text}");
        }
        for (text, word) in [
            ("10.1.0.0", "such as"),
            ("10.1.0.0/33", "such as"),
            ("ten/8", "such as"),
            ("10.1.0.1/24", "10.1.0.0/24 would do"),
            ("fd00::1/64", "fd00::/64 would do"),
            ("10.1.0.0/31", "/30"),
            ("10.1.0.0/32", "/30"),
            ("fd00::/127", "/126"),
            ("0.0.0.0/0", "unspecified"),
            ("126.0.0.0/7", "loopback"),
            ("169.254.0.0/24", "link-local"),
            ("224.0.0.0/8", "multicast"),
            ("::/96", "unspecified"),
            ("fe80::/64", "link-local"),
            ("ff00::/8", "multicast"),
        ] {
            assert!(network(text).unwrap_err().contains(word), "{text}: {:?}", network(text));
        }
    }

    #[test]
    fn a_port_has_an_address_of_its_network() {
        let check = |address: &str, net: &str| {
            in_network(address.parse().unwrap(), net.parse().unwrap()).map_err(|why| why.len())
        };
        for (address, net) in
            [("10.1.0.1", "10.1.0.0/30"), ("10.1.0.2", "10.1.0.0/30"), ("fd00::3", "fd00::/126")]
        {
            assert_eq!(check(address, net), Ok(()), "{address} {net}");
        }
        for (address, net) in [
            ("10.1.0.0", "10.1.0.0/30"),
            ("10.1.0.3", "10.1.0.0/30"),
            ("10.1.0.4", "10.1.0.0/30"),
            ("fd00::", "fd00::/126"),
            ("fd00::4", "fd00::/126"),
            ("fd00::1", "10.1.0.0/30"),
        ] {
            assert!(check(address, net).is_err(), "{address} {net}");
        }
    }
}
