//! Changes of flows, groups and meters.

use l2sces_model::MacAddress;
use l2sces_openflow::*;

use super::{MAC, Sample, key, set_mark, set_tunnel, whole};

pub(super) fn all() -> Vec<Sample> {
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
