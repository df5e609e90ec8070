//! Finding out what a network does, from inside network namespaces: with ping, nmap and dig, and
//! with sockets of our own.
//!
//! A probe that says "nothing arrived" is worth something only beside one that shows that the
//! detector works: let every such check have a positive control.

mod capture;
mod dns;
mod echo;
mod frame;
mod links;
mod multicast;
mod ping;
mod recording;
mod scan;
mod sniffer;
mod stream;

pub use dns::{Answer, look_up, resolve, reverse};
pub use echo::{Pinging, first_reply};
pub use frame::{Frame, send_frames};
pub use links::{LinkCounters, LinkName};
pub use multicast::{MulticastReceiver, send_multicast};
pub use ping::{Ping, PingReport, RunningPing};
pub use recording::{RecordedFrame, Recording};
pub use scan::{Host, scan_arp, scan_echo};
pub use sniffer::Sniffer;
pub use stream::{Received, Stream, StreamId, StreamReceiver, StreamSpec};

/// 16 random bytes that tell a probe's own frames from all others.
pub fn marker() -> [u8; 16] {
    rand::random()
}
