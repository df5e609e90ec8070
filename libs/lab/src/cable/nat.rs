//! A home router at the first end of a cable, without sockets and clocks.
//!
//! UDP over IPv4 passes, and ARP, so that the address outside is found. Everything else of IPv4 is
//! dropped, and so are fragments, which have no ports to know them by.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::impairment::ETHERNET_HEADER;

/// The first of the ports that are given out: those that IANA assigns to nobody.
const FIRST_PORT: u16 = 49_152;
/// Where IPv4 and ARP begin.
const ETHERNET: usize = ETHERNET_HEADER;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const PROTOCOL_UDP: u8 = 17;

/// Network address and port translation (RFC 4787) of what is behind the first end of a cable.
///
/// An address and port inside has one port outside, whomever it speaks to (endpoint-independent
/// mapping), and whoever sends to that reaches it (endpoint-independent filtering).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// The one address behind the first end.
    pub inside: Ipv4Addr,
    /// The address that the second end sees in its place; nobody else's.
    pub outside: Ipv4Addr,
    /// How long a mapping lasts after the last datagram from inside. RFC 4787 asks for at least two
    /// minutes; many home routers have 30 s.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    inside: SocketAddrV4,
    outside_port: u16,
    last_used: Duration,
}

/// Translates frames, in place, and says whether they pass.
#[derive(Debug)]
pub(super) struct Translator {
    nat: Nat,
    /// By the port outside.
    mappings: HashMap<u16, Mapping>,
    next_port: u16,
}

impl Translator {
    pub(super) fn new(nat: Nat) -> Self {
        Self { nat, mappings: HashMap::new(), next_port: FIRST_PORT }
    }

    /// Translates a frame from inside.
    pub(super) fn outbound(&mut self, now: Duration, frame: &mut [u8]) -> bool {
        let Nat { inside, outside, .. } = self.nat;
        match kind(frame) {
            Kind::Arp => {
                replace_arp(frame, ARP_SENDER, inside, outside);
                // Who announces an address asks for it.
                replace_arp(frame, ARP_TARGET, inside, outside);
                true
            }
            Kind::Udp(datagram) => {
                let source = datagram.source(frame);
                if *source.ip() != inside {
                    return false;
                }
                let Some(port) = self.port_for(now, source) else { return false };
                datagram.set_source(frame, SocketAddrV4::new(outside, port));
                true
            }
            Kind::OtherIpv4 => false,
            Kind::Other => true,
        }
    }

    /// Translates a frame from outside.
    pub(super) fn inbound(&mut self, now: Duration, frame: &mut [u8]) -> bool {
        let Nat { inside, outside, .. } = self.nat;
        match kind(frame) {
            Kind::Arp => {
                let is_of_inside = frame[ARP_TARGET..ARP_TARGET + 4] == inside.octets();
                replace_arp(frame, ARP_TARGET, outside, inside);
                !is_of_inside
            }
            Kind::Udp(datagram) => {
                self.forget_unused(now);
                let destination = datagram.destination(frame);
                let mapping = self.mappings.get(&destination.port());
                let Some(mapping) = mapping.filter(|_| *destination.ip() == outside) else {
                    return false;
                };
                datagram.set_destination(frame, mapping.inside);
                true
            }
            Kind::OtherIpv4 => false,
            Kind::Other => true,
        }
    }

    /// The ports that are given out, and to whom, in order of the ports.
    pub(super) fn mappings(&mut self, now: Duration) -> Vec<(SocketAddrV4, SocketAddrV4)> {
        self.forget_unused(now);
        let mut mappings: Vec<_> = self.mappings.values().collect();
        mappings.sort_unstable_by_key(|mapping| mapping.outside_port);
        let outside = |port| SocketAddrV4::new(self.nat.outside, port);
        mappings.into_iter().map(|m| (m.inside, outside(m.outside_port))).collect()
    }

    /// Forgets every mapping, as a router does that is switched off and on again.
    pub(super) fn forget(&mut self) {
        self.mappings.clear();
    }

    fn forget_unused(&mut self, now: Duration) {
        let timeout = self.nat.timeout;
        self.mappings.retain(|_, mapping| now.saturating_sub(mapping.last_used) <= timeout);
    }

    /// The port outside of an address and port inside; none if all are given out.
    fn port_for(&mut self, now: Duration, inside: SocketAddrV4) -> Option<u16> {
        self.forget_unused(now);
        if let Some(mapping) = self.mappings.values_mut().find(|m| m.inside == inside) {
            mapping.last_used = now;
            return Some(mapping.outside_port);
        }
        let after = |port: u16| port.checked_add(1).unwrap_or(FIRST_PORT);
        // From one to the next, so that a mapping that was forgotten does not come back as it was.
        let free = std::iter::successors(Some(self.next_port), |port| Some(after(*port)))
            .take(usize::from(u16::MAX - FIRST_PORT) + 1)
            .find(|port| !self.mappings.contains_key(port))?;
        self.next_port = after(free);
        self.mappings.insert(free, Mapping { inside, outside_port: free, last_used: now });
        Some(free)
    }
}

