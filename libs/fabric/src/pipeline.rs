//! The flow tables, as named data: every flow and group that a switch can get is made here.
//!
//! `docs/pipeline.md` tells the story; the constants and constructors below are the facts.

use l2sces_model::{MacAddress, Vni};
use l2sces_openflow::{
    Action, Bucket, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Match, MatchField,
};

/// Tells the network from the port that a frame came in by.
pub const CLASSIFY: u8 = 0;
/// Lets in only the source address that an access port has been given.
pub const SECURITY: u8 = 10;
/// Finds the way to a known destination.
pub const FORWARD: u8 = 20;
/// Hands a frame to everyone else in the network.
pub const FLOOD: u8 = 30;

/// Ethernet type of LLDP (IEEE 802.1AB, section 7.4).
pub const ETHERTYPE_LLDP: u16 = 0x88cc;

/// The addresses that no bridge forwards (IEEE 802.1Q, section 8.6.3): 01:80:c2:00:00:00 to :0f.
const LINK_LOCAL: MacAddress = MacAddress::new([0x01, 0x80, 0xc2, 0, 0, 0]);
const LINK_LOCAL_MASK: MacAddress = MacAddress::new([0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);

/// The bit of a tunnel id or packet mark that says: the first switch flooded this frame, so deliver
/// it along the network's tree; without it: forward to the known destination, never flood.
const FLOODED: u32 = 1 << 23;

/// The bits of the metadata that hold the network.
const NETWORK_MASK: u64 = 0x7f_ffff;

/// The bit of the metadata that says: came in by an access port, so an unknown destination may be
/// flooded.
const FROM_ACCESS: u64 = 1 << 32;

/// Marks our flows: "l2" in the highest bytes, the network in the lowest.
const COOKIE: u64 = 0x6c32 << 48;

const PRIORITY_DISCOVERY: u16 = 300;
const PRIORITY_GUARD: u16 = 200;
const PRIORITY_NETWORK: u16 = 100;
const PRIORITY_MISS: u16 = 1;

/// The group that floods a network's frames on one switch.
pub const fn flood_group(vni: Vni) -> GroupId {
    GroupId(vni.get())
}

/// The group that leads towards one switch by the links of one slice.
pub const fn destination_group(slice_ordinal: u16, switch_ordinal: u16) -> GroupId {
    GroupId(1 << 31 | (slice_ordinal as u32 & 0x7fff) << 16 | switch_ordinal as u32)
}

/// One of a network's ports on a switch, as the pipeline sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// An endpoint on the port.
    Access(u32),
    /// The patch port to the node's other switch.
    Trunk(u32),
    /// A tunnel of the network's tree.
    Link(u32),
}

fn flow(
    cookie: u64,
    table: u8,
    priority: u16,
    matching: Match,
    instructions: Vec<Instruction>,
) -> Flow {
    Flow { key: FlowKey { table, priority, matching }, cookie, instructions }
}

fn network_flow(vni: Vni, table: u8, matching: Match, instructions: Vec<Instruction>) -> Flow {
    flow(COOKIE | u64::from(vni.get()), table, PRIORITY_NETWORK, matching, instructions)
}

/// The metadata of a network's frames, as an instruction.
fn enter(vni: Vni, flags: u64) -> Instruction {
    Instruction::WriteMetadata {
        value: u64::from(vni.get()) | flags,
        mask: NETWORK_MASK | FROM_ACCESS,
    }
}

/// A tunnel id or packet mark without its mask, as a set-field action takes it.
fn label(vni: Vni, flooded: bool) -> u32 {
    if flooded { vni.get() | FLOODED } else { vni.get() }
}

fn set_tunnel_id(vni: Vni, flooded: bool) -> Action {
    Action::SetField(MatchField::TunnelId { value: label(vni, flooded).into(), mask: u64::MAX })
}

fn set_mark(mark: u32) -> Action {
    Action::SetField(MatchField::PktMark { value: mark, mask: u32::MAX })
}

/// What every switch has: no LLDP and no bridge control frame of an endpoint goes anywhere, and an
/// endpoint's frame to an unknown destination is flooded.
pub fn base() -> [Flow; 3] {
    [
        flow(COOKIE, CLASSIFY, PRIORITY_GUARD, Match::any().eth_type(ETHERTYPE_LLDP), Vec::new()),
        flow(
            COOKIE,
            CLASSIFY,
            PRIORITY_GUARD,
            Match::any().eth_dst_masked(LINK_LOCAL, LINK_LOCAL_MASK),
            Vec::new(),
        ),
        flow(
            COOKIE,
            FORWARD,
            PRIORITY_MISS,
            Match::any().metadata(FROM_ACCESS, FROM_ACCESS),
            vec![Instruction::GotoTable(FLOOD)],
        ),
    ]
}

