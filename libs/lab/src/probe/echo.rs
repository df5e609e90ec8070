use std::{
    fs,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
};

/// ICMP types (RFC 792).
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Pings an address every `interval`, however often sending fails for want of an interface, until
/// the first reply, and returns when that came. So it can be started before the network exists.
///
/// The interface, once it is there, repeats ARP requests at the same pace: with the usual second
/// between them, the time until the first reply would tell of the kernel's patience only.
///
/// # Errors
/// No reply comes within `limit`.
pub async fn first_reply(
    namespace: &Namespace,
    interface: &str,
    destination: Ipv4Addr,
    interval: Duration,
    limit: Duration,
) -> Result<Instant, LabError> {
    let what = || format!("ping {destination} in {}", namespace.name());
    let arp = PathBuf::from("/proc/sys/net/ipv4/neigh").join(interface).join("retrans_time_ms");
    let inside = namespace.clone();
    let probing = tokio::task::spawn_blocking(move || {
        inside.enter(move || Probe::new(destination, arp, interval)?.run(limit))
    });
    let reply = probing.await.map_err(io::Error::other).context(what)?.context(what)?;
    reply.ok_or_else(|| LabError::Timeout {
        what: format!("{destination} answers a ping from {}", namespace.name()),
        limit,
        detail: String::new(),
    })
}

/// Pings an address all the time, until it is dropped.
///
/// ping(8) does not sleep between requests that are less than 10 ms apart: it would take a processor
/// from what is measured.
pub struct Pinging {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pinging {
    /// Pings every `interval`, whatever becomes of the requests.
    ///
    /// # Errors
    /// There is no such namespace, or no thread to be had.
    pub fn start(
        namespace: &Namespace,
        destination: Ipv4Addr,
        interval: Duration,
    ) -> Result<Self, LabError> {
        let what = || format!("ping {destination} in {}", namespace.name());
        let socket = namespace.enter(icmp_socket).context(what)?;
        let stops = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stops);
        let destination = SocketAddr::from((destination, 0)).into();
        let ping = move || {
            let identifier = rand::random();
            let mut due = Instant::now();
            for sequence in (0..=u16::MAX).cycle() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                // Fails as long as there is no way to the destination.
                let _ = socket.send_to(&request(identifier, sequence), &destination);
                due += interval;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        let thread = thread::Builder::new().name("pinging".to_owned()).spawn(ping).context(what)?;
        Ok(Self { stops, thread: Some(thread) })
    }
}

impl Drop for Pinging {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked does not ping any more either.
            let _ = thread.join();
        }
    }
}

fn icmp_socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))
}

struct Probe {
    socket: Socket,
    destination: Ipv4Addr,
    /// The kernel's time between ARP requests on the interface.
    arp: PathBuf,
    interval: Duration,
    identifier: u16,
}

impl Probe {
    fn new(destination: Ipv4Addr, arp: PathBuf, interval: Duration) -> io::Result<Self> {
        let socket = icmp_socket()?;
        socket.set_read_timeout(Some(interval))?;
        Ok(Self { socket, destination, arp, interval, identifier: rand::random() })
    }

    fn run(&self, limit: Duration) -> io::Result<Option<Instant>> {
        let start = Instant::now();
        let mut due = start;
        let mut sequence = 0;
        while start.elapsed() < limit {
            if due <= Instant::now() {
                let is_sent = self.send(sequence);
                sequence = sequence.wrapping_add(1);
                due += self.interval;
                if !is_sent {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    continue;
                }
            }
            if self.receives_reply()? {
                return Ok(Some(Instant::now()));
            }
        }
        Ok(None)
    }

    /// Sends a request; that fails until the namespace has an interface with an address.
    fn send(&self, sequence: u16) -> bool {
        let milliseconds = self.interval.as_millis().to_string();
        let destination = SocketAddr::from((self.destination, 0)).into();
        fs::write(&self.arp, milliseconds).is_ok()
            && self.socket.send_to(&request(self.identifier, sequence), &destination).is_ok()
    }

    fn receives_reply(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 2048];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                // SAFETY: recv has filled this many bytes.
                let packet = unsafe { &*(&raw const buffer[..length] as *const [u8]) };
                Ok(is_reply(packet, self.identifier))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn request(identifier: u16, sequence: u16) -> Vec<u8> {
    let mut message = vec![ECHO_REQUEST, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend([0x5a; 16]);
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// Whether an IPv4 packet, as a raw socket gives it, is the reply to a request of ours.
fn is_reply(packet: &[u8], identifier: u16) -> bool {
    let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(header..header + 6).is_some_and(|message| {
        message[0] == ECHO_REPLY && message[4..6] == identifier.to_be_bytes()
    })
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .fold(0_u32, u32::wrapping_add);
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_up_to_nothing() {
        assert_eq!(checksum(&request(0x1234, 7)), 0);
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2,
            "RFC 1071"
        );
    }

    #[test]
    fn a_reply_is_told_from_a_request_and_from_another_s_reply() {
        let mut packet = vec![0x45];
        packet.resize(20, 0);
        packet.extend(request(7, 1));
        assert!(!is_reply(&packet, 7));
        packet[20] = ECHO_REPLY;
        assert!(is_reply(&packet, 7));
        assert!(!is_reply(&packet, 8));
        assert!(!is_reply(&packet[..20], 7));
        assert!(!is_reply(&[], 7));
    }
}
