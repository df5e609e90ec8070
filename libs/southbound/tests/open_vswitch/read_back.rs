//! What is installed in a real switch reads back as what was wanted.

use crate::support::{OpenVswitch, in_namespace};
use l2sces_model::MacAddress;
use l2sces_openflow::{
    Action, Bucket, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Match, MatchField,
    Program, port,
};
use l2sces_southbound::{Applied, Change, SessionConfig, connect_unix, difference};

const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);

fn flow(table: u8, priority: u16, matching: Match, instructions: Vec<Instruction>) -> Flow {
    let key = FlowKey { table, priority, matching };
    Flow { key, cookie: 0x1_0000_0000 | u64::from(table), idle_timeout: 0, instructions }
}

fn set_tunnel(id: u64) -> Action {
    Action::SetField(MatchField::TunnelId { value: id, mask: u64::MAX })
}

fn set_mark(mark: u32) -> Action {
    Action::SetField(MatchField::PktMark { value: mark, mask: u32::MAX })
}

/// Every kind of flow and group that the fabric makes.
fn program() -> Program {
    use Instruction::{ApplyActions, GotoTable, WriteMetadata};
    let group = |id| Action::Group(GroupId(id));
    let unicast = MacAddress::new([1, 0, 0, 0, 0, 0]);
    let mut program: Program = [
        flow(
            0,
            100,
            Match::any().in_port(1),
            vec![WriteMetadata { value: 7, mask: 0xff_ffff }, GotoTable(1)],
        ),
        flow(
            0,
            100,
            Match::any().in_port(2).tunnel_id(0x2001),
            vec![WriteMetadata { value: 0x8000_0000_0000_0007, mask: u64::MAX }, GotoTable(1)],
        ),
        flow(
            0,
            90,
            Match::any().in_port(3).pkt_mark(9),
            vec![
                ApplyActions(vec![set_mark(0)]),
                WriteMetadata { value: 9, mask: 0xff_ffff },
                GotoTable(2),
            ],
        ),
        flow(0, 200, Match::any().eth_type(0x88cc), vec![ApplyActions(vec![Action::Controller])]),
        flow(
            1,
            10,
            Match::any().metadata(7, 0xff_ffff).in_port(1).eth_src(MAC),
            vec![GotoTable(2)],
        ),
        flow(
            2,
            10,
            Match::any().metadata(7, 0xff_ffff).eth_dst(MAC),
            vec![ApplyActions(vec![set_tunnel(0x2001), group(1)])],
        ),
        flow(
            2,
            9,
            Match::any().metadata(7, 0xff_ffff).eth_dst_masked(unicast, unicast),
            vec![GotoTable(3)],
        ),
        flow(2, 8, Match::any().with(MatchField::PktMark { value: 0x10, mask: 0xf0 }), vec![]),
        flow(2, 7, Match::any().with(MatchField::TunnelId { value: 1, mask: 1 }), vec![]),
        flow(
            3,
            10,
            Match::any().metadata(7, u64::MAX),
            vec![ApplyActions(vec![
                Action::SetField(MatchField::EthSrc { value: MAC, mask: MacAddress::BROADCAST }),
                Action::Output(port::IN_PORT),
                Action::Output(1),
                group(2),
            ])],
        ),
        flow(3, 0, Match::any(), vec![]),
    ]
    .into_iter()
    .collect();
    program.extend([
        Group {
            id: GroupId(1),
            kind: GroupKind::Indirect,
            buckets: vec![Bucket::new(vec![Action::Output(2)])],
        },
        Group {
            id: GroupId(2),
            kind: GroupKind::All,
            buckets: vec![
                Bucket::new(vec![Action::Output(1)]),
                Bucket::new(vec![set_tunnel(0x2001), Action::Output(2)]),
                Bucket::new(vec![set_mark(7), Action::Output(3)]),
                Bucket::new(vec![group(1)]),
            ],
        },
        Group { id: GroupId(3), kind: GroupKind::All, buckets: vec![] },
        Group {
            id: GroupId(0x8000_0001),
            kind: GroupKind::FastFailover,
            buckets: vec![
                Bucket { watch_port: Some(1), ..Bucket::new(vec![Action::Output(1)]) },
                Bucket { watch_group: Some(GroupId(1)), ..Bucket::new(vec![group(1)]) },
            ],
        },
        Group {
            id: GroupId(4),
            kind: GroupKind::Select,
            buckets: vec![Bucket { weight: 3, ..Bucket::new(vec![Action::Output(1)]) }],
        },
    ]);
    program
}