/// Link discovery frames that come in by a tunnel go to the controller.
pub fn discovery(link: u32) -> Flow {
    flow(
        COOKIE,
        CLASSIFY,
        PRIORITY_DISCOVERY,
        Match::any().in_port(link).eth_type(ETHERTYPE_LLDP).tunnel_id(0),
        vec![Instruction::ApplyActions(vec![Action::Controller])],
    )
}

/// Frames of an access port's one endpoint enter the network.
pub fn access(vni: Vni, port: u32, mac: MacAddress) -> [Flow; 2] {
    [
        network_flow(
            vni,
            CLASSIFY,
            Match::any().in_port(port),
            vec![enter(vni, FROM_ACCESS), Instruction::GotoTable(SECURITY)],
        ),
        network_flow(
            vni,
            SECURITY,
            Match::any().in_port(port).eth_src(mac),
            vec![Instruction::GotoTable(FORWARD)],
        ),
    ]
}

/// Forwarded frames of the network may come in by a link of its slice.
pub fn link_forwarded(vni: Vni, link: u32) -> Flow {
    network_flow(
        vni,
        CLASSIFY,
        Match::any().in_port(link).tunnel_id(label(vni, false).into()),
        vec![enter(vni, 0), Instruction::GotoTable(FORWARD)],
    )
}

/// Flooded frames of the network may come in by a link of its tree only (reverse-path check).
pub fn link_flooded(vni: Vni, link: u32) -> Flow {
    network_flow(
        vni,
        CLASSIFY,
        Match::any().in_port(link).tunnel_id(label(vni, true).into()),
        vec![enter(vni, 0), Instruction::GotoTable(FLOOD)],
    )
}

/// Frames of the network may come in by the trunk; their mark goes no further.
pub fn trunk(vni: Vni, port: u32) -> [Flow; 2] {
    [false, true].map(|flooded| {
        network_flow(
            vni,
            CLASSIFY,
            Match::any().in_port(port).pkt_mark(label(vni, flooded)),
            vec![
                Instruction::ApplyActions(vec![set_mark(0)]),
                enter(vni, 0),
                Instruction::GotoTable(if flooded { FLOOD } else { FORWARD }),
            ],
        )
    })
}

fn destination(vni: Vni, mac: MacAddress, actions: Vec<Action>) -> Flow {
    network_flow(
        vni,
        FORWARD,
        Match::any().metadata(vni.get().into(), NETWORK_MASK).eth_dst(mac),
        vec![Instruction::ApplyActions(actions)],
    )
}

/// The endpoint is on an access port of this switch.
pub fn local_destination(vni: Vni, mac: MacAddress, port: u32) -> Flow {
    destination(vni, mac, vec![Action::Output(port)])
}

/// The endpoint is behind the trunk of this switch.
pub fn trunk_destination(vni: Vni, mac: MacAddress, port: u32) -> Flow {
    destination(vni, mac, vec![set_mark(label(vni, false)), Action::Output(port)])
}

/// The endpoint is at another switch.
pub fn remote_destination(vni: Vni, mac: MacAddress, group: GroupId) -> Flow {
    destination(vni, mac, vec![set_tunnel_id(vni, false), Action::Group(group)])
}

/// Frames to be flooded go to the network's group.
pub fn flood(vni: Vni) -> Flow {
    network_flow(
        vni,
        FLOOD,
        Match::any().metadata(vni.get().into(), NETWORK_MASK),
        vec![Instruction::ApplyActions(vec![Action::Group(flood_group(vni))])],
    )
}

/// Every leg of the network on a switch gets a copy, but for the one that the frame came in by,
/// which OpenFlow leaves out by itself (OpenFlow 1.3.5, section 5.6.1).
pub fn flood_group_of(vni: Vni, legs: impl IntoIterator<Item = Leg>) -> Group {
    let bucket = |leg| match leg {
        Leg::Access(port) => Bucket::new(vec![Action::Output(port)]),
        Leg::Trunk(port) => Bucket::new(vec![set_mark(label(vni, true)), Action::Output(port)]),
        Leg::Link(port) => Bucket::new(vec![set_tunnel_id(vni, true), Action::Output(port)]),
    };
    Group {
        id: flood_group(vni),
        kind: GroupKind::All,
        buckets: legs.into_iter().map(bucket).collect(),
    }
}

/// Leads to the next hop; without one, nowhere: the frame is dropped, not flooded, and flows need
/// not change when the way comes back.
pub fn destination_group_to(id: GroupId, next_hop: Option<u32>) -> Group {
    Group {
        id,
        kind: GroupKind::All,
        buckets: next_hop.map(|port| Bucket::new(vec![Action::Output(port)])).into_iter().collect(),
    }
}
