use l2sces_model::MacAddress;

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    packet_socket,
};

/// EtherType of 802.1Q tags.
const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of ARP.
const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of local experiments (IEEE 802, table 8-1): nobody but our probes uses it.
pub(super) const ETHERTYPE_PROBE: u16 = 0x88b5;

/// An Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Destination address.
    pub destination: MacAddress,
    /// Source address.
    pub source: MacAddress,
    /// VLAN identifiers of 802.1Q tags, the outermost first.
    pub vlans: Vec<u16>,
    /// EtherType.
    pub ethertype: u16,
    /// Payload; padded to the least length of a frame when sent.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that carries nothing but a mark to know it by.
    pub fn marked(source: MacAddress, destination: MacAddress, marker: &[u8]) -> Self {
        let payload = marker.to_vec();
        Self { destination, source, vlans: Vec::new(), ethertype: ETHERTYPE_PROBE, payload }
    }

    /// A broadcast ARP request (RFC 826) for `target`. The mark is behind it, in the padding.
    pub fn arp_request(
        source: MacAddress,
        sender: std::net::Ipv4Addr,
        target: std::net::Ipv4Addr,
        marker: &[u8],
    ) -> Self {
        // Ethernet and IPv4, with the lengths of their addresses, and the operation "request".
        let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
        payload.extend(source.bytes());
        payload.extend(sender.octets());
        payload.extend([0; 6]);
        payload.extend(target.octets());
        payload.extend(marker);
        let destination = MacAddress::BROADCAST;
        Self { destination, source, vlans: Vec::new(), ethertype: ETHERTYPE_ARP, payload }
    }

    /// The frame with a further 802.1Q tag outside.
    #[must_use]
    pub fn tagged(mut self, vlan: u16) -> Self {
        self.vlans.insert(0, vlan);
        self
    }

    /// The frame's bytes, without the check sequence.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(60);
        bytes.extend(self.destination.bytes());
        bytes.extend(self.source.bytes());
        for vlan in &self.vlans {
            bytes.extend(ETHERTYPE_VLAN.to_be_bytes());
            bytes.extend(vlan.to_be_bytes());
        }
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(&self.payload);
        if bytes.len() < 60 {
            bytes.resize(60, 0);
        }
        bytes
    }
}

/// Sends frames out of an interface as they are, `count` times each.
///
/// # Errors
/// There is no such interface, or it is down.
pub fn send_frames(
    namespace: &Namespace,
    interface: &str,
    frames: &[Frame],
    count: usize,
) -> Result<(), LabError> {
    let interface = interface.to_owned();
    let socket = namespace
        .enter({
            let interface = interface.clone();
            move || packet_socket::open(Some(&interface))
        })
        .context(|| format!("open {interface} in {}", namespace.name()))?;
    for frame in frames {
        let bytes = frame.bytes();
        for _ in 0..count {
            socket.send(&bytes).context(|| format!("send out of {interface}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_in_front_of_the_ethertype() {
        let [a, b] = [1, 2].map(|n| MacAddress::new([2, 0, 0, 0, 0, n]));
        let frame = Frame::marked(a, b, &[7; 16]).tagged(5).tagged(6);
        let bytes = frame.bytes();
        let head =
            [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 6, 0x81, 0, 0, 5, 0x88, 0xb5, 7];
        assert_eq!(bytes[..head.len()], head);
        assert_eq!(bytes.len(), 60);
    }
}
