//! The flow tables, as named data: every flow and group that a switch can get is made here.
//!
//! `docs/pipeline.md` tells the story; the constants and constructors below are the facts.

use l2sces_model::{ETHERTYPE_PROBE, Epoch, MacAddress, Vni, tunnel_address};
use l2sces_openflow::{
    Action, Bits, Bucket, Flow, FlowKey, FlowRemoved, Group, GroupId, GroupKind, Instruction,
    Match, MatchField, Meter, MeterId, MeterLimit, Register, RemovalReason, port,
};

use crate::AgeingTime;

/// Tells the network from the port that a frame came in by.
pub const CLASSIFY: u8 = 0;
/// Hands a frame that came by a link on towards the switch it is for.
pub const TRANSIT: u8 = 5;
/// Lets in only the source address that an access port has been given, and those learned there.
pub const SECURITY: u8 = 10;
/// Finds the way to a known destination.
pub const FORWARD: u8 = 20;
/// Hands a frame to everyone else in the network, where it enters the fabric.
pub const FLOOD: u8 = 30;
/// Hands a flooded frame to the endpoints of the switch it is for.
pub const DELIVER: u8 = 40;

/// Ethernet type of LLDP (IEEE 802.1AB, section 7.4).
pub const ETHERTYPE_LLDP: u16 = 0x88cc;

/// The addresses that no bridge forwards (IEEE 802.1Q, section 8.6.3): 01:80:c2:00:00:00 to :0f.
const LINK_LOCAL: MacAddress = MacAddress::new([0x01, 0x80, 0xc2, 0, 0, 0]);
const LINK_LOCAL_MASK: MacAddress = MacAddress::new([0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);

/// How many bits of metadata, tunnel identifier and mark hold the network.
const VNI_BITS: u16 = 24;
/// The bits of the metadata that hold the network.
const NETWORK_MASK: u64 = 0xff_ffff;
/// First bit of the epoch in the metadata, and how many there are.
const EPOCH_SHIFT: u16 = 24;
const EPOCH_BITS: u16 = 7;
/// The bits of the metadata that hold the epoch.
const EPOCH_MASK: u64 = 0x7f << EPOCH_SHIFT;
/// The bit of the metadata that says: came in by an access port, so an unknown destination may be
/// flooded.
const FROM_ACCESS: u64 = 1 << 32;
/// The bit of the metadata that says: enters the fabric here, so it may be sent to another switch.
/// What another switch has sent here is delivered here or nowhere: two switches that each take an
/// address that moves to be at the other would pass its frames to and fro.
const ENTERS: u64 = 1 << 33;

/// The bit of a label that says: a copy of a flooded frame, for everyone on the destination switch.
const LABEL_FLOODED: u64 = 1 << 31;
/// The bits of a label that name the destination switch, by its group.
const LABEL_DESTINATION: u64 = 0xffff_ffff << 32;

/// How many bits of a label there are beside the destination.
const LABEL_REST_BITS: u16 = 32;

/// The bit of a packet mark that says the same.
const MARK_FLOODED: u32 = 1 << 24;
/// First bit of the epoch in a packet mark.
const MARK_EPOCH_SHIFT: u32 = 25;

/// How many frames of unknown sources an access port may send to the controller, in a second.
const LEARNING_RATE: u32 = 100;
/// How many at once.
const LEARNING_BURST: u32 = 100;
/// What a unicast source has in the bit that marks group addresses (IEEE 802, section 8.2).
const NO_ADDRESS: MacAddress = MacAddress::new([0; 6]);
const GROUP_ADDRESS: MacAddress = MacAddress::new([1, 0, 0, 0, 0, 0]);

/// Marks our flows: "l2" in the highest bytes, the network in the lowest.
const COOKIE: u64 = 0x6c32 << 48;

const PRIORITY_DISCOVERY: u16 = 300;
const PRIORITY_GUARD: u16 = 200;
const PRIORITY_EPOCH: u16 = 110;
const PRIORITY_NETWORK: u16 = 100;
const PRIORITY_MISS: u16 = 1;

/// The group with a network's endpoints on one switch.
pub const fn local_group(vni: Vni) -> GroupId {
    GroupId(vni.get())
}

/// The group that hands a network's frame of an epoch to everyone else, where it enters the fabric.
/// Epochs that differ by 64 share it: plans that follow each other never do.
pub const fn flood_group(vni: Vni, epoch: Epoch) -> GroupId {
    GroupId(1 << 30 | (epoch.get() as u32 & 0x3f) << VNI_BITS | vni.get())
}

/// The group that leads towards one switch by the links of one slice. Its number names the switch
/// in labels.
pub const fn destination_group(slice_ordinal: u16, switch_ordinal: u16) -> GroupId {
    GroupId(1 << 31 | (slice_ordinal as u32 & 0x7fff) << 16 | switch_ordinal as u32)
}

/// A trunk that a network may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its OpenFlow port.
    pub port: u32,
    /// The epoch of the network's frames on it.
    pub epoch: Epoch,
}

