//! Messages and their bytes. Those marked "Open vSwitch" were recorded between `ovs-ofctl` and
//! `ovs-vswitchd` 3.1.0; the others were written down from the standard.

mod bundles;
mod extensions;
mod foreign;
mod modifications;
mod packets;
mod session;
mod statistics;

use l2sces_model::MacAddress;
use l2sces_openflow::*;

pub(crate) const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

/// A message and its bytes.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) xid: u32,
    pub(crate) message: Message,
    /// Hexadecimal; blanks are only for people.
    pub(crate) hex: &'static str,
    /// Whether the bytes say nothing that the message does not keep, so that it encodes to them.
    pub(crate) is_whole: bool,
}

impl Sample {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let digits: Vec<u8> = self.hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }
}

fn whole(name: &'static str, xid: u32, hex: &'static str, message: Message) -> Sample {
    Sample { name, xid, message, hex, is_whole: true }
}

fn lossy(name: &'static str, xid: u32, hex: &'static str, message: Message) -> Sample {
    Sample { name, xid, message, hex, is_whole: false }
}

pub(crate) fn all() -> Vec<Sample> {
    [
        session::all(),
        modifications::all(),
        foreign::all(),
        statistics::all(),
        packets::all(),
        bundles::all(),
        extensions::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn key(table: u8, priority: u16, matching: Match) -> FlowKey {
    FlowKey { table, priority, matching }
}

fn set_tunnel(id: u64) -> Action {
    Action::SetField(MatchField::TunnelId { value: id, mask: u64::MAX })
}

fn set_mark(mark: u32) -> Action {
    Action::SetField(MatchField::PktMark { value: mark, mask: u32::MAX })
}
