use std::collections::BTreeMap;

use crate::{Bucket, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Meter, MeterId};

/// All flows, groups and meters of one switch: as wanted, or as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The flows, by what identifies them in a switch.
    pub flows: BTreeMap<FlowKey, FlowBody>,
    /// The groups, by number.
    pub groups: BTreeMap<GroupId, GroupBody>,
    /// The meters, by number.
    pub meters: BTreeMap<MeterId, Meter>,
}

/// A flow without what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowBody {
    /// Opaque to the switch.
    pub cookie: u64,
    /// After how many seconds without a frame the switch removes it, and says so; 0 for never.
    pub idle_timeout: u16,
    /// What happens to a frame, in the order of execution.
    pub instructions: Vec<Instruction>,
}

/// A group without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBody {
    /// How its buckets are used.
    pub kind: GroupKind,
    /// What it can do.
    pub buckets: Vec<Bucket>,
}

/// One step of turning what a switch has into what it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a flow, or replaces the one with the same key at once, without a gap.
    AddFlow(Flow),
    /// Deletes the flow with exactly this key, if there is one.
    DeleteFlow(FlowKey),
    /// Adds a group; refused by the switch if it has one with the number.
    PutGroup(Group),
    /// Replaces a group; refused by the switch if it has none with the number.
    ModifyGroup(Group),
    /// Deletes a group, if there is one. The switch deletes the flows that refer to it as well.
    DeleteGroup(GroupId),
    /// Adds a meter; refused by the switch if it has one with the number.
    PutMeter(Meter),
    /// Replaces a meter; refused by the switch if it has none with the number.
    ModifyMeter(Meter),
    /// Deletes a meter, if there is one. The switch deletes the flows that refer to it as well.
    DeleteMeter(MeterId),
}

impl Program {
    /// Adds a flow, or replaces the one with the same key. Brings its instructions into the order
    /// of execution and leaves out what does nothing, as a switch does, so that flows that do the
    /// same are equal.
    pub fn put_flow(&mut self, flow: Flow) {
        let Flow { key, cookie, idle_timeout, mut instructions } = flow;
        instructions.retain(|it| !matches!(it, Instruction::ApplyActions(list) if list.is_empty()));
        instructions.sort_by_key(Instruction::rank);
        self.flows.insert(key, FlowBody { cookie, idle_timeout, instructions });
    }

    /// Adds a group, or replaces the one with the same number.
    pub fn put_group(&mut self, group: Group) {
        let Group { id, kind, buckets } = group;
        self.groups.insert(id, GroupBody { kind, buckets });
    }

    /// Adds a meter, or replaces the one with the same number.
    pub fn put_meter(&mut self, meter: Meter) {
        self.meters.insert(meter.id, meter);
    }

    /// Adds what another program has, in place of what has the same key or number.
    pub fn merge(&mut self, other: Self) {
        self.flows.extend(other.flows);
        self.groups.extend(other.groups);
        self.meters.extend(other.meters);
    }
}

impl FromIterator<Flow> for Program {
    fn from_iter<I: IntoIterator<Item = Flow>>(flows: I) -> Self {
        let mut program = Self::default();
        flows.into_iter().for_each(|flow| program.put_flow(flow));
        program
    }
}

impl Extend<Group> for Program {
    fn extend<I: IntoIterator<Item = Group>>(&mut self, groups: I) {
        groups.into_iter().for_each(|group| self.put_group(group));
    }
}

impl FlowBody {
    /// The flow with this body and a key.
    pub fn with_key(&self, key: &FlowKey) -> Flow {
        let Self { cookie, idle_timeout, instructions } = self.clone();
        Flow { key: key.clone(), cookie, idle_timeout, instructions }
    }
}

impl GroupBody {
    /// The group with this body and a number.
    pub fn with_id(&self, id: GroupId) -> Group {
        Group { id, kind: self.kind, buckets: self.buckets.clone() }
    }
}
