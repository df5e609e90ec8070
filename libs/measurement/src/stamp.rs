//! The packets of the Simple Two-Way Active Measurement Protocol (STAMP, RFC 8762, unauthenticated,
//! with the session identifier and the extensions of RFC 8972), in Ethernet frames instead of UDP:
//! between switches there is no IP. What UDP ports tell elsewhere is told by two bytes in front.

use std::time::Duration;

use l2sces_model::{ETHERTYPE_PROBE, MacAddress};

/// Bytes in front of the packet: addresses, EtherType, and which packet it is.
const HEADER: usize = 16;
/// Bytes of a packet without extensions, of either kind.
const PACKET: usize = 44;
/// Bytes of the extension that a reflected packet has.
const EXTENSION: usize = 12;

/// Where the fields of both kinds of packet are, from the begin of the frame.
const SEQUENCE: usize = HEADER;
const TIMESTAMP: usize = HEADER + 4;
const ERROR_ESTIMATE: usize = HEADER + 12;
const SESSION: usize = HEADER + 14;
/// Those that only a reflected packet has.
const RECEIVE_TIMESTAMP: usize = HEADER + 16;
const SENDER_SEQUENCE: usize = HEADER + 24;
const SENDER_TIMESTAMP: usize = HEADER + 28;
const SENDER_ERROR_ESTIMATE: usize = HEADER + 36;
const EXTENSION_HEADER: usize = HEADER + PACKET;
const EXTENSION_VALUE: usize = EXTENSION_HEADER + 4;

/// Which packet it is: to a Session-Reflector, and back.
const TO_REFLECTOR: u16 = 1;
const TO_SENDER: u16 = 2;

/// The clock is not synchronised to UTC, its format is that of NTP, and it may be off by a second
/// (RFC 4656, section 4.1.2): only differences are made of it.
const UNSYNCHRONISED: u16 = 32 << 8 | 1;

/// Of the extension: type for private use (RFC 8972, section 5.1), 8 bytes long.
const EXTENSION_THROUGHPUT: u32 = 252 << 16 | 8;

/// The shortest frames of each kind, in bytes, without check sequence. Ethernet's shortest is not
/// below them.
pub const TEST_LENGTH: usize = HEADER + PACKET;
/// Likewise of a reflected packet.
pub const REFLECTED_LENGTH: usize = TEST_LENGTH + EXTENSION;

/// A moment, in the format of NTP (RFC 5905, section 6): seconds and their fraction, 32 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment so long after the clock's beginning.
    pub fn after(beginning: Duration) -> Self {
        let fraction = (u64::from(beginning.subsec_nanos()) << 32) / 1_000_000_000;
        Self(beginning.as_secs() << 32 | fraction)
    }

    /// Nanoseconds from another moment of the same clock to this one; negative if it is later. Right
    /// across the end of an era too.
    pub fn nanoseconds_since(self, earlier: Self) -> i64 {
        let units = i128::from(self.0.wrapping_sub(earlier.0).cast_signed());
        // An era has 2^32 s, so that it fits.
        i64::try_from((units * 1_000_000_000) >> 32).unwrap_or_default()
    }
}

/// A Session-Sender's test packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Counts the session's packets, from 0.
    pub sequence: u32,
    /// Names the session.
    pub session: u16,
    /// When it was sent, by the sender's clock.
    pub sent: Timestamp,
}

/// A Session-Reflector's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reflected {
    /// Counts the test packets of the session that came, from 0.
    pub sequence: u32,
    /// When it was sent, by the reflector's clock.
    pub reflected: Timestamp,
    /// When the test packet came, by the reflector's clock.
    pub arrived: Timestamp,
    /// The test packet.
    pub test: Test,
    /// Bits a second that the reflector knows its own direction of the link to carry; 0: not known.
    pub throughput: u64,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// To be reflected.
    Test(Test),
    /// The answer.
    Reflected(Reflected),
}

