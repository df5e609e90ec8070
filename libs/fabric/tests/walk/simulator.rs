//! Executes programs on frames: a model of OpenFlow 1.3 as far as the pipeline uses it.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::MacAddress;
use l2sces_openflow::{
    Action, Bits, FlowKey, GroupBody, GroupId, GroupKind, Instruction, Match, MatchField, Program,
    Register, port,
};

/// A frame with what goes with it between tables and switches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    pub(crate) source: MacAddress,
    pub(crate) destination: MacAddress,
    pub(crate) ethertype: u16,
    pub(crate) tunnel_id: u64,
    pub(crate) tunnel_metadata: u64,
    pub(crate) mark: u32,
}

impl Frame {
    pub(crate) fn new(source: MacAddress, destination: MacAddress) -> Self {
        Self { source, destination, ethertype: 0x0800, tunnel_id: 0, tunnel_metadata: 0, mark: 0 }
    }
}

/// A frame that left the fabric.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) switch: u64,
    pub(crate) port: u32,
    pub(crate) frame: Frame,
}

impl Delivery {
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.switch, self.port)
    }
}

/// What became of one frame.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) deliveries: Vec<Delivery>,
    /// Where it came in, at one switch after the other, and as what.
    pub(crate) hops: Vec<(u64, u32, Frame)>,
    /// How often each link carried it, in each direction.
    pub(crate) links: BTreeMap<(u64, u64), usize>,
    /// It did not come to rest.
    pub(crate) looped: bool,
}

impl Walk {
    /// Where it was delivered, sorted, each as often as it was.
    pub(crate) fn places(&self) -> Vec<(u64, u32)> {
        let mut places: Vec<_> = self.deliveries.iter().map(Delivery::place).collect();
        places.sort_unstable();
        places
    }
}

/// What is at the far end of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    /// A tunnel: what belongs to a tunnel goes along, the mark does not.
    Tunnel(u64, u32),
    /// A patch port: only the mark goes along.
    Patch(u64, u32),
}

/// One switch's flows by table, the highest priority first, and its groups.
#[derive(Clone, Debug, Default)]
struct Tables {
    flows: BTreeMap<u8, Vec<(FlowKey, Vec<Instruction>)>>,
    groups: BTreeMap<GroupId, GroupBody>,
}

#[derive(Debug, Default)]
pub(crate) struct Simulator {
    switches: BTreeMap<u64, Tables>,
    pub(crate) wires: BTreeMap<(u64, u32), Wire>,
}

impl Simulator {
    pub(crate) fn load(&mut self, switch: u64, program: &Program) {
        let mut tables = Tables { groups: program.groups.clone(), ..Tables::default() };
        for (key, body) in &program.flows {
            let table = tables.flows.entry(key.table).or_default();
            table.push((key.clone(), body.instructions.clone()));
        }
        for table in tables.flows.values_mut() {
            table.sort_by_key(|(key, _)| std::cmp::Reverse(key.priority));
        }
        self.switches.insert(switch, tables);
    }

    /// Sends a frame into a port and follows it.
    pub(crate) fn inject(&self, switch: u64, port: u32, frame: Frame) -> Walk {
        let mut walk = Walk::default();
        let mut open = vec![(switch, port, frame, BTreeSet::new())];
        while let Some((switch, in_port, frame, mut seen)) = open.pop() {
            // The same frame with the same label at the same port again will do so for ever.
            if !seen.insert((switch, in_port, frame.clone())) {
                walk.looped = true;
                return walk;
            }
            walk.hops.push((switch, in_port, frame.clone()));
            for (out_port, frame) in self.switch(switch, in_port, frame) {
                match self.wires.get(&(switch, out_port)) {
                    Some(&Wire::Tunnel(peer, peer_port)) => {
                        *walk.links.entry((switch, peer)).or_default() += 1;
                        open.push((peer, peer_port, Frame { mark: 0, ..frame }, seen.clone()));
                    }
                    Some(&Wire::Patch(peer, peer_port)) => {
                        let frame = Frame { tunnel_id: 0, tunnel_metadata: 0, ..frame };
                        open.push((peer, peer_port, frame, seen.clone()));
                    }
                    None => walk.deliveries.push(Delivery { switch, port: out_port, frame }),
                }
            }
        }
        walk
    }

