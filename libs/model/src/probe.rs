use crate::MacAddress;

/// EtherType of the frames that links are measured with: one for local experiments (IEEE 802,
/// section 9.2.4). Frames with it that come from endpoints are theirs, and stay in their network.
pub const ETHERTYPE_PROBE: u16 = 0x88b5;

/// The address by which a switch and the agent of its node name one of the switch's tunnels in
/// probes: the destination of those that are to leave by it, the source of those that came by it.
/// It holds the tunnel's OpenFlow port number and never leaves the node.
pub const fn tunnel_address(port: u32) -> MacAddress {
    let [a, b, c, d] = port.to_be_bytes();
    // Locally administered (IEEE 802, section 8.4), and "l".
    MacAddress::new([0x06, 0x6c, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tunnel_has_a_unicast_address_of_its_own() {
        let addresses = [1, 2, 256, 65_536, 0xffff_fffe].map(tunnel_address);
        for (index, address) in addresses.iter().enumerate() {
            assert_eq!(address.bytes()[0] & 3, 2, "unicast, locally administered");
            assert!(!addresses[..index].contains(address));
        }
    }
}