fn flow(
    cookie: u64,
    table: u8,
    priority: u16,
    matching: Match,
    instructions: Vec<Instruction>,
) -> Flow {
    Flow { key: FlowKey { table, priority, matching }, cookie, idle_timeout: 0, instructions }
}

fn network_flow(vni: Vni, table: u8, matching: Match, instructions: Vec<Instruction>) -> Flow {
    flow(COOKIE | u64::from(vni.get()), table, PRIORITY_NETWORK, matching, instructions)
}

/// The network and epoch of a frame, as they are in its metadata.
fn metadata(vni: Vni, epoch: Epoch) -> u64 {
    u64::from(vni.get()) | u64::from(epoch.get()) << EPOCH_SHIFT
}

/// The metadata of a frame that enters, as an instruction.
fn enter(vni: Vni, epoch: Epoch, flags: u64) -> Instruction {
    Instruction::WriteMetadata {
        value: metadata(vni, epoch) | ENTERS | flags,
        mask: NETWORK_MASK | EPOCH_MASK | FROM_ACCESS | ENTERS,
    }
}

fn of_network(vni: Vni) -> Match {
    Match::any().metadata(vni.get().into(), NETWORK_MASK)
}

/// The same, of frames that enter here.
fn entering(matching: &Match) -> Match {
    let entering = matching.fields().iter().map(|field| match field {
        MatchField::Metadata { value, mask } => {
            MatchField::Metadata { value: value | ENTERS, mask: mask | ENTERS }
        }
        other => other.clone(),
    });
    entering.collect()
}

fn of_epoch(vni: Vni, epoch: Epoch) -> Match {
    Match::any().metadata(metadata(vni, epoch), NETWORK_MASK | EPOCH_MASK)
}

/// What a frame carries between switches: where it goes, and how it is delivered there.
fn label(destination: GroupId, flooded: bool, epoch: Epoch) -> u64 {
    let flooded = if flooded { LABEL_FLOODED } else { 0 };
    u64::from(destination.0) << 32 | flooded | u64::from(epoch.get())
}

/// Sends a frame towards a switch.
fn send(vni: Vni, destination: GroupId, flooded: bool, epoch: Epoch) -> [Action; 3] {
    let value = label(destination, flooded, epoch);
    [
        Action::SetField(MatchField::TunnelId { value: vni.get().into(), mask: u64::MAX }),
        Action::SetField(MatchField::TunnelMetadata { value, mask: u64::MAX }),
        Action::Group(destination),
    ]
}

fn mark(vni: Vni, flooded: bool, epoch: Epoch) -> u32 {
    let flooded = if flooded { MARK_FLOODED } else { 0 };
    vni.get() | flooded | u32::from(epoch.get()) << MARK_EPOCH_SHIFT
}

fn set_mark(mark: u32) -> Action {
    Action::SetField(MatchField::PktMark { value: mark, mask: u32::MAX })
}

