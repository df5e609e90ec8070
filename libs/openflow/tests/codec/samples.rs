//! Messages and their bytes. Those marked "Open vSwitch" were recorded between `ovs-ofctl` and
//! `ovs-vswitchd` 3.1.0; the others were written down from the standard.

use l2sces_model::{DatapathId, MacAddress};
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
    [session(), modifications(), foreign(), statistics(), packets(), bundles(), extensions()]
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

fn session() -> Vec<Sample> {
    let features = Features {
        datapath_id: DatapathId::try_from(0x2a).unwrap(),
        buffers: 0,
        tables: 254,
        auxiliary_id: 0,
        capabilities: 0x4f,
    };
    let refused = "040e0048000000060000000000000000000000000000000000000000000080\
                   00ffffffffffffffffffffffff00000000000100040000000000040010000000000016000800000063";
    let refused: Vec<u8> =
        Sample { hex: refused, ..whole("", 0, "", Message::BarrierReply) }.bytes();
    vec![
        whole(
            "hello (Open vSwitch)",
            1,
            "04 00 0010 00000001  0001 0008 00000010",
            Message::Hello(Hello::OURS),
        ),
        lossy(
            "hello of six versions, without padding (Open vSwitch)",
            0x11,
            "06 00 0010 00000011  0001 0008 0000007e",
            Message::Hello(Hello { version: 6, bitmap: Some(0x7e) }),
        ),
        lossy(
            "hello of OpenFlow 1.0",
            7,
            "01 00 0008 00000007",
            Message::Hello(Hello { version: 1, bitmap: None }),
        ),
        whole(
            "error (Open vSwitch)",
            6,
            "0401005400000006 0002 0009 \
             040e004800000006000000000000000000000000000000000000000000008000ffffffffffffffffffffffff\
             00000000000100040000000000040010000000000016000800000063",
            Message::Error(OpenFlowError { kind: 2, code: 9, data: refused }),
        ),
        whole("echo request", 9, "04 02 000a 00000009 6869", Message::EchoRequest(b"hi".to_vec())),
        whole("echo reply", 9, "04 03 000a 00000009 6869", Message::EchoReply(b"hi".to_vec())),
        whole(
            "experimenter: NXT_SET_PACKET_IN_FORMAT (Open vSwitch)",
            5,
            "0404001400000005 00002320 00000010 00000000",
            Message::Experimenter { experimenter: 0x2320, kind: 16, data: vec![0; 4] },
        ),
        whole("features request (Open vSwitch)", 2, "0405000800000002", Message::FeaturesRequest),
        whole(
            "features reply (Open vSwitch)",
            2,
            "0406002000000002 000000000000002a 00000000 fe 00 0000 0000004f 00000000",
            Message::FeaturesReply(features),
        ),
        whole(
            "set config (Open vSwitch)",
            3,
            "0409000c00000003 0000 ffff",
            Message::SetConfig { miss_send_length: 0xffff },
        ),
        whole(
            "get config request, which we have no use for (Open vSwitch)",
            5,
            "0407000800000005",
            Message::Other { kind: 7, body: vec![] },
        ),
        whole("barrier request (Open vSwitch)", 7, "0414000800000007", Message::BarrierRequest),
        whole("barrier reply (Open vSwitch)", 7, "0415000800000007", Message::BarrierReply),
        whole(
            "role request",
            3,
            "0418001800000003 00000002 00000000 0000000000000008",
            Message::RoleRequest(RoleState { role: Role::Master, generation: 8 }),
        ),
        whole(
            "role reply",
            3,
            "0419001800000003 00000003 00000000 ffffffffffffffff",
            Message::RoleReply(RoleState { role: Role::Slave, generation: u64::MAX }),
        ),
    ]
}

