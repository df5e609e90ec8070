use l2sces_model::{DatapathId, MacAddress};
use l2sces_openflow::*;
use proptest::{collection::vec, option, prelude::*, sample::select};

fn mac() -> impl Strategy<Value = MacAddress> {
    any::<[u8; 6]>().prop_map(MacAddress::new)
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// A number, often a round one.
fn mask64() -> impl Strategy<Value = u64> {
    prop_oneof![Just(u64::MAX), Just(0), Just(0xff_ffff), any::<u64>()]
}

fn field() -> impl Strategy<Value = MatchField> {
    // An IP field, a register, and one of an experimenter's.
    let raw =
        (select(vec![(0x8000, 11), (1, 5), (0xffff, 42)]), any::<bool>(), vec(any::<u8>(), 8));
    prop_oneof![
        any::<u32>().prop_map(MatchField::InPort),
        (any::<u64>(), mask64()).prop_map(|(value, mask)| MatchField::Metadata { value, mask }),
        (mac(), mac()).prop_map(|(value, mask)| MatchField::EthDst { value, mask }),
        mac().prop_map(|value| MatchField::EthDst { value, mask: MacAddress::BROADCAST }),
        (mac(), mac()).prop_map(|(value, mask)| MatchField::EthSrc { value, mask }),
        any::<u16>().prop_map(MatchField::EthType),
        (any::<u64>(), mask64()).prop_map(|(value, mask)| MatchField::TunnelId { value, mask }),
        (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| MatchField::PktMark { value, mask }),
        (any::<u64>(), mask64())
            .prop_map(|(value, mask)| MatchField::TunnelMetadata { value, mask }),
        raw.prop_map(|((class, field), has_mask, payload)| {
            MatchField::Raw(RawField { class, field, has_mask, payload })
        }),
    ]
}

/// At most one field of each kind, in any order.
fn matching() -> impl Strategy<Value = Match> {
    vec(field(), 0..6).prop_map(|fields| {
        let mut seen = Vec::new();
        let name = |field: &MatchField| match field {
            MatchField::Raw(raw) => (9, raw.class),
            MatchField::InPort(_) => (0, 0),
            MatchField::Metadata { .. } => (1, 0),
            MatchField::EthDst { .. } => (2, 0),
            MatchField::EthSrc { .. } => (3, 0),
            MatchField::EthType(_) => (4, 0),
            MatchField::TunnelId { .. } => (5, 0),
            MatchField::PktMark { .. } => (6, 0),
            MatchField::TunnelMetadata { .. } => (7, 0),
        };
        let is_new = |field: &MatchField| {
            let name = name(field);
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_new
        };
        fields.into_iter().filter(is_new).collect()
    })
}

fn bits() -> impl Strategy<Value = Bits> {
    let registers = vec![Register::Metadata, Register::TunnelId, Register::TunnelMetadata];
    (select(registers), 0_u16..64).prop_map(|(register, offset)| Bits { register, offset })
}

fn action() -> impl Strategy<Value = Action> {
    let written = prop_oneof![
        any::<u64>().prop_map(|value| MatchField::TunnelId { value, mask: u64::MAX }),
        any::<u32>().prop_map(|value| MatchField::PktMark { value, mask: u32::MAX }),
        any::<u64>().prop_map(|value| MatchField::TunnelMetadata { value, mask: u64::MAX }),
        mac().prop_map(|value| MatchField::EthSrc { value, mask: MacAddress::BROADCAST }),
    ];
    let raw = (select(vec![11, 17, 18, 0xffff]), 0_usize..4, any::<u8>());
    prop_oneof![
        any::<u32>().prop_map(Action::Output),
        Just(Action::Controller),
        any::<u32>().prop_map(|id| Action::Group(GroupId(id))),
        written.prop_map(Action::SetField),
        (bits(), bits(), 1_u16..32).prop_map(|(from, to, width)| Action::Move { from, to, width }),
        raw.prop_map(|(kind, words, fill)| Action::Raw { kind, body: vec![fill; 4 + 8 * words] }),
    ]
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let raw = (select(vec![3, 5, 0xffff]), 0_usize..4, any::<u8>());
    prop_oneof![
        vec(action(), 0..5).prop_map(Instruction::ApplyActions),
        (any::<u64>(), any::<u64>())
            .prop_map(|(value, mask)| Instruction::WriteMetadata { value, mask }),
        any::<u8>().prop_map(Instruction::GotoTable),
        any::<u32>().prop_map(|id| Instruction::Meter(MeterId(id))),
        raw.prop_map(|(kind, words, fill)| {
            Instruction::Raw { kind, body: vec![fill; 4 + 8 * words] }
        }),
    ]
}

fn flow() -> impl Strategy<Value = Flow> {
    let key = (any::<u8>(), any::<u16>(), matching());
    let key = key.prop_map(|(table, priority, matching)| FlowKey { table, priority, matching });
    let parts = (key, any::<u64>(), any::<u16>(), vec(instruction(), 0..4));
    parts.prop_map(|(key, cookie, idle_timeout, instructions)| Flow {
        key,
        cookie,
        idle_timeout,
        instructions,
    })
}

fn meter() -> impl Strategy<Value = Meter> {
    let frames = any::<(u32, u32)>().prop_map(|(rate, burst)| MeterLimit::Frames { rate, burst });
    let raw = (0..6_u16, vec(any::<u8>(), 0..40));
    let raw = raw.prop_map(|(flags, bands)| MeterLimit::Raw { flags, bands });
    let limit = prop_oneof![frames, raw];
    (any::<u32>(), limit).prop_map(|(id, limit)| Meter { id: MeterId(id), limit })
}

fn removal() -> impl Strategy<Value = FlowRemoved> {
    let reason = prop_oneof![
        Just(RemovalReason::IdleTimeout),
        Just(RemovalReason::HardTimeout),
        Just(RemovalReason::Delete),
        Just(RemovalReason::GroupDelete),
        (4..=u8::MAX).prop_map(RemovalReason::Other),
    ];
    let numbers = any::<(u32, u16, u64, u64)>();
    (flow(), reason, numbers).prop_map(
        |(flow, reason, (duration, hard_timeout, packets, bytes))| {
            let Flow { key, cookie, idle_timeout, .. } = flow;
            FlowRemoved {
                key,
                cookie,
                reason,
                duration,
                idle_timeout,
                hard_timeout,
                packets,
                bytes,
            }
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let not_any = |number: &u32| *number != port::ANY;
    let number = any::<u32>().prop_filter("means none", not_any);
    let watched = number.clone().prop_map(GroupId);
    let bucket = (any::<u16>(), option::of(number), option::of(watched), vec(action(), 0..4));
    let bucket = bucket.prop_map(|(weight, watch_port, watch_group, actions)| Bucket {
        weight,
        watch_port,
        watch_group,
        actions,
    });
    let kinds =
        vec![GroupKind::All, GroupKind::Select, GroupKind::Indirect, GroupKind::FastFailover];
    (any::<u32>(), select(kinds), vec(bucket, 0..4)).prop_map(|(id, kind, buckets)| Group {
        id: GroupId(id),
        kind,
        buckets,
    })
}

fn port_description() -> impl Strategy<Value = PortDescription> {
    (any::<u32>(), "[!-~]{0,15}", mac(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(number, name, hw_addr, shut, link_down, live)| PortDescription {
            number,
            name,
            hw_addr,
            shut,
            link_down,
            live,
        },
    )
}

fn tunnel_option() -> impl Strategy<Value = TunnelOption> {
    any::<(u16, u8, u8, u16)>().prop_map(|(class, kind, length, index)| TunnelOption {
        class,
        kind,
        length,
        index,
    })
}

fn flow_update() -> impl Strategy<Value = FlowUpdate> {
    let events = select(vec![FlowEvent::Added, FlowEvent::Deleted, FlowEvent::Modified]);
    let foreign =
        (events, flow(), any::<(u16, u16)>()).prop_map(|(event, flow, (reason, hard_timeout))| {
            FlowUpdate::Foreign(ForeignUpdate { event, reason, flow, hard_timeout })
        });
    prop_oneof![foreign, any::<u32>().prop_map(|xid| FlowUpdate::Own { xid })]
}

fn request_or_change() -> impl Strategy<Value = Message> {
    let commands = vec![
        FlowModCommand::Add,
        FlowModCommand::ModifyStrict,
        FlowModCommand::Delete,
        FlowModCommand::DeleteStrict,
    ];
    let flow_mod = (select(commands), flow(), any::<u64>())
        .prop_map(|(command, flow, cookie_mask)| FlowMod { command, flow, cookie_mask })
        .boxed();
    let commands = vec![GroupModCommand::Add, GroupModCommand::Modify, GroupModCommand::Delete];
    let group_mod =
        (select(commands), group()).prop_map(|(command, group)| GroupMod { command, group });
    let commands = vec![MeterModCommand::Add, MeterModCommand::Modify, MeterModCommand::Delete];
    let meter_mod =
        (select(commands), meter()).prop_map(|(command, meter)| MeterMod { command, meter });
    let filter = (any::<u8>(), any::<u64>(), any::<u64>(), matching()).prop_map(
        |(table, cookie, cookie_mask, matching)| FlowFilter {
            table,
            cookie,
            cookie_mask,
            matching,
        },
    );
    let packet_out = (vec(action(), 0..4), any::<u32>(), bytes(100))
        .prop_map(|(actions, in_port, data)| PacketOut { buffer: None, in_port, actions, data });
    let bundled = flow_mod.clone().prop_map(|change| {
        let flags = BundleFlags { atomic: true, ordered: false };
        BundleAdd { bundle: 3, flags, message: Box::new(Message::FlowMod(change)) }
    });
    let roles = select(vec![Role::NoChange, Role::Equal, Role::Master, Role::Slave]);
    prop_oneof![
        flow_mod.prop_map(Message::FlowMod),
        group_mod.prop_map(Message::GroupMod),
        meter_mod.prop_map(Message::MeterMod),
        filter.prop_map(|it| Message::MultipartRequest(MultipartRequest::Flows(it))),
        any::<u32>().prop_map(|it| Message::MultipartRequest(MultipartRequest::PortStats(it))),
        packet_out.prop_map(Message::PacketOut),
        bundled.prop_map(Message::BundleAdd),
        bytes(100).prop_map(Message::EchoRequest),
        vec(tunnel_option(), 0..4).prop_map(Message::AddTunnelOptions),
        any::<u32>().prop_map(|id| {
            Message::MultipartRequest(MultipartRequest::FlowMonitor(FlowMonitor { id }))
        }),
        (roles, any::<u64>())
            .prop_map(|(role, generation)| Message::RoleRequest(RoleState { role, generation })),
    ]
}

fn answer_or_event() -> impl Strategy<Value = Message> {
    let numbers = any::<(u32, u16, u64, u64)>();
    let stats = (flow(), numbers).prop_map(|(flow, (duration, hard_timeout, packets, bytes))| {
        FlowStats { flow, duration, hard_timeout, packets, bytes }
    });
    let body = prop_oneof![
        vec(stats, 0..4).prop_map(MultipartBody::Flows),
        vec(group(), 0..4).prop_map(MultipartBody::Groups),
        vec(meter(), 0..4).prop_map(MultipartBody::Meters),
        vec(port_description(), 0..4).prop_map(MultipartBody::Ports),
        vec(flow_update(), 0..4).prop_map(MultipartBody::FlowUpdates),
    ];
    let reply = (any::<bool>(), body).prop_map(|(more, body)| MultipartReply { more, body });
    let features = (1_u64.., any::<(u32, u8, u8, u32)>()).prop_map(
        |(id, (buffers, tables, auxiliary_id, capabilities))| Features {
            datapath_id: DatapathId::try_from(id).unwrap(),
            buffers,
            tables,
            auxiliary_id,
            capabilities,
        },
    );
    let reasons = vec![PacketInReason::NoMatch, PacketInReason::Action, PacketInReason::InvalidTtl];
    let packet_in = (select(reasons), any::<(u16, u8, u64)>(), matching(), bytes(100)).prop_map(
        |(reason, (total_length, table, cookie), matching, data)| PacketIn {
            buffer: None,
            total_length,
            reason,
            table,
            cookie,
            matching,
            data,
        },
    );
    let reasons = vec![PortReason::Added, PortReason::Deleted, PortReason::Modified];
    let port_status = (select(reasons), port_description())
        .prop_map(|(reason, port)| PortStatus { reason, port });
    let error = (any::<u16>(), any::<u16>(), bytes(64))
        .prop_map(|(kind, code, data)| OpenFlowError { kind, code, data });
    let options = (any::<(u32, u16)>(), vec(tunnel_option(), 0..4))
        .prop_map(|((space, fields), mapped)| TunnelOptions { space, fields, mapped });
    prop_oneof![
        options.prop_map(Message::TunnelOptionsReply),
        reply.prop_map(Message::MultipartReply),
        features.prop_map(Message::FeaturesReply),
        packet_in.prop_map(Message::PacketIn),
        port_status.prop_map(Message::PortStatus),
        removal().prop_map(Message::FlowRemoved),
        error.prop_map(Message::Error),
        option::of(any::<u32>())
            .prop_map(|bitmap| Message::Hello(Hello { version: VERSION, bitmap })),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(
        message in prop_oneof![request_or_change(), answer_or_event()],
        xid: u32,
    ) {
        let mut bytes = Vec::new();
        message.encode(xid, &mut bytes).unwrap();
        prop_assert_eq!(Message::decode(&bytes), Ok((xid, message)));
    }

    #[test]
    fn a_change_is_the_message_that_makes_it(
        flow in flow(),
        group in group(),
        meter in meter(),
        xid: u32,
    ) {
        let flow_mod = |command, flow| Message::FlowMod(FlowMod { command, flow, cookie_mask: 0 });
        let group_mod = |command, group| Message::GroupMod(GroupMod { command, group });
        let bare = Flow { key: flow.key.clone(), cookie: 0, idle_timeout: 0, instructions: vec![] };
        let meter_mod = |command, meter| Message::MeterMod(MeterMod { command, meter });
        let unlimited = MeterLimit::Raw { flags: 0, bands: vec![] };
        let no_meter = Meter { id: meter.id, limit: unlimited };
        let none = Group { id: group.id, kind: GroupKind::All, buckets: vec![] };
        let cases = [
            (Change::AddFlow(flow.clone()), flow_mod(FlowModCommand::Add, flow.clone())),
            (Change::DeleteFlow(flow.key), flow_mod(FlowModCommand::DeleteStrict, bare)),
            (Change::PutGroup(group.clone()), group_mod(GroupModCommand::Add, group.clone())),
            (Change::ModifyGroup(group.clone()), group_mod(GroupModCommand::Modify, group.clone())),
            (Change::DeleteGroup(group.id), group_mod(GroupModCommand::Delete, none)),
            (Change::PutMeter(meter.clone()), meter_mod(MeterModCommand::Add, meter.clone())),
            (Change::ModifyMeter(meter.clone()), meter_mod(MeterModCommand::Modify, meter.clone())),
            (Change::DeleteMeter(meter.id), meter_mod(MeterModCommand::Delete, no_meter)),
        ];
        for (change, message) in cases {
            let mut bytes = Vec::new();
            change.encode(xid, &mut bytes).unwrap();
            prop_assert_eq!(Message::decode(&bytes), Ok((xid, message)));
        }
    }

    #[test]
    fn a_match_does_not_depend_on_the_order_of_its_fields(matching in matching()) {
        let fields = matching.fields().to_vec();
        let backwards: Match = fields.iter().rev().cloned().collect();
        let one_by_one = fields.into_iter().rev().fold(Match::any(), Match::with);
        prop_assert_eq!(&backwards, &matching);
        prop_assert_eq!(&one_by_one, &matching);
    }

    #[test]
    fn random_bytes_never_panic(
        kind in 0_u8..=30,
        body in bytes(200),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        message in prop_oneof![request_or_change(), answer_or_event()],
    ) {
        let length = u16::try_from(8 + body.len()).unwrap().to_be_bytes();
        let random: Vec<u8> =
            [4, kind, length[0], length[1], 0, 0, 0, 0].into_iter().chain(body).collect();
        let _ = Message::decode(&random);

        // Nearly right is more dangerous than random.
        let mut bytes = Vec::new();
        message.encode(1, &mut bytes).unwrap();
        for (index, value) in flips {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Ok((xid, decoded)) = Message::decode(&bytes) {
            let mut again = Vec::new();
            decoded.encode(xid, &mut again).unwrap();
            // A text that is no UTF-8 is not kept as it was.
            let is_text = !format!("{decoded:?}").contains(char::REPLACEMENT_CHARACTER);
            prop_assume!(is_text);
            prop_assert_eq!(Message::decode(&again), Ok((xid, decoded)));
        }
    }
}