    /// One switch: the frames that it sends, each with its port.
    pub(crate) fn switch(&self, switch: u64, in_port: u32, mut frame: Frame) -> Vec<(u32, Frame)> {
        let mut out = Vec::new();
        let Some(tables) = self.switches.get(&switch) else { return out };
        let mut metadata = 0;
        let mut table = Some(0);
        while let Some(at) = table.take() {
            let flows = tables.flows.get(&at).map_or(&[][..], Vec::as_slice);
            let flow =
                flows.iter().find(|(key, _)| matches(&key.matching, in_port, metadata, &frame));
            let Some((_, instructions)) = flow else { break };
            for instruction in instructions {
                match instruction {
                    Instruction::ApplyActions(actions) => {
                        apply(tables, actions, in_port, &mut frame, &mut metadata, &mut out);
                    }
                    Instruction::WriteMetadata { value, mask } => {
                        metadata = metadata & !mask | value & mask;
                    }
                    Instruction::GotoTable(next) => {
                        assert!(*next > at, "tables go up");
                        table = Some(*next);
                    }
                    // Frames come one by one here.
                    Instruction::Meter(_) => {}
                    other => panic!("the pipeline has no {other:?}"),
                }
            }
        }
        out
    }
}

fn matches(matching: &Match, in_port: u32, metadata: u64, frame: &Frame) -> bool {
    let masked = |value: MacAddress, mask: MacAddress| -> [u8; 6] {
        std::array::from_fn(|index| value.bytes()[index] & mask.bytes()[index])
    };
    matching.fields().iter().all(|field| match field {
        MatchField::InPort(port) => *port == in_port,
        MatchField::Metadata { value, mask } => metadata & mask == *value,
        MatchField::EthDst { value, mask } => masked(frame.destination, *mask) == value.bytes(),
        MatchField::EthSrc { value, mask } => masked(frame.source, *mask) == value.bytes(),
        MatchField::EthType(value) => frame.ethertype == *value,
        MatchField::TunnelId { value, mask } => frame.tunnel_id & mask == *value,
        MatchField::TunnelMetadata { value, mask } => frame.tunnel_metadata & mask == *value,
        MatchField::PktMark { value, mask } => frame.mark & mask == *value,
        MatchField::Raw(_) => panic!("the pipeline has no raw fields"),
    })
}

fn apply(
    tables: &Tables,
    actions: &[Action],
    in_port: u32,
    frame: &mut Frame,
    metadata: &mut u64,
    out: &mut Vec<(u32, Frame)>,
) {
    for action in actions {
        match action {
            // A frame never goes back by the port it came in by (OpenFlow 1.3.5, section 5.11).
            Action::Output(port) if *port == in_port => {}
            Action::Output(port::IN_PORT) => out.push((in_port, frame.clone())),
            Action::Output(port) => out.push((*port, frame.clone())),
            Action::Controller => {}
            Action::SetField(MatchField::TunnelId { value, .. }) => frame.tunnel_id = *value,
            Action::SetField(MatchField::TunnelMetadata { value, .. }) => {
                frame.tunnel_metadata = *value;
            }
            Action::SetField(MatchField::PktMark { value, .. }) => frame.mark = *value,
            Action::SetField(MatchField::EthSrc { value, .. }) => frame.source = *value,
            Action::Move { from, to, width } => {
                assert_eq!(to.register, Register::Metadata, "the pipeline moves to metadata");
                let mask = (1 << width) - 1;
                let bits = read(*from, frame, *metadata) & mask;
                *metadata = *metadata & !(mask << to.offset) | bits << to.offset;
            }
            // A switch drops what goes to a group that it does not have.
            Action::Group(id) => {
                let Some(group) = tables.groups.get(id) else { continue };
                assert_eq!(group.kind, GroupKind::All);
                for bucket in &group.buckets {
                    let (mut frame, mut metadata) = (frame.clone(), *metadata);
                    apply(tables, &bucket.actions, in_port, &mut frame, &mut metadata, out);
                }
            }
            other => panic!("the pipeline has no {other:?}"),
        }
    }
}

fn read(bits: Bits, frame: &Frame, metadata: u64) -> u64 {
    let register = match bits.register {
        Register::Metadata => metadata,
        Register::TunnelId => frame.tunnel_id,
        Register::TunnelMetadata => frame.tunnel_metadata,
    };
    register >> bits.offset
}
