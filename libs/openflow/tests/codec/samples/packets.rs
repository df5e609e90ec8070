//! Packets, and what a switch tells unasked.

use l2sces_model::MacAddress;
use l2sces_openflow::*;

use super::{Sample, key, lossy, whole};

pub(super) fn all() -> Vec<Sample> {
    let frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    let description = PortDescription {
        number: 2,
        name: "p2".to_owned(),
        hw_addr: MacAddress::new([2, 0, 0, 0, 0, 2]),
        shut: true,
        link_down: true,
        live: false,
    };
    vec![
        whole(
            "flow-removed",
            0,
            "040b004000000000 0000000000000005 0064 00 0a 00000141 00000000 012c 0000 \
             0000000000000002 0000000000000080 0001 000c 80000004 00000002 00000000",
            Message::FlowRemoved(FlowRemoved {
                key: key(10, 100, Match::any().in_port(2)),
                cookie: 5,
                reason: RemovalReason::IdleTimeout,
                duration: 321,
                idle_timeout: 300,
                hard_timeout: 0,
                packets: 2,
                bytes: 128,
            }),
        ),
        whole(
            "packet-in (Open vSwitch)",
            0,
            "040a004000000000 ffffffff 000e 01 00 0000000000000005 \
             0001 0014 8000000400000001 0001420400000009 00000000 0000 \
             0200000000020200000000 0188b5",
            Message::PacketIn(PacketIn {
                buffer: None,
                total_length: 14,
                reason: PacketInReason::Action,
                table: 0,
                cookie: 5,
                matching: Match::any().in_port(1).pkt_mark(9),
                data: frame.clone(),
            }),
        ),
        whole(
            "packet-out (Open vSwitch)",
            6,
            "040d003600000006 ffffffff 00000001 0010 000000000000 \
             0000 0010 00000002 0000 000000000000 0200000000020200000000 0188b5",
            Message::PacketOut(PacketOut {
                buffer: None,
                in_port: 1,
                actions: vec![Action::Output(2)],
                data: frame,
            }),
        ),
        lossy(
            "port status: gone (Open vSwitch)",
            0,
            "040c005000000000 01 00000000000000 00000002 00000000 020000000002 0000 \
             70320000000000000000000000000000 00000001 00000001 00000840 00000000 00000000 00000000 \
             00989680 00000000",
            Message::PortStatus(PortStatus {
                reason: PortReason::Deleted,
                port: description.clone(),
            }),
        ),
        whole(
            "port status: alive",
            0,
            "040c005000000000 02 00000000000000 00000002 00000000 020000000002 0000 \
             70320000000000000000000000000000 00000000 00000004 00000000 00000000 00000000 00000000 \
             00000000 00000000",
            Message::PortStatus(PortStatus {
                reason: PortReason::Modified,
                port: PortDescription { shut: false, link_down: false, live: true, ..description },
            }),
        ),
    ]
}