#[test]
fn a_program_reads_back_as_it_was_wanted() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        (1..=3).for_each(|number| ovs.add_port(&format!("p{number}"), number));
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();

        let wanted = program();
        let changes = difference(&wanted, &Program::default(), false);
        assert_eq!(changes.len(), wanted.flows.len() + wanted.groups.len());
        assert_eq!(switch.handle.apply(changes).await, Ok(Applied::default()));

        let installed = switch.handle.read_program().await.unwrap();
        assert_eq!(difference(&wanted, &installed, true), []);
        assert_eq!(installed, wanted);
    });
}

#[test]
fn what_somebody_edits_by_hand_is_mended_and_nothing_else() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let wanted = program();
        let changes = difference(&wanted, &Program::default(), true);
        assert_eq!(switch.handle.apply(changes).await, Ok(Applied::default()));

        // Deleted, changed, added (with fields and actions that we do not know), and a group of each.
        let unicast = "metadata=7/0xffffff,dl_dst=02:00:00:00:00:01";
        ovs.ofctl("--strict del-flows", &format!("table=2,priority=10,{unicast}"));
        ovs.ofctl("--strict mod-flows", "table=3,priority=0,actions=output:1");
        let foreign = "tcp,tcp_flags=+syn-ack,nw_src=10.0.0.0/8,tp_dst=80,reg1=5/0xf,ct_state=+trk";
        let actions = "push_vlan:0x8100,move:NXM_NX_REG0[]->NXM_NX_REG1[],resubmit(,4),output:2";
        ovs.ofctl("add-flow", &format!("table=7,priority=3,cookie=9,{foreign},actions={actions}"));
        ovs.ofctl("mod-group", "group_id=1,type=indirect,bucket=output:3");
        ovs.ofctl("add-group", "group_id=77,type=select,bucket=weight:1,output:1");
        ovs.ofctl("add-flow", "table=8,priority=0,actions=group:77");

        let installed = switch.handle.read_program().await.unwrap();
        let added: Vec<_> = installed.flows.keys().filter(|key| key.table > 6).cloned().collect();
        let [seventh, eighth] = &added[..] else { panic!("{added:?}") };
        let key = FlowKey {
            table: 2,
            priority: 10,
            matching: Match::any().metadata(7, 0xff_ffff).eth_dst(MAC),
        };
        let drop = FlowKey { table: 3, priority: 0, matching: Match::any() };
        let mends = difference(&wanted, &installed, true);
        assert_eq!(
            mends,
            [
                Change::ModifyGroup(wanted.groups[&GroupId(1)].with_id(GroupId(1))),
                Change::AddFlow(wanted.flows[&key].with_key(&key)),
                Change::AddFlow(wanted.flows[&drop].with_key(&drop)),
                Change::DeleteFlow(seventh.clone()),
                Change::DeleteFlow(eighth.clone()),
                Change::DeleteGroup(GroupId(77)),
            ]
        );
        // Who does not know everything that is wanted only adds what is missing.
        assert_eq!(difference(&wanted, &installed, false), [mends[1].clone()]);

        assert_eq!(switch.handle.apply(mends).await, Ok(Applied::default()));
        assert_eq!(switch.handle.read_program().await.unwrap(), wanted);
    });
}

#[test]
fn the_text_of_a_flow_is_the_one_that_ovs_ofctl_takes() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let wanted = program();
        for (id, group) in &wanted.groups {
            ovs.ofctl("add-group", &group.with_id(*id).to_string());
        }
        for (key, body) in &wanted.flows {
            ovs.ofctl("add-flow", &body.with_key(key).to_string());
        }
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        assert_eq!(switch.handle.read_program().await.unwrap(), wanted);
    });
}
