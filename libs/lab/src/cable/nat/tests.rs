use proptest::prelude::*;

use super::*;

const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 7);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const SECOND: Duration = Duration::from_secs(1);

fn translator() -> Translator {
    Translator::new(Nat { inside: INSIDE, outside: OUTSIDE, timeout: 30 * SECOND })
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The one's complement sum of 16-bit words (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|word| {
        u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or_default()]))
    });
    words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}

/// A datagram with both checksums.
fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend((20 + length).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, PROTOCOL_UDP, 0, 0]);
    ip.extend(from.ip().octets());
    ip.extend(to.ip().octets());
    let checksum = u16::try_from(!sum(&ip) & 0xffff).unwrap();
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut udp = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    udp.extend(payload);
    let checksum = u16::try_from(!udp_sum(&ip, &udp) & 0xffff).unwrap();
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    [vec![0; 12], ETHERTYPE_IPV4.to_vec(), ip, udp].concat()
}

/// The sum of a datagram and its pseudo-header.
fn udp_sum(ip: &[u8], udp: &[u8]) -> u32 {
    let length = u16::try_from(udp.len()).unwrap().to_be_bytes();
    let pseudo = [&ip[12..20], &[0, PROTOCOL_UDP], &length].concat();
    sum(&[&pseudo, udp].concat())
}

fn is_intact(frame: &[u8]) -> bool {
    let (ip, udp) = frame[ETHERNET..].split_at(20);
    sum(ip) == 0xffff && udp_sum(ip, udp) == 0xffff
}

fn source(frame: &[u8]) -> SocketAddrV4 {
    endpoint(frame, IP_SOURCE, ETHERNET + 20)
}

fn destination(frame: &[u8]) -> SocketAddrV4 {
    endpoint(frame, IP_DESTINATION, ETHERNET + 22)
}

/// Sends from a port inside and returns where outside it seems to come from.
fn send(nat: &mut Translator, now: Duration, port: u16, to: SocketAddrV4) -> SocketAddrV4 {
    let mut frame = datagram(at(INSIDE, port), to, b"hello");
    assert!(nat.outbound(now, &mut frame));
    assert!(is_intact(&frame));
    assert_eq!(destination(&frame), to);
    source(&frame)
}

#[test]
fn a_port_inside_has_one_outside_whomever_it_speaks_to() {
    let mut nat = translator();
    let [one, other] = [1, 2].map(|n| at(Ipv4Addr::new(198, 51, 100, n), 53));
    let seen = send(&mut nat, SECOND, 6_081, one);
    assert_eq!(*seen.ip(), OUTSIDE);
    assert_eq!(send(&mut nat, SECOND, 6_081, other), seen);
    assert_ne!(send(&mut nat, SECOND, 6_082, one), seen);
    // Anybody's answer gets in, and nothing that was not asked for.
    let stranger = at(Ipv4Addr::new(198, 51, 100, 3), 9);
    let mut answer = datagram(stranger, seen, b"hello");
    assert!(nat.inbound(SECOND, &mut answer));
    assert!(is_intact(&answer));
    assert_eq!((source(&answer), destination(&answer)), (stranger, at(INSIDE, 6_081)));
    assert!(!nat.inbound(SECOND, &mut datagram(stranger, at(OUTSIDE, 6_081), b"hello")));
    assert!(!nat.inbound(SECOND, &mut datagram(stranger, at(INSIDE, seen.port()), b"hello")));
    assert_eq!(nat.mappings(SECOND)[0], (at(INSIDE, 6_081), seen));
}

#[test]
fn a_mapping_lasts_as_long_as_the_inside_uses_it() {
    let mut nat = translator();
    let peer = at(Ipv4Addr::new(198, 51, 100, 1), 53);
    let seen = send(&mut nat, SECOND, 7, peer);
    assert_eq!(send(&mut nat, 31 * SECOND, 7, peer), seen);
    assert!(nat.inbound(61 * SECOND, &mut datagram(peer, seen, b"hello")), "just in time");
    assert!(!nat.inbound(62 * SECOND, &mut datagram(peer, seen, b"hello")), "answers do not help");
    let seen_again = send(&mut nat, 62 * SECOND, 7, peer);
    assert_ne!(seen_again, seen);
    nat.forget();
    assert!(!nat.inbound(62 * SECOND, &mut datagram(peer, seen_again, b"hello")));
}

