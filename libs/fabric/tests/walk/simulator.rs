//! Executes programs on frames: a model of OpenFlow 1.3 as far as the pipeline uses it.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::MacAddress;
use l2sces_openflow::{Action, FlowKey, GroupKind, Instruction, Match, MatchField, Program, port};

/// A frame with what goes with it between tables and switches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    pub(crate) source: MacAddress,
    pub(crate) destination: MacAddress,
    pub(crate) ethertype: u16,
    pub(crate) tunnel_id: u64,
    pub(crate) mark: u32,
}

impl Frame {
    pub(crate) fn new(source: MacAddress, destination: MacAddress) -> Self {
        Self { source, destination, ethertype: 0x0800, tunnel_id: 0, mark: 0 }
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
    /// The links that it used, the lower switch first.
    pub(crate) links: BTreeSet<(u64, u64)>,
    /// It did not come to rest.
    pub(crate) looped: bool,
}

/// What is at the far end of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    /// A tunnel: only the tunnel id goes along.
    Tunnel(u64, u32),
    /// A patch port: only the mark goes along.
    Patch(u64, u32),
}

#[derive(Debug, Default)]
pub(crate) struct Simulator {
    pub(crate) programs: BTreeMap<u64, Program>,
    pub(crate) wires: BTreeMap<(u64, u32), Wire>,
}

impl Simulator {
    /// Sends a frame into a port and follows it.
    pub(crate) fn inject(&self, switch: u64, port: u32, frame: Frame) -> Walk {
        let mut walk = Walk::default();
        let mut open = vec![(switch, port, frame)];
        let mut steps = 0;
        while let Some((switch, in_port, frame)) = open.pop() {
            steps += 1;
            if steps > 2000 {
                walk.looped = true;
                return walk;
            }
            for (out_port, frame) in self.switch(switch, in_port, frame) {
                match self.wires.get(&(switch, out_port)) {
                    Some(&Wire::Tunnel(peer, peer_port)) => {
                        walk.links.insert((switch.min(peer), switch.max(peer)));
                        open.push((peer, peer_port, Frame { mark: 0, ..frame }));
                    }
                    Some(&Wire::Patch(peer, peer_port)) => {
                        open.push((peer, peer_port, Frame { tunnel_id: 0, ..frame }));
                    }
                    None => walk.deliveries.push(Delivery { switch, port: out_port, frame }),
                }
            }
        }
        walk
    }

    /// Plants the fault of flooding over every link and accepting flooded frames from each.
    pub(crate) fn flood_everywhere(&mut self) {
        let wires = self.wires.clone();
        for (switch, program) in &mut self.programs {
            let ports: Vec<_> =
                wires.keys().filter(|(at, _)| at == switch).map(|key| key.1).collect();
            let flooded = program.flows.iter().find_map(|(key, body)| {
                let is_flooded = key.matching.fields().iter().any(
                    |field| matches!(field, MatchField::TunnelId { value, .. } if value >> 23 == 1),
                );
                is_flooded.then(|| (key.clone(), body.clone()))
            });
            let Some((key, body)) = flooded else { continue };
            for port in &ports {
                let others = key
                    .matching
                    .fields()
                    .iter()
                    .filter(|field| !matches!(field, MatchField::InPort(_)));
                let matching: Match = others.cloned().chain([MatchField::InPort(*port)]).collect();
                program.flows.insert(FlowKey { matching, ..key.clone() }, body.clone());
            }
            for group in program.groups.values_mut().filter(|group| group.buckets.len() > 1) {
                let Some(link) =
                    group.buckets.iter().find(|bucket| bucket.actions.len() > 1).cloned()
                else {
                    continue;
                };
                group.buckets.retain(|bucket| bucket.actions.len() == 1);
                for port in &ports {
                    let mut bucket = link.clone();
                    *bucket.actions.last_mut().unwrap() = Action::Output(*port);
                    group.buckets.push(bucket);
                }
            }
        }
    }

    /// One switch: the frames that it sends, each with its port.
    fn switch(&self, switch: u64, in_port: u32, frame: Frame) -> Vec<(u32, Frame)> {
        let mut out = Vec::new();
        let Some(program) = self.programs.get(&switch) else { return out };
        let mut frame = frame;
        let mut metadata = 0;
        let mut table = Some(0);
        while let Some(at) = table.take() {
            let flow = program
                .flows
                .iter()
                .filter(|(key, _)| {
                    key.table == at && matches(&key.matching, in_port, metadata, &frame)
                })
                .max_by_key(|(key, _)| key.priority);
            let Some((_, body)) = flow else { break };
            for instruction in &body.instructions {
                match instruction {
                    Instruction::ApplyActions(actions) => {
                        apply(program, actions, in_port, &mut frame, &mut out);
                    }
                    Instruction::WriteMetadata { value, mask } => {
                        metadata = metadata & !mask | value & mask;
                    }
                    Instruction::GotoTable(next) => {
                        assert!(*next > at, "tables go up");
                        table = Some(*next);
                    }
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
        MatchField::PktMark { value, mask } => frame.mark & mask == *value,
        MatchField::Raw(_) => panic!("the pipeline has no raw fields"),
    })
}

fn apply(
    program: &Program,
    actions: &[Action],
    in_port: u32,
    frame: &mut Frame,
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
            Action::SetField(MatchField::PktMark { value, .. }) => frame.mark = *value,
            Action::Group(id) => {
                let group = &program.groups[id];
                assert_eq!(group.kind, GroupKind::All);
                for bucket in &group.buckets {
                    apply(program, &bucket.actions, in_port, &mut frame.clone(), out);
                }
            }
            other => panic!("the pipeline has no {other:?}"),
        }
    }
}