fn modifications() -> Vec<Sample> {
    let unicast = key(2, 10, Match::any().metadata(7, 0xff_ffff).eth_dst(MAC));
    let flow_mod = |command, key: &FlowKey, cookie, cookie_mask, instructions| {
        let flow = Flow { key: key.clone(), cookie, idle_timeout: 0, instructions };
        Message::FlowMod(FlowMod { command, flow, cookie_mask })
    };
    let group = |command, id, kind, buckets| {
        let group = Group { id: GroupId(id), kind, buckets };
        Message::GroupMod(GroupMod { command, group })
    };
    let meter = |command, limit| {
        Message::MeterMod(MeterMod { command, meter: Meter { id: MeterId(3), limit } })
    };
    vec![
        whole(
            "flow-mod: add, with tunnel id and group (Open vSwitch, but for the order of fields)",
            6,
            "040e007800000006 0000000100000002 0000000000000000 02 00 0000 0000 000a ffffffff \
             ffffffff ffffffff 0000 0000 0001 0022 \
             800005100000000000000007 0000000000ffffff 80000606020000000001 000000000000 0004 0020 00000000 \
             0019 0010 80004c080000000000002001 0016 0008 00000002",
            flow_mod(
                FlowModCommand::Add,
                &unicast,
                0x1_0000_0002,
                0,
                vec![Instruction::ApplyActions(vec![
                    set_tunnel(0x2001),
                    Action::Group(GroupId(2)),
                ])],
            ),
        ),
        whole(
            "flow-mod: add, with packet mark, metadata and table (Open vSwitch)",
            6,
            "040e008000000006 0000000000000001 0000000000000000 00 00 0000 0000 005a ffffffff \
             ffffffff ffffffff 0000 0000 0001 0014 8000000400000003 0001420400000009 00000000 \
             0004 0018 00000000 0019 0010 0001420400000000 00000000 \
             0002 0018 00000000 0000000000000009 0000000000ffffff 0001 0008 02 000000",
            flow_mod(
                FlowModCommand::Add,
                &key(0, 90, Match::any().in_port(3).pkt_mark(9)),
                1,
                0,
                vec![
                    Instruction::ApplyActions(vec![set_mark(0)]),
                    Instruction::WriteMetadata { value: 9, mask: 0xff_ffff },
                    Instruction::GotoTable(2),
                ],
            ),
        ),
        whole(
            "flow-mod: add, with meter, controller and ingress port (Open vSwitch)",
            6,
            "040e009000000006 0000000000000001 0000000000000000 00 00 0000 0000 005b ffffffff \
             ffffffff ffffffff 0000 0000 0001 002e 8000000400000003 \
             8000090c010000000000010000000000 80000a0288cc 80004c080000000000002001 0000 \
             0006 0008 00000001 0004 0028 00000000 0000 0010 fffffffd ffff 000000000000 \
             0000 0010 fffffff8 0000 000000000000",
            flow_mod(
                FlowModCommand::Add,
                &key(0, 91, {
                    let group_bit = MacAddress::new([1, 0, 0, 0, 0, 0]);
                    Match::any()
                        .with(MatchField::EthSrc { value: group_bit, mask: group_bit })
                        .tunnel_id(0x2001)
                        .eth_type(0x88cc)
                        .in_port(3)
                }),
                1,
                0,
                vec![
                    Instruction::Meter(MeterId(1)),
                    Instruction::ApplyActions(vec![
                        Action::Controller,
                        Action::Output(port::IN_PORT),
                    ]),
                ],
            ),
        ),
        whole(
            "flow-mod: modify strictly (Open vSwitch, but for the order of fields)",
            6,
            "040e005800000006 0000000000000000 0000000000000000 02 02 0000 0000 000a ffffffff \
             ffffffff ffffffff 0000 0000 0001 0022 \
             800005100000000000000007 0000000000ffffff 80000606020000000001 000000000000",
            flow_mod(FlowModCommand::ModifyStrict, &unicast, 0, 0, vec![]),
        ),
        whole(
            "flow-mod: delete strictly (Open vSwitch, but for the order of fields)",
            6,
            "040e005800000006 0000000000000000 0000000000000000 02 04 0000 0000 000a ffffffff \
             ffffffff ffffffff 0000 0000 0001 0022 \
             800005100000000000000007 0000000000ffffff 80000606020000000001 000000000000",
            flow_mod(FlowModCommand::DeleteStrict, &unicast, 0, 0, vec![]),
        ),
        whole(
            "flow-mod: delete by cookie (Open vSwitch)",
            6,
            "040e003800000006 0000000000000009 00000000000000ff 07 03 0000 0000 8000 ffffffff \
             ffffffff ffffffff 0000 0000 0001 0004 00000000",
            flow_mod(FlowModCommand::Delete, &key(7, 0x8000, Match::any()), 9, 0xff, vec![]),
        ),
        whole(
            "group-mod: add all (Open vSwitch)",
            6,
            "040f009000000006 0000 00 00 00000002 \
             0020 0000 ffffffff ffffffff 00000000 0000 0010 00000001 0000 000000000000 \
             0030 0000 ffffffff ffffffff 00000000 0019 0010 80004c080000000000002001 \
             0000 0010 00000002 0000 000000000000 \
             0030 0000 ffffffff ffffffff 00000000 0019 0010 0001420400000007 00000000 \
             0000 0010 00000003 0000 000000000000",
            group(
                GroupModCommand::Add,
                2,
                GroupKind::All,
                vec![
                    Bucket::new(vec![Action::Output(1)]),
                    Bucket::new(vec![set_tunnel(0x2001), Action::Output(2)]),
                    Bucket::new(vec![set_mark(7), Action::Output(3)]),
                ],
            ),
        ),
        whole(
            "group-mod: add fast failover (Open vSwitch)",
            6,
            "040f004800000006 0000 03 00 00000003 \
             0020 0000 00000001 ffffffff 00000000 0000 0010 00000001 0000 000000000000 \
             0018 0000 ffffffff 00000002 00000000 0016 0008 00000002",
            group(
                GroupModCommand::Add,
                3,
                GroupKind::FastFailover,
                vec![
                    Bucket { watch_port: Some(1), ..Bucket::new(vec![Action::Output(1)]) },
                    Bucket {
                        watch_group: Some(GroupId(2)),
                        ..Bucket::new(vec![Action::Group(GroupId(2))])
                    },
                ],
            ),
        ),
        whole(
            "group-mod: modify (Open vSwitch)",
            6,
            "040f003000000006 0001 02 00 00000002 \
             0020 0000 ffffffff ffffffff 00000000 0000 0010 00000001 0000 000000000000",
            group(
                GroupModCommand::Modify,
                2,
                GroupKind::Indirect,
                vec![Bucket::new(vec![Action::Output(1)])],
            ),
        ),
        whole(
            "group-mod: add select",
            6,
            "040f003000000006 0000 01 00 00000004 \
             0020 0003 ffffffff ffffffff 00000000 0000 0010 00000001 0000 000000000000",
            group(
                GroupModCommand::Add,
                4,
                GroupKind::Select,
                vec![Bucket { weight: 3, ..Bucket::new(vec![Action::Output(1)]) }],
            ),
        ),
        whole(
            "flow-mod: add a flow that goes when it is idle",
            7,
            "040e003800000007 0000000000000005 0000000000000000 0a 00 012c 0000 0064 ffffffff \
             ffffffff ffffffff 0001 0000 0001 0004 00000000",
            Message::FlowMod(FlowMod {
                command: FlowModCommand::Add,
                flow: Flow {
                    key: key(10, 100, Match::any()),
                    cookie: 5,
                    idle_timeout: 300,
                    instructions: vec![],
                },
                cookie_mask: 0,
            }),
        ),
        whole(
            "meter-mod: add",
            8,
            "041d002000000008 0000 0006 00000003 0001 0010 00000064 000000c8 00000000",
            meter(MeterModCommand::Add, MeterLimit::Frames { rate: 100, burst: 200 }),
        ),
        whole(
            "meter-mod: modify, to kilobits, which we never do",
            9,
            "041d002000000009 0001 0001 00000003 0001 0010 00000064 00000000 00000000",
            meter(
                MeterModCommand::Modify,
                MeterLimit::Raw {
                    flags: 1,
                    bands: vec![0, 1, 0, 16, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0],
                },
            ),
        ),
        whole(
            "meter-mod: delete",
            10,
            "041d00100000000a 0002 0000 00000003",
            meter(MeterModCommand::Delete, MeterLimit::Raw { flags: 0, bands: vec![] }),
        ),
        whole(
            "group-mod: delete (Open vSwitch)",
            6,
            "040f001000000006 0002 00 00 00000002",
            group(GroupModCommand::Delete, 2, GroupKind::All, vec![]),
        ),
    ]
}