#[test]
fn what_is_no_datagram_of_the_inside_is_dropped() {
    let mut nat = translator();
    let peer = at(Ipv4Addr::new(198, 51, 100, 1), 53);
    let mut spoofed = datagram(at(OUTSIDE, 7), peer, b"hello");
    assert!(!nat.outbound(SECOND, &mut spoofed));
    assert!(nat.mappings(SECOND).is_empty());
    let good = datagram(at(INSIDE, 7), peer, b"hello");
    let mut fragment = good.clone();
    fragment[ETHERNET + 6] = 0x20;
    assert!(!nat.outbound(SECOND, &mut fragment));
    let mut tcp = good.clone();
    tcp[ETHERNET + 9] = 6;
    assert!(!nat.outbound(SECOND, &mut tcp));
    assert!(!nat.outbound(SECOND, &mut good[..ETHERNET + 27].to_vec()));
    let mut ipv6 = good;
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let before = ipv6.clone();
    assert!(nat.outbound(SECOND, &mut ipv6), "not of its business");
    assert_eq!(ipv6, before);
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut frame = datagram(at(INSIDE, 7), at(OUTSIDE, 8), b"hello");
    frame[ETHERNET + 26..ETHERNET + 28].fill(0);
    assert!(translator().outbound(SECOND, &mut frame));
    assert_eq!(frame[ETHERNET + 26..ETHERNET + 28], [0, 0]);
}

#[test]
fn arp_asks_for_and_tells_the_address_outside() {
    let mut nat = translator();
    let peer = Ipv4Addr::new(203, 0, 113, 1);
    let arp = |sender: Ipv4Addr, target: Ipv4Addr| {
        let mut frame = vec![0; 12];
        frame.extend(ETHERTYPE_ARP);
        frame.extend([0; 14]);
        frame.extend(sender.octets());
        frame.extend([0; 6]);
        frame.extend(target.octets());
        frame
    };
    let mut request = arp(peer, OUTSIDE);
    assert!(nat.inbound(SECOND, &mut request));
    assert_eq!(request, arp(peer, INSIDE));
    let mut reply = arp(INSIDE, peer);
    assert!(nat.outbound(SECOND, &mut reply));
    assert_eq!(reply, arp(OUTSIDE, peer));
    let mut announcement = arp(INSIDE, INSIDE);
    assert!(nat.outbound(SECOND, &mut announcement));
    assert_eq!(announcement, arp(OUTSIDE, OUTSIDE));
    assert!(!nat.inbound(SECOND, &mut arp(peer, INSIDE)), "the inside is not to be seen");
}

#[test]
fn when_every_port_is_given_out_the_next_has_none() {
    let mut nat = translator();
    let ports = u16::MAX - FIRST_PORT + 1;
    // Filled directly: finding each by sending takes its time.
    for n in 0..ports {
        let (inside, outside_port) = (at(INSIDE, n), FIRST_PORT + n);
        nat.mappings.insert(outside_port, Mapping { inside, outside_port, last_used: SECOND });
    }
    let peer = at(Ipv4Addr::new(198, 51, 100, 1), 53);
    assert!(!nat.outbound(SECOND, &mut datagram(at(INSIDE, ports), peer, b"hello")));
    assert!(nat.outbound(40 * SECOND, &mut datagram(at(INSIDE, ports), peer, b"hello")));
}

proptest! {
    #[test]
    fn checksums_stay_right(port: u16, to: u16, host: u8, payload: Vec<u8>) {
        let peer = at(Ipv4Addr::new(198, 51, 100, host), to);
        let mut nat = translator();
        let mut frame = datagram(at(INSIDE, port), peer, &payload);
        prop_assert!(is_intact(&frame));
        prop_assert!(nat.outbound(SECOND, &mut frame));
        prop_assert!(is_intact(&frame));
        let mut answer = datagram(peer, source(&frame), &payload);
        prop_assert!(nat.inbound(SECOND, &mut answer));
        prop_assert!(is_intact(&answer));
        prop_assert_eq!(answer, datagram(peer, at(INSIDE, port), &payload));
    }

    #[test]
    fn any_bytes_are_taken(
        mut frame in proptest::collection::vec(any::<u8>(), 0..80),
        ethertype in prop_oneof![
            Just(ETHERTYPE_IPV4),
            Just(ETHERTYPE_ARP),
            any::<[u8; 2]>(),
        ],
    ) {
        // As much of an unfragmented datagram as there is room for.
        for (at, bytes) in [
            (12, &ethertype[..]),
            (ETHERNET + 6, &[0, 0]),
            (ETHERNET + 9, &[PROTOCOL_UDP]),
            (IP_SOURCE, &INSIDE.octets()),
        ] {
            if let Some(place) = frame.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        let mut nat = translator();
        nat.outbound(SECOND, &mut frame);
        nat.inbound(SECOND, &mut frame);
    }
}