/// Sends a frame to the node's other switch.
fn cross(vni: Vni, trunk: Trunk, flooded: bool) -> [Action; 2] {
    [set_mark(mark(vni, flooded, trunk.epoch)), Action::Output(trunk.port)]
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

/// A link: its discovery frames go to the controller, all others on towards their switch.
pub fn link(port: u32) -> [Flow; 2] {
    let from = Match::any().in_port(port);
    [
        flow(
            COOKIE,
            CLASSIFY,
            PRIORITY_DISCOVERY,
            from.clone().eth_type(ETHERTYPE_LLDP).tunnel_id(0),
            vec![Instruction::ApplyActions(vec![Action::Controller])],
        ),
        flow(COOKIE, CLASSIFY, PRIORITY_NETWORK, from, vec![Instruction::GotoTable(TRANSIT)]),
    ]
}

/// A link that is measured. Probes of the node's agent, which come in by the switch's own port, leave
/// by the link that their destination names; probes that come by the link go to the agent, and say by
/// their source which link that was. They belong to no network, as link discovery does.
pub fn probed_link(link: u32) -> [Flow; 2] {
    let address = tunnel_address(link);
    let of_probe = Match::any().eth_type(ETHERTYPE_PROBE);
    let from = MatchField::EthSrc { value: address, mask: MacAddress::BROADCAST };
    [
        flow(
            COOKIE,
            CLASSIFY,
            PRIORITY_DISCOVERY,
            of_probe.clone().in_port(port::LOCAL).eth_dst(address),
            vec![Instruction::ApplyActions(vec![Action::Output(link)])],
        ),
        flow(
            COOKIE,
            CLASSIFY,
            PRIORITY_DISCOVERY,
            of_probe.in_port(link).tunnel_id(0),
            vec![Instruction::ApplyActions(vec![
                Action::SetField(from),
                Action::Output(port::LOCAL),
            ])],
        ),
    ]
}

/// Frames that are labelled for another switch.
///
/// The rest of the label is read, though nothing depends on it here: Open vSwitch caches what it
/// does with a frame together with the bits that it has looked at, and when it encapsulates again
/// it writes the option of the frame that made the entry. Bits that nobody has read would be that
/// frame's in all others.
pub fn transit(destination: GroupId) -> Flow {
    flow(
        COOKIE,
        TRANSIT,
        PRIORITY_NETWORK,
        Match::any().tunnel_metadata(label(destination, false, Epoch::NONE), LABEL_DESTINATION),
        vec![Instruction::ApplyActions(vec![
            Action::Move {
                from: Bits { register: Register::TunnelMetadata, offset: 0 },
                to: Bits { register: Register::Metadata, offset: 0 },
                width: LABEL_REST_BITS,
            },
            Action::Group(destination),
        ])],
    )
}

/// Frames that are labelled for this switch itself: their network and epoch are told by the tunnel.
pub fn arrival(here: GroupId) -> [Flow; 2] {
    let take = |from, from_bit, to_bit, width| Action::Move {
        from: Bits { register: from, offset: from_bit },
        to: Bits { register: Register::Metadata, offset: to_bit },
        width,
    };
    [(false, FORWARD), (true, DELIVER)].map(|(flooded, table)| {
        flow(
            COOKIE,
            TRANSIT,
            PRIORITY_NETWORK,
            Match::any().tunnel_metadata(
                label(here, flooded, Epoch::NONE),
                LABEL_DESTINATION | LABEL_FLOODED,
            ),
            vec![
                Instruction::ApplyActions(vec![
                    take(Register::TunnelId, 0, 0, VNI_BITS),
                    take(Register::TunnelMetadata, 0, EPOCH_SHIFT, EPOCH_BITS),
                ]),
                Instruction::GotoTable(table),
            ],
        )
    })
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

/// Frames of an access port's one endpoint enter the network.
pub fn access(vni: Vni, port: u32, mac: MacAddress) -> [Flow; 2] {
    [
        network_flow(
            vni,
            CLASSIFY,
            Match::any().in_port(port),
            vec![enter(vni, Epoch::NONE, FROM_ACCESS), Instruction::GotoTable(SECURITY)],
        ),
        network_flow(
            vni,
            SECURITY,
            Match::any().in_port(port).eth_src(mac),
            vec![Instruction::GotoTable(FORWARD)],
        ),
    ]
}

/// Frames of an access port with a source that is not known there go to the controller, up to a
/// limit. A source that is no unicast address is nobody's.
pub fn learning(vni: Vni, port: u32) -> Flow {
    let mut flow = network_flow(
        vni,
        SECURITY,
        Match::any().in_port(port).eth_src_masked(NO_ADDRESS, GROUP_ADDRESS),
        vec![
            Instruction::Meter(MeterId(port)),
            Instruction::ApplyActions(vec![Action::Controller]),
        ],
    );
    flow.key.priority = PRIORITY_MISS;
    flow
}

/// Keeps an access port from asking the controller too often.
pub fn learning_meter(port: u32) -> Meter {
    let limit = MeterLimit::Frames { rate: LEARNING_RATE, burst: LEARNING_BURST };
    Meter { id: MeterId(port), limit }
}

/// Frames of an endpoint that was learned at an access port enter, until there are none for a time.
pub fn learned(vni: Vni, port: u32, mac: MacAddress, ageing_time: AgeingTime) -> Flow {
    let matching = Match::any().in_port(port).eth_src(mac);
    let mut flow = network_flow(vni, SECURITY, matching, vec![Instruction::GotoTable(FORWARD)]);
    flow.idle_timeout = ageing_time.0;
    flow
}

/// Of a flow that the switch has removed because its endpoint was silent: the network, the access
/// port and the address.
pub fn aged(removed: &FlowRemoved) -> Option<(Vni, u32, MacAddress)> {
    let FlowKey { table, matching, .. } = &removed.key;
    let vni = u32::try_from(removed.cookie & NETWORK_MASK).ok()?;
    let [MatchField::InPort(port), MatchField::EthSrc { value, mask: MacAddress::BROADCAST }] =
        matching.fields()
    else {
        return None;
    };
    let is_ours = removed.cookie & !NETWORK_MASK == COOKIE && *table == SECURITY;
    let is_aged = removed.reason == RemovalReason::IdleTimeout;
    (is_ours && is_aged).then_some((Vni::try_from(vni).ok()?, *port, *value))
}

/// Frames of the network and the trunk's epoch may come in by the trunk; their mark goes no
/// further.
pub fn trunk(vni: Vni, trunk: Trunk) -> [Flow; 2] {
    [(false, FORWARD), (true, FLOOD)].map(|(flooded, table)| {
        network_flow(
            vni,
            CLASSIFY,
            Match::any().in_port(trunk.port).pkt_mark(mark(vni, flooded, trunk.epoch)),
            vec![
                Instruction::ApplyActions(vec![set_mark(0)]),
                enter(vni, trunk.epoch, 0),
                Instruction::GotoTable(table),
            ],
        )
    })
}

fn destination(matching: Match, vni: Vni, mac: MacAddress, actions: Vec<Action>) -> Flow {
    let instructions = vec![Instruction::ApplyActions(actions)];
    network_flow(vni, FORWARD, matching.eth_dst(mac), instructions)
}

/// The endpoint is on an access port of this switch.
pub fn local_destination(vni: Vni, mac: MacAddress, port: u32) -> Flow {
    destination(of_network(vni), vni, mac, vec![Action::Output(port)])
}

/// The endpoint is on an access port of another switch.
pub fn remote_destination(vni: Vni, mac: MacAddress, switch: GroupId) -> Flow {
    let actions = send(vni, switch, false, Epoch::NONE).into();
    destination(entering(&of_network(vni)), vni, mac, actions)
}

/// Frames of a plan: those of its epoch, and as long as it is the current one, also those that have
/// crossed no trunk yet. Frames of another plan are never among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfPlan {
    /// The plan's epoch.
    pub epoch: Epoch,
    /// Whether it is the current plan.
    pub is_current: bool,
}

impl OfPlan {
    fn flows(self, flow: impl Fn(Epoch) -> Flow) -> Vec<Flow> {
        let new = Some(Epoch::NONE).filter(|_| self.is_current);
        let own = Some(self.epoch).filter(|epoch| *epoch != Epoch::NONE);
        new.into_iter().chain(own).map(flow).collect()
    }
}

/// The endpoint is behind the trunk of this switch.
pub fn trunk_destination(vni: Vni, mac: MacAddress, frames: OfPlan, port: u32) -> Vec<Flow> {
    let trunk = Trunk { port, epoch: frames.epoch };
    frames.flows(|from| destination(of_epoch(vni, from), vni, mac, cross(vni, trunk, false).into()))
}

/// The endpoint is behind the trunk of another switch.
pub fn remote_trunk_destination(
    vni: Vni,
    mac: MacAddress,
    frames: OfPlan,
    switch: GroupId,
) -> Vec<Flow> {
    frames.flows(|from| {
        let actions = send(vni, switch, false, frames.epoch).into();
        destination(entering(&of_epoch(vni, from)), vni, mac, actions)
    })
}

/// The endpoint cannot be reached now by frames that have crossed no trunk yet: they are dropped,
/// for flooding them would only trouble others. (Frames that have are dropped by the table's miss.)
pub fn no_destination(vni: Vni, mac: MacAddress) -> Flow {
    destination(of_epoch(vni, Epoch::NONE), vni, mac, Vec::new())
}

/// Frames of a plan that are to be flooded go to its group.
pub fn flood(vni: Vni, frames: OfPlan) -> Vec<Flow> {
    frames.flows(|from| {
        let actions = vec![Action::Group(flood_group(vni, frames.epoch))];
        let instructions = vec![Instruction::ApplyActions(actions)];
        network_flow(vni, FLOOD, of_epoch(vni, from), instructions)
    })
}

/// Everyone else gets one copy: who is on this switch, who is behind its trunk, and each other
/// switch with a part in the plan. A frame never goes back by the port that it came in by (OpenFlow
/// 1.3.5, section 5.6.1).
pub fn flood_group_of(
    vni: Vni,
    trunk: Option<Trunk>,
    others: impl IntoIterator<Item = GroupId>,
    epoch: Epoch,
) -> Group {
    let here = [Bucket::new(vec![Action::Group(local_group(vni))])];
    let beyond = trunk.map(|trunk| Bucket::new(cross(vni, trunk, true).into()));
    let copy = |switch| Bucket::new(send(vni, switch, true, epoch).into());
    Group {
        id: flood_group(vni, epoch),
        kind: GroupKind::All,
        buckets: here.into_iter().chain(beyond).chain(others.into_iter().map(copy)).collect(),
    }
}

/// The endpoints on this switch.
pub fn local_group_of(vni: Vni, ports: impl IntoIterator<Item = u32>) -> Group {
    Group {
        id: local_group(vni),
        kind: GroupKind::All,
        buckets: ports.into_iter().map(|port| Bucket::new(vec![Action::Output(port)])).collect(),
    }
}

/// A flooded frame from another switch goes to the endpoints of this one, never to another switch
/// again.
pub fn deliver(vni: Vni) -> Flow {
    let actions = vec![Action::Group(local_group(vni))];
    network_flow(vni, DELIVER, of_network(vni), vec![Instruction::ApplyActions(actions)])
}

/// One of the trunk's epoch goes also to the trunk.
pub fn deliver_to_trunk(vni: Vni, trunk: Trunk) -> Flow {
    let here = [Action::Group(local_group(vni))];
    let actions = here.into_iter().chain(cross(vni, trunk, true)).collect();
    let instructions = vec![Instruction::ApplyActions(actions)];
    let mut flow = network_flow(vni, DELIVER, of_epoch(vni, trunk.epoch), instructions);
    flow.key.priority = PRIORITY_EPOCH;
    flow
}