impl Test {
    /// The frame that takes it over a tunnel of this address, padded to a length in bytes.
    pub fn frame(&self, tunnel: MacAddress, length: usize) -> Vec<u8> {
        let mut frame = frame(tunnel, TO_REFLECTOR, length.max(TEST_LENGTH));
        self.put(&mut frame, SEQUENCE, TIMESTAMP, ERROR_ESTIMATE);
        put(&mut frame, SESSION, self.session.to_be_bytes());
        frame
    }

    fn put(&self, frame: &mut [u8], sequence: usize, timestamp: usize, error_estimate: usize) {
        put(frame, sequence, self.sequence.to_be_bytes());
        put(frame, timestamp, self.sent.0.to_be_bytes());
        put(frame, error_estimate, UNSYNCHRONISED.to_be_bytes());
    }
}

impl Reflected {
    /// The frame that takes it over a tunnel of this address.
    pub fn frame(&self, tunnel: MacAddress) -> Vec<u8> {
        let mut frame = frame(tunnel, TO_SENDER, REFLECTED_LENGTH);
        self.test.put(&mut frame, SENDER_SEQUENCE, SENDER_TIMESTAMP, SENDER_ERROR_ESTIMATE);
        put(&mut frame, SEQUENCE, self.sequence.to_be_bytes());
        put(&mut frame, TIMESTAMP, self.reflected.0.to_be_bytes());
        put(&mut frame, ERROR_ESTIMATE, UNSYNCHRONISED.to_be_bytes());
        put(&mut frame, SESSION, self.test.session.to_be_bytes());
        put(&mut frame, RECEIVE_TIMESTAMP, self.arrived.0.to_be_bytes());
        put(&mut frame, EXTENSION_HEADER, EXTENSION_THROUGHPUT.to_be_bytes());
        put(&mut frame, EXTENSION_VALUE, self.throughput.to_be_bytes());
        frame
    }
}

/// The packet in a frame, and the address of the tunnel that it came by; none if it is no such frame.
pub fn read(frame: &[u8]) -> Option<(MacAddress, Packet)> {
    let tunnel = MacAddress::new(bytes(frame, 6)?);
    if u16::from_be_bytes(bytes(frame, 12)?) != ETHERTYPE_PROBE || frame.len() < TEST_LENGTH {
        return None;
    }
    let timestamp = |at| Some(Timestamp(u64::from_be_bytes(bytes(frame, at)?)));
    let sequence = u32::from_be_bytes(bytes(frame, SEQUENCE)?);
    let session = u16::from_be_bytes(bytes(frame, SESSION)?);
    let packet = match u16::from_be_bytes(bytes(frame, 14)?) {
        TO_REFLECTOR => Packet::Test(Test { sequence, session, sent: timestamp(TIMESTAMP)? }),
        TO_SENDER => Packet::Reflected(Reflected {
            sequence,
            reflected: timestamp(TIMESTAMP)?,
            arrived: timestamp(RECEIVE_TIMESTAMP)?,
            test: Test {
                sequence: u32::from_be_bytes(bytes(frame, SENDER_SEQUENCE)?),
                session,
                sent: timestamp(SENDER_TIMESTAMP)?,
            },
            throughput: throughput(frame).unwrap_or_default(),
        }),
        _ => return None,
    };
    Some((tunnel, packet))
}

fn throughput(frame: &[u8]) -> Option<u64> {
    let is_ours = u32::from_be_bytes(bytes(frame, EXTENSION_HEADER)?) == EXTENSION_THROUGHPUT;
    is_ours.then_some(u64::from_be_bytes(bytes(frame, EXTENSION_VALUE)?))
}

fn frame(tunnel: MacAddress, kind: u16, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    put(&mut frame, 0, tunnel.bytes());
    put(&mut frame, 12, ETHERTYPE_PROBE.to_be_bytes());
    put(&mut frame, 14, kind.to_be_bytes());
    frame
}

