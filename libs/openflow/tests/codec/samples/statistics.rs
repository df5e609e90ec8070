//! Multipart requests and replies.

use l2sces_model::MacAddress;
use l2sces_openflow::*;

use super::{MAC, Sample, foreign::foreign_flow, key, lossy, set_mark, whole};

pub(super) fn all() -> Vec<Sample> {
    let reply = |more, body| Message::MultipartReply(MultipartReply { more, body });
    let stats =
        |flow, duration| FlowStats { flow, duration, hard_timeout: 0, packets: 0, bytes: 0 };
    let marked = Flow {
        key: key(0, 90, Match::any().in_port(3).pkt_mark(9)),
        cookie: 1,
        idle_timeout: 0,
        instructions: vec![
            Instruction::ApplyActions(vec![set_mark(0)]),
            Instruction::WriteMetadata { value: 9, mask: 0xff_ffff },
            Instruction::GotoTable(2),
        ],
    };
    let port = |number, name: &str, hw_addr| PortDescription {
        number,
        name: name.to_owned(),
        hw_addr,
        shut: true,
        link_down: true,
        live: false,
    };
    vec![
        whole(
            "multipart request: flows (Open vSwitch)",
            2,
            "0412003800000002 0001 0000 00000000 ff 000000 ffffffff ffffffff 00000000 \
             0000000000000000 0000000000000000 0001 0004 00000000",
            Message::MultipartRequest(MultipartRequest::Flows(FlowFilter::all())),
        ),
        whole(
            "multipart request: groups (Open vSwitch)",
            2,
            "0412001000000002 0007 0000 00000000",
            Message::MultipartRequest(MultipartRequest::Groups),
        ),
        whole(
            "multipart request: ports (Open vSwitch)",
            4,
            "0412001000000004 000d 0000 00000000",
            Message::MultipartRequest(MultipartRequest::Ports),
        ),
        whole(
            "multipart request: port counters (Open vSwitch)",
            2,
            "0412001800000002 0004 0000 00000000 00000001 00000000",
            Message::MultipartRequest(MultipartRequest::PortStats(1)),
        ),
        whole(
            "multipart request: description (Open vSwitch)",
            2,
            "0412001000000002 0000 0000 00000000",
            Message::MultipartRequest(MultipartRequest::Description),
        ),
        whole(
            "multipart request: group features, which we never ask for",
            2,
            "0412001000000002 0008 0000 00000000",
            Message::MultipartRequest(MultipartRequest::Other { kind: 8, body: vec![] }),
        ),
        lossy(
            "multipart reply: flows (Open vSwitch)",
            2,
            "0413014800000002 0001 0000 00000000 \
             0080 00 00 00000000 1082af40 005a 0000 0000 0000 00000000 0000000000000001 \
             0000000000000000 0000000000000000 0001 0014 8000000400000003 0001420400000009 \
             00000000 0004 0018 00000000 0019 0010 0001420400000000 00000000 0002 0018 00000000 \
             0000000000000009 0000000000ffffff 0001 0008 02 000000 \
             00b8 07 00 00000000 07fcad80 0003 0000 0000 0000 00000000 0000000000000009 \
             0000000000000000 0000000000000000 0001 0039 80000a020800 8000140106 \
             800017080a000000ff000000 80001c020050 ffff55084f4e460000020012 \
             00010308000000050000000f 00000000000000 0004 0048 00000000 0011 0008 8100 0000 \
             ffff 0018 00002320 0006 0020 0000 0000 00010004 00010204 \
             ffff 0010 00002320 000e fff8 04 000000 0000 0010 00000002 0000 000000000000",
            reply(
                false,
                MultipartBody::Flows(vec![stats(marked.clone(), 0), stats(foreign_flow(), 0)]),
            ),
        ),
        whole(
            "multipart reply: a flow with timeouts and counters, more to come",
            2,
            "0413004800000002 0001 0001 00000000 \
             0038 03 00 0000000b 00000000 0000 0007 0008 0000 00000000 0000000000000005 \
             0000000000000009 000000000000000a 0001 0004 00000000",
            reply(
                true,
                MultipartBody::Flows(vec![FlowStats {
                    flow: Flow {
                        key: key(3, 0, Match::any()),
                        cookie: 5,
                        idle_timeout: 7,
                        instructions: vec![],
                    },
                    duration: 11,
                    hard_timeout: 8,
                    packets: 9,
                    bytes: 10,
                }]),
            ),
        ),
        whole(
            "multipart reply: groups (Open vSwitch)",
            2,
            "0413007800000002 0007 0000 00000000 \
             0028 02 00 00000002 0020 0000 ffffffff ffffffff 00000000 \
             0000 0010 00000001 0000 000000000000 \
             0040 03 00 00000003 0020 0000 00000001 ffffffff 00000000 \
             0000 0010 00000001 0000 000000000000 \
             0018 0000 ffffffff 00000002 00000000 0016 0008 00000002",
            reply(
                false,
                MultipartBody::Groups(vec![
                    Group {
                        id: GroupId(2),
                        kind: GroupKind::Indirect,
                        buckets: vec![Bucket::new(vec![Action::Output(1)])],
                    },
                    Group {
                        id: GroupId(3),
                        kind: GroupKind::FastFailover,
                        buckets: vec![
                            Bucket { watch_port: Some(1), ..Bucket::new(vec![Action::Output(1)]) },
                            Bucket {
                                watch_group: Some(GroupId(2)),
                                ..Bucket::new(vec![Action::Group(GroupId(2))])
                            },
                        ],
                    },
                ]),
            ),
        ),
        whole(
            "multipart request: meters",
            4,
            "0412001800000004 000a 0000 00000000 ffffffff 00000000",
            Message::MultipartRequest(MultipartRequest::Meters),
        ),
        whole(
            "multipart reply: meters",
            4,
            "0413002800000004 000a 0000 00000000 \
             0018 0006 00000003 0001 0010 00000064 000000c8 00000000",
            reply(
                false,
                MultipartBody::Meters(vec![Meter {
                    id: MeterId(3),
                    limit: MeterLimit::Frames { rate: 100, burst: 200 },
                }]),
            ),
        ),
        lossy(
            "multipart reply: ports (Open vSwitch)",
            4,
            "0413009000000004 000d 0000 00000000 \
             fffffffe 00000000 02000000002a 0000 62723000000000000000000000000000 00000001 00000001 \
             00000840 00000000 00000000 00000000 00989680 00000000 \
             00000001 00000000 020000000001 0000 70310000000000000000000000000000 00000001 00000001 \
             00000840 00000000 00000000 00000000 00989680 00000000",
            reply(
                false,
                MultipartBody::Ports(vec![
                    port(port::LOCAL, "br0", MacAddress::new([2, 0, 0, 0, 0, 0x2a])),
                    port(1, "p1", MAC),
                ]),
            ),
        ),
        whole(
            "multipart reply: port counters",
            2,
            "0413008000000002 0004 0000 00000000 00000001 00000000 \
             0000000000000001 0000000000000002 0000000000000003 0000000000000004 \
             0000000000000005 0000000000000006 0000000000000007 0000000000000008 \
             ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff \
             00000009 00000000",
            reply(
                false,
                MultipartBody::PortStats(vec![PortCounters {
                    number: 1,
                    rx_packets: 1,
                    tx_packets: 2,
                    rx_bytes: 3,
                    tx_bytes: 4,
                    rx_dropped: 5,
                    tx_dropped: 6,
                    rx_errors: 7,
                    tx_errors: 8,
                    duration: 9,
                }]),
            ),
        ),
        whole(
            "multipart reply: group features, which we never ask for",
            2,
            "0413003800000002 0008 0000 00000000 0000000f 00000007 ffffff00 ffffff00 ffffff00 \
             ffffff00 00000001 00000001 00000001 00000001",
            reply(
                false,
                MultipartBody::Other {
                    kind: 8,
                    body: [15, 7, 0xffff_ff00, 0xffff_ff00, 0xffff_ff00, 0xffff_ff00, 1, 1, 1, 1]
                        .into_iter()
                        .flat_map(u32::to_be_bytes)
                        .collect(),
                },
            ),
        ),
    ]
}