/// A flow of somebody else's, of which we understand next to nothing.
fn foreign_flow() -> Flow {
    let raw = |class, field, has_mask, payload: &[u8]| {
        MatchField::Raw(RawField { class, field, has_mask, payload: payload.to_vec() })
    };
    let action = |kind, body: &[u8]| Action::Raw { kind, body: body.to_vec() };
    let matching = [
        raw(1, 1, true, &[0, 0, 0, 5, 0, 0, 0, 15]),
        MatchField::EthType(0x0800),
        raw(0x8000, 10, false, &[6]),
        raw(0x8000, 11, true, &[10, 0, 0, 0, 255, 0, 0, 0]),
        raw(0x8000, 14, false, &[0, 80]),
        raw(0xffff, 42, true, &[0x4f, 0x4e, 0x46, 0, 0, 2, 0, 0x12]),
    ];
    Flow {
        key: key(7, 3, matching.into_iter().collect()),
        cookie: 9,
        idle_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![
            action(17, &[0x81, 0, 0, 0]),
            action(0xffff, &[0, 0, 0x23, 0x20, 0, 6, 0, 32, 0, 0, 0, 0, 0, 1, 0, 4, 0, 1, 2, 4]),
            action(0xffff, &[0, 0, 0x23, 0x20, 0, 14, 0xff, 0xf8, 4, 0, 0, 0]),
            Action::Output(2),
        ])],
    }
}

