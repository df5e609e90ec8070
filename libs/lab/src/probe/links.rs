//! What the tunnels between nodes carry, read off the cables: exact, at once, and of each network.

use std::{
    collections::BTreeMap,
    fmt,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    capture::Capture,
    stream::{StreamId, decode},
};
use crate::{error::LabError, layout::Layout, namespace::Namespace};

/// UDP ports of the tunnels inside clusters and between them.
const TUNNEL_PORTS: [u16; 2] =
    [l2sces_model::SPS_TUNNEL_UDP_PORT, l2sces_model::NED_TUNNEL_UDP_PORT];

/// One direction of a tunnel between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkName {
    /// The node that sends.
    pub from: String,
    /// The node that receives.
    pub to: String,
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

/// Counts what every tunnel of a lab carries, where the cables of the nodes meet: what a node sends
/// is counted once, whether or not it arrives.
#[derive(Debug)]
pub struct LinkCounters {
    /// The nodes by the addresses that their tunnels end on.
    nodes: BTreeMap<Ipv4Addr, String>,
    carried: Arc<Mutex<Carried>>,
    captures: Vec<Capture>,
}

type Ends = (Ipv4Addr, Ipv4Addr);

/// The least and the greatest.
const FIRST: Ends = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
const LAST: Ends = (Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST);

#[derive(Debug, Default)]
struct Carried {
    networks: BTreeMap<(u32, Ends), u64>,
    streams: BTreeMap<(StreamId, Ends), u64>,
}

impl LinkCounters {
    /// Starts counting.
    ///
    /// # Errors
    /// The lab is not up.
    pub fn start(layout: &Layout) -> Result<Self, LabError> {
        let carried = Arc::<Mutex<Carried>>::default();
        let underlays = layout.clusters.iter().map(|cluster| &cluster.underlay);
        let captures = underlays
            .chain([&layout.wan])
            .map(|underlay| {
                let carried = Arc::clone(&carried);
                Capture::start(&Namespace::named(&underlay.namespace), None, move |packet| {
                    if let Some(tunnelled) = tunnelled(packet) {
                        carried.lock().unwrap_or_else(PoisonError::into_inner).note(&tunnelled);
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        let nodes = layout.nodes().flat_map(|node| {
            let wan = node.gateway.as_ref().map(|gateway| gateway.wan_address);
            let addresses = std::iter::once(node.underlay_address).chain(wan);
            addresses.map(|address| (address, node.name.clone()))
        });
        Ok(Self { nodes: nodes.collect(), carried, captures })
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many frames of a network each link has carried; links that carried none are left out.
    pub fn of_network(&self, vni: u32) -> BTreeMap<LinkName, u64> {
        let carried = self.carried();
        let counts = carried.networks.range((vni, FIRST)..=(vni, LAST));
        self.by_name(counts.map(|((_, ends), count)| (*ends, *count)))
    }

    /// How many frames of a stream each link has carried; links that carried none are left out.
    pub fn of_stream(&self, stream: StreamId) -> BTreeMap<LinkName, u64> {
        let carried = self.carried();
        let counts = carried.streams.range((stream, FIRST)..=(stream, LAST));
        self.by_name(counts.map(|((_, ends), count)| (*ends, *count)))
    }

    /// Frames that were not counted, because the machine was too busy.
    pub fn overlooked(&self) -> u64 {
        self.captures.iter().map(Capture::overlooked).sum()
    }

    fn by_name(&self, counts: impl Iterator<Item = (Ends, u64)>) -> BTreeMap<LinkName, u64> {
        let name =
            |address| self.nodes.get(&address).cloned().unwrap_or_else(|| address.to_string());
        let mut links = BTreeMap::new();
        for ((from, to), count) in counts {
            *links.entry(LinkName { from: name(from), to: name(to) }).or_default() += count;
        }
        links
    }
}

impl Carried {
    fn note(&mut self, tunnelled: &Tunnelled<'_>) {
        *self.networks.entry((tunnelled.vni, tunnelled.ends)).or_default() += 1;
        if let Some((stream, _)) = decode(tunnelled.frame) {
            *self.streams.entry((stream, tunnelled.ends)).or_default() += 1;
        }
    }
}

/// A frame in a tunnel.
#[derive(Debug, PartialEq, Eq)]
struct Tunnelled<'a> {
    ends: Ends,
    vni: u32,
    frame: &'a [u8],
}

/// Looks into an Ethernet frame with Geneve (RFC 8926) over UDP over IPv4.
fn tunnelled(packet: &[u8]) -> Option<Tunnelled<'_>> {
    const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
    const PROTOCOL_UDP: u8 = 17;
    const ETHERNET: [u8; 2] = [0x65, 0x58];
    let (ethernet, ip) = packet.split_at_checked(14)?;
    if ethernet[12..] != ETHERTYPE_IPV4 || *ip.get(9)? != PROTOCOL_UDP {
        return None;
    }
    let address = |at: usize| -> Option<Ipv4Addr> {
        Some(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?.into())
    };
    let (udp, geneve) = ip.get(usize::from(ip[0] & 0x0f) * 4..)?.split_at_checked(8)?;
    let port = u16::from_be_bytes([udp[2], udp[3]]);
    if !TUNNEL_PORTS.contains(&port) || *geneve.get(2..4)? != ETHERNET {
        return None;
    }
    let options = usize::from(geneve[0] & 0x3f) * 4;
    let vni = geneve.get(4..7)?;
    Some(Tunnelled {
        ends: (address(12)?, address(16)?),
        vni: u32::from_be_bytes([0, vni[0], vni[1], vni[2]]),
        frame: geneve.get(8 + options..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with one option of eight bytes, as Open vSwitch sends it.
    fn packet() -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        bytes.extend([10, 101, 1, 1, 10, 101, 1, 2]);
        bytes.extend([0x80, 0, 0x1b, 0x58, 0, 0, 0, 0]);
        bytes.extend([3, 0, 0x65, 0x58, 0, 1, 2, 0]);
        bytes.extend([0xff, 0xf2, 0x81, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(b"frame");
        bytes
    }

    #[test]
    fn looks_into_tunnels() {
        let packet = packet();
        let ends = ([10, 101, 1, 1].into(), [10, 101, 1, 2].into());
        let expected = Tunnelled { ends, vni: 0x0102, frame: b"frame" };
        assert_eq!(tunnelled(&packet), Some(expected));
        for length in 0..packet.len() - 5 {
            assert_eq!(tunnelled(&packet[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn takes_nothing_else_for_a_tunnel() {
        for (at, what) in [(12, "IPv4"), (23, "UDP"), (37, "the port"), (44, "Ethernet")] {
            let mut packet = packet();
            packet[at] ^= 0x10;
            assert_eq!(tunnelled(&packet), None, "without {what}");
        }
    }
}
