use std::collections::BTreeMap;

use crate::{Bucket, Flow, FlowKey, Group, GroupId, GroupKind, Instruction};

/// All flows and groups of one switch: as wanted, or as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The flows, by what identifies them in a switch.
    pub flows: BTreeMap<FlowKey, FlowBody>,
    /// The groups, by number.
    pub groups: BTreeMap<GroupId, GroupBody>,
}

/// A flow without what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowBody {
    /// Opaque to the switch.
    pub cookie: u64,
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
}

impl Program {
    /// Adds a flow, or replaces the one with the same key. Brings its instructions into the order
    /// of execution and leaves out what does nothing, as a switch does, so that flows that do the
    /// same are equal.
    pub fn put_flow(&mut self, flow: Flow) {
        let Flow { key, cookie, mut instructions } = flow;
        instructions.retain(|it| !matches!(it, Instruction::ApplyActions(list) if list.is_empty()));
        instructions.sort_by_key(Instruction::rank);
        self.flows.insert(key, FlowBody { cookie, instructions });
    }

    /// Adds a group, or replaces the one with the same number.
    pub fn put_group(&mut self, group: Group) {
        let Group { id, kind, buckets } = group;
        self.groups.insert(id, GroupBody { kind, buckets });
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
        Flow { key: key.clone(), cookie: self.cookie, instructions: self.instructions.clone() }
    }
}

impl GroupBody {
    /// The group with this body and a number.
    pub fn with_id(&self, id: GroupId) -> Group {
        Group { id, kind: self.kind, buckets: self.buckets.clone() }
    }
}