/// What a frame carries.
enum Kind {
    Arp,
    Udp(Datagram),
    OtherIpv4,
    Other,
}

/// Where the UDP header of a frame begins; all of it is there.
#[derive(Clone, Copy)]
struct Datagram {
    udp: usize,
}

/// Where a sender's and a target's protocol address are in ARP (RFC 826) over Ethernet.
const ARP_SENDER: usize = ETHERNET + 14;
const ARP_TARGET: usize = ETHERNET + 24;
/// Where the addresses are in IPv4 over Ethernet.
const IP_CHECKSUM: usize = ETHERNET + 10;
const IP_SOURCE: usize = ETHERNET + 12;
const IP_DESTINATION: usize = ETHERNET + 16;

fn kind(frame: &[u8]) -> Kind {
    let Some((header, payload)) = frame.split_at_checked(ETHERNET) else { return Kind::Other };
    if header[12..] == ETHERTYPE_ARP {
        return if payload.len() >= 28 { Kind::Arp } else { Kind::Other };
    }
    if header[12..] != ETHERTYPE_IPV4 {
        return Kind::Other;
    }
    let Some(ip) = payload.get(..20) else { return Kind::OtherIpv4 };
    let udp = ETHERNET + usize::from(ip[0] & 0x0f) * 4;
    // "More fragments", or the offset of a fragment.
    let is_fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    if ip[9] == PROTOCOL_UDP && !is_fragment && udp >= ETHERNET + 20 && frame.len() >= udp + 8 {
        Kind::Udp(Datagram { udp })
    } else {
        Kind::OtherIpv4
    }
}

fn replace_arp(frame: &mut [u8], at: usize, from: Ipv4Addr, to: Ipv4Addr) {
    let address = &mut frame[at..at + 4];
    if *address == from.octets() {
        address.copy_from_slice(&to.octets());
    }
}

impl Datagram {
    fn source(self, frame: &[u8]) -> SocketAddrV4 {
        endpoint(frame, IP_SOURCE, self.udp)
    }

    fn destination(self, frame: &[u8]) -> SocketAddrV4 {
        endpoint(frame, IP_DESTINATION, self.udp + 2)
    }

    fn set_source(self, frame: &mut [u8], to: SocketAddrV4) {
        self.set(frame, IP_SOURCE, self.udp, to);
    }

    fn set_destination(self, frame: &mut [u8], to: SocketAddrV4) {
        self.set(frame, IP_DESTINATION, self.udp + 2, to);
    }

    fn set(self, frame: &mut [u8], address: usize, port: usize, to: SocketAddrV4) {
        let udp_checksum = self.udp + 6;
        // A datagram without a checksum (0) stays without (RFC 768).
        let has_checksum = frame[udp_checksum..udp_checksum + 2] != [0, 0];
        let octets = to.ip().octets();
        for (at, word) in [
            (address, [octets[0], octets[1]]),
            (address + 2, [octets[2], octets[3]]),
            (port, to.port().to_be_bytes()),
        ] {
            let old = [frame[at], frame[at + 1]];
            frame[at..at + 2].copy_from_slice(&word);
            if at != port {
                update_checksum(frame, IP_CHECKSUM, old, word);
            }
            if has_checksum {
                update_checksum(frame, udp_checksum, old, word);
            }
        }
        if has_checksum && frame[udp_checksum..udp_checksum + 2] == [0, 0] {
            // A checksum that comes out as 0 is sent as its other form.
            frame[udp_checksum..udp_checksum + 2].fill(0xff);
        }
    }
}

fn endpoint(frame: &[u8], address: usize, port: usize) -> SocketAddrV4 {
    let octets = [frame[address], frame[address + 1], frame[address + 2], frame[address + 3]];
    SocketAddrV4::new(octets.into(), u16::from_be_bytes([frame[port], frame[port + 1]]))
}

/// Updates a checksum for a word that has changed (RFC 1624, equation 3).
fn update_checksum(frame: &mut [u8], at: usize, old: [u8; 2], new: [u8; 2]) {
    let word = |bytes: [u8; 2]| u32::from(u16::from_be_bytes(bytes));
    let not = |value: u32| !value & 0xffff;
    let mut sum = not(word([frame[at], frame[at + 1]])) + not(word(old)) + word(new);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = u16::try_from(not(sum)).unwrap_or_default();
    frame[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests;