/// Writes a field of a frame that is long enough for it.
fn put<const N: usize>(frame: &mut [u8], at: usize, value: [u8; N]) {
    frame[at..at + N].copy_from_slice(&value);
}

fn bytes<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TUNNEL: MacAddress = MacAddress::new([6, 0x6c, 0, 0, 0, 5]);

    fn test() -> Test {
        Test { sequence: 7, session: 0x1234, sent: Timestamp(0x0102_0304_0506_0708) }
    }

    /// As the switches have it, where the frame arrives.
    fn arriving(mut frame: Vec<u8>) -> Vec<u8> {
        let (destination, source) = frame[..12].split_at_mut(6);
        source.copy_from_slice(destination);
        frame
    }

    /// Figures 2 and 3 of RFC 8762, with the session identifier of RFC 8972, figure 1.
    #[test]
    fn fields_are_where_the_rfc_has_them() {
        let frame = test().frame(TUNNEL, 0);
        assert_eq!(frame.len(), 60);
        assert_eq!(frame[..16], [6, 0x6c, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0x88, 0xb5, 0, 1]);
        assert_eq!(frame[16..32], [0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 32, 1, 0x12, 0x34]);
        assert!(frame[32..].iter().all(|byte| *byte == 0));
        let reflected = Reflected {
            sequence: 3,
            reflected: Timestamp(2),
            arrived: Timestamp(1),
            test: test(),
            throughput: 10,
        };
        let packet = &reflected.frame(TUNNEL)[16..];
        assert_eq!(packet[..16], [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 32, 1, 0x12, 0x34]);
        assert_eq!(packet[16..24], [0, 0, 0, 0, 0, 0, 0, 1], "Receive Timestamp");
        assert_eq!(packet[24..38], [0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 32, 1], "of the sender");
        assert_eq!(packet[38..44], [0; 6]);
        assert_eq!(packet[44..], [0, 252, 0, 8, 0, 0, 0, 0, 0, 0, 0, 10]);
    }

    #[test]
    fn moments_are_told_apart_across_the_end_of_an_era() {
        let (late, early) = (Timestamp(1 << 31), Timestamp(u64::MAX - (1 << 31) + 1));
        assert_eq!(late.nanoseconds_since(early), 1_000_000_000);
        assert_eq!(early.nanoseconds_since(late), -1_000_000_000);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sequence: u32, session: u16, sent: u64, arrived: u64, throughput: u64, length in 0..1_500_usize,
        ) {
            let test = Test { sequence, session, sent: Timestamp(sent) };
            let read_back = read(&arriving(test.frame(TUNNEL, length)));
            prop_assert_eq!(read_back, Some((TUNNEL, Packet::Test(test))));
            let reflected = Reflected {
                sequence: sequence / 2,
                reflected: Timestamp(arrived.wrapping_add(9)),
                arrived: Timestamp(arrived),
                test,
                throughput,
            };
            let read_back = read(&arriving(reflected.frame(TUNNEL)));
            prop_assert_eq!(read_back, Some((TUNNEL, Packet::Reflected(reflected))));
        }

        #[test]
        fn nothing_that_comes_is_too_strange(frame: Vec<u8>) {
            read(&frame);
        }

        #[test]
        fn what_is_cut_short_is_nothing(length in 0..TEST_LENGTH) {
            prop_assert_eq!(read(&arriving(test().frame(TUNNEL, 0))[..length]), None);
        }

        #[test]
        fn time_is_kept_to_a_nanosecond(seconds in 0..u64::from(u32::MAX), nanoseconds in 0..1_000_000_000_u32) {
            let moment = Duration::new(seconds, nanoseconds);
            let since = Timestamp::after(moment).nanoseconds_since(Timestamp::after(Duration::from_secs(seconds)));
            prop_assert!((since - i64::from(nanoseconds)).abs() <= 1);
        }
    }
}