fn foreign() -> Vec<Sample> {
    vec![whole(
        "flow-mod: fields and actions that we do not know (Open vSwitch)",
        6,
        "040e00b800000006 0000000000000009 0000000000000000 07 00 0000 0000 0003 ffffffff \
         ffffffff ffffffff 0000 0000 0001 0039 80000a020800 8000140106 \
         800017080a000000ff000000 80001c020050 ffff55084f4e460000020012 \
         00010308000000050000000f 00000000000000 0004 0048 00000000 0011 0008 8100 0000 \
         ffff 0018 00002320 0006 0020 0000 0000 00010004 00010204 \
         ffff 0010 00002320 000e fff8 04 000000 0000 0010 00000002 0000 000000000000",
        Message::FlowMod(FlowMod {
            command: FlowModCommand::Add,
            flow: foreign_flow(),
            cookie_mask: 0,
        }),
    )]
}

fn statistics() -> Vec<Sample> {
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

fn packets() -> Vec<Sample> {
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

fn bundles() -> Vec<Sample> {
    let flags = BundleFlags { atomic: true, ordered: true };
    let control = |kind| Message::BundleControl(BundleControl { bundle: 0, kind, flags });
    vec![
        whole(
            "bundle: open (Open vSwitch)",
            7,
            "0404001800000007 4f4e4600 000008fc 00000000 0000 0003",
            control(BundleControlKind::OpenRequest),
        ),
        lossy(
            "bundle: opened (Open vSwitch)",
            7,
            "0404001800000007 4f4e4600 000008fc 00000000 0001 0000",
            Message::BundleControl(BundleControl {
                bundle: 0,
                kind: BundleControlKind::OpenReply,
                flags: BundleFlags::default(),
            }),
        ),
        whole(
            "bundle: add a flow (Open vSwitch)",
            6,
            "0404005000000006 4f4e4600 000008fd 00000000 0000 0003 \
             040e003800000006 0000000000000000 0000000000000000 01 00 0000 0000 0005 ffffffff \
             ffffffff ffffffff 0000 0000 0001 0004 00000000",
            Message::BundleAdd(BundleAdd {
                bundle: 0,
                flags,
                message: Box::new(Message::FlowMod(FlowMod {
                    command: FlowModCommand::Add,
                    flow: Flow {
                        key: key(1, 5, Match::any()),
                        cookie: 0,
                        idle_timeout: 0,
                        instructions: vec![],
                    },
                    cookie_mask: 0,
                })),
            }),
        ),
        whole(
            "bundle: commit (Open vSwitch)",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0004 0003",
            control(BundleControlKind::CommitRequest),
        ),
        whole(
            "bundle: discard",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0006 0003",
            control(BundleControlKind::DiscardRequest),
        ),
        whole(
            "bundle: close",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0002 0003",
            control(BundleControlKind::CloseRequest),
        ),
    ]
}

/// The option that carries what our tunnels do.
const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

fn extensions() -> Vec<Sample> {
    let updates = |updates| {
        let body = MultipartBody::FlowUpdates(updates);
        Message::MultipartReply(MultipartReply { more: false, body })
    };
    let matching = Match::any().tunnel_metadata(5, 15);
    let foreign = |event, reason| {
        let flow = Flow {
            key: key(3, 7, matching.clone()),
            cookie: 0,
            idle_timeout: 0,
            instructions: vec![],
        };
        let update = ForeignUpdate { event, reason, flow, hard_timeout: 0 };
        updates(vec![FlowUpdate::Foreign(update)])
    };
    let refused = "040400200000000200002320000000180000000000000000fff2810800000000";
    let refused = Sample { hex: refused, ..whole("", 0, "", Message::BarrierReply) }.bytes();
    let data = [0x2320_u32.to_be_bytes().to_vec(), refused].concat();
    vec![
        whole(
            "tunnel options: add (Open vSwitch)",
            2,
            "0404002000000002 00002320 00000018 0000 000000000000 fff2 81 08 0000 0000",
            Message::AddTunnelOptions(vec![OPTION]),
        ),
        whole(
            "tunnel options: delete, which we never do",
            2,
            "0404002000000002 00002320 00000018 0001 000000000000 fff2 81 08 0000 0000",
            Message::Experimenter {
                experimenter: 0x2320,
                kind: 24,
                data: vec![0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xf2, 0x81, 8, 0, 0, 0, 0],
            },
        ),
        whole(
            "tunnel options: already mapped (Open vSwitch)",
            2,
            "0401003000000002 ffff 0014 00002320 \
             0404002000000002 00002320 00000018 0000 000000000000 fff2 81 08 0000 0000",
            Message::Error(OpenFlowError { kind: 0xffff, code: 20, data }),
        ),
        whole(
            "tunnel options: request (Open vSwitch)",
            2,
            "0404001000000002 00002320 00000019",
            Message::TunnelOptionsRequest,
        ),
        whole(
            "tunnel options: reply (Open vSwitch)",
            2,
            "0404002800000002 00002320 0000001a 00000100 0040 00000000000000000000 \
             fff2 81 08 0000 0000",
            Message::TunnelOptionsReply(TunnelOptions {
                space: 256,
                fields: 64,
                mapped: vec![OPTION],
            }),
        ),
        whole(
            "flow monitor: request (Open vSwitch)",
            6,
            "0412003000000006 ffff 0000 00000000 4f4e4600 0000074e \
             00000000 000e 0004 ffffffff ff 000000 0001 0004 00000000",
            Message::MultipartRequest(MultipartRequest::FlowMonitor(FlowMonitor { id: 0 })),
        ),
        whole(
            "flow monitor: cancel",
            7,
            "0404001400000007 4f4e4600 0000074e 00000000",
            Message::CancelFlowMonitor(0),
        ),
        whole(
            "flow monitor: reply (Open vSwitch)",
            6,
            "0413001800000006 ffff 0000 00000000 4f4e4600 0000074e",
            updates(vec![]),
        ),
        whole(
            "flow monitor: added (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0000 0000 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Added, 0),
        ),
        whole(
            "flow monitor: modified (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0002 0000 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Modified, 0),
        ),
        whole(
            "flow monitor: deleted (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0001 0002 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Deleted, 2),
        ),
        whole(
            "flow monitor: our own changes",
            0,
            "0413002800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0008 0003 00000007 0008 0003 00000009",
            updates(vec![FlowUpdate::Own { xid: 7 }, FlowUpdate::Own { xid: 9 }]),
        ),
    ]
}
