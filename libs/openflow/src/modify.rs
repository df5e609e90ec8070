//! Flow-mods and group-mods (OpenFlow 1.3.5, sections 7.3.4.1 and 7.3.4.3).

use crate::{
    Bucket, Change, DecodeError, EncodeError, Flow, FlowKey, Group, GroupId, GroupKind,
    Instruction, Meter, MeterMod, MeterModCommand, action,
    frame::{kind, put_message},
    oxm, port,
    wire::{Put, Reader},
};

/// `OFP_NO_BUFFER`.
pub(crate) const NO_BUFFER: u32 = 0xffff_ffff;

/// `OFPFF_SEND_FLOW_REM`: of a flow that goes by itself, the controller is told.
const SEND_FLOW_REMOVED: u16 = 1;

/// A change of the flow tables, without hard timeouts, buffers and output filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowModCommand,
    /// What to add, or which flows to change.
    pub flow: Flow,
    /// Bits in which the cookie of a flow must agree to be changed or deleted.
    pub cookie_mask: u64,
}

/// What to do with flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowModCommand {
    /// Add, or replace the one with the same key.
    Add,
    /// Give the one with the same key other instructions; its cookie stays.
    ModifyStrict,
    /// Delete all whose match is as narrow or narrower; any table if it is [`Flow::ALL_TABLES`].
    Delete,
    /// Delete the one with the same key.
    DeleteStrict,
}

/// A change of the group table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupModCommand,
    /// The group, without buckets if it is to be deleted.
    pub group: Group,
}

/// What to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupModCommand {
    /// Add it.
    Add,
    /// Replace it.
    Modify,
    /// Delete it, or all if it is [`GroupId::ALL`], with the flows that refer to it.
    Delete,
}

impl Change {
    /// Writes the message that makes this change.
    ///
    /// # Errors
    /// It would be longer than a message can be. `out` is as it was then.
    pub fn encode(&self, xid: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::AddFlow(flow) => put_flow_mod(out, xid, FlowModCommand::Add, flow.into(), 0),
            Self::DeleteFlow(key) => {
                put_flow_mod(out, xid, FlowModCommand::DeleteStrict, key.into(), 0)
            }
            Self::PutGroup(Group { id, kind, buckets }) => {
                put_group_mod(out, xid, GroupModCommand::Add, *id, *kind, buckets)
            }
            Self::ModifyGroup(Group { id, kind, buckets }) => {
                put_group_mod(out, xid, GroupModCommand::Modify, *id, *kind, buckets)
            }
            Self::DeleteGroup(id) => {
                put_group_mod(out, xid, GroupModCommand::Delete, *id, GroupKind::All, &[])
            }
            Self::PutMeter(meter) => MeterMod::encode_parts(out, xid, MeterModCommand::Add, meter),
            Self::ModifyMeter(meter) => {
                MeterMod::encode_parts(out, xid, MeterModCommand::Modify, meter)
            }
            Self::DeleteMeter(id) => {
                let meter = Meter::unlimited(*id);
                MeterMod::encode_parts(out, xid, MeterModCommand::Delete, &meter)
            }
        }
    }
}

impl FlowMod {
    pub(crate) fn encode(&self, xid: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_flow_mod(out, xid, self.command, (&self.flow).into(), self.cookie_mask)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (cookie, cookie_mask, table) = (reader.u64()?, reader.u64()?, reader.u8()?);
        let command = match reader.u8()? {
            0 => FlowModCommand::Add,
            2 => FlowModCommand::ModifyStrict,
            3 => FlowModCommand::Delete,
            4 => FlowModCommand::DeleteStrict,
            other => return Err(DecodeError::FlowModCommand(other)),
        };
        let idle_timeout = reader.u16()?;
        reader.skip(2)?;
        let priority = reader.u16()?;
        reader.skip(16)?;
        let key = FlowKey { table, priority, matching: oxm::take_match(reader)? };
        let instructions = action::take_instructions(reader)?;
        Ok(Self { command, flow: Flow { key, cookie, idle_timeout, instructions }, cookie_mask })
    }
}

impl GroupMod {
    pub(crate) fn encode(&self, xid: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Group { id, kind, buckets } = &self.group;
        put_group_mod(out, xid, self.command, *id, *kind, buckets)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let command = match reader.u16()? {
            0 => GroupModCommand::Add,
            1 => GroupModCommand::Modify,
            2 => GroupModCommand::Delete,
            other => return Err(DecodeError::GroupModCommand(other)),
        };
        Ok(Self { command, group: take_group(reader)? })
    }
}

impl GroupKind {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::All => 0,
            Self::Select => 1,
            Self::Indirect => 2,
            Self::FastFailover => 3,
        }
    }

    fn from_number(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::All),
            1 => Ok(Self::Select),
            2 => Ok(Self::Indirect),
            3 => Ok(Self::FastFailover),
            other => Err(DecodeError::GroupType(other)),
        }
    }
}

/// What a flow-mod says of a flow.
struct FlowParts<'a> {
    key: &'a FlowKey,
    cookie: u64,
    idle_timeout: u16,
    instructions: &'a [Instruction],
}

impl<'a> From<&'a Flow> for FlowParts<'a> {
    fn from(flow: &'a Flow) -> Self {
        let Flow { key, cookie, idle_timeout, instructions } = flow;
        Self { key, cookie: *cookie, idle_timeout: *idle_timeout, instructions }
    }
}

/// For a deletion.
impl<'a> From<&'a FlowKey> for FlowParts<'a> {
    fn from(key: &'a FlowKey) -> Self {
        Self { key, cookie: 0, idle_timeout: 0, instructions: &[] }
    }
}

/// ```text
/// | cookie (8)            | cookie mask (8)                                          |
/// | table (1) | command (1) | idle, hard timeout (2, 2) | priority (2) | buffer (4)  |
/// | output port (4)       | output group (4) | flags (2) | padding (2)               |
/// | match, padded         | instructions                                             |
/// ```
fn put_flow_mod(
    out: &mut Vec<u8>,
    xid: u32,
    command: FlowModCommand,
    FlowParts { key, cookie, idle_timeout, instructions }: FlowParts<'_>,
    cookie_mask: u64,
) -> Result<(), EncodeError> {
    let command = match command {
        FlowModCommand::Add => 0,
        FlowModCommand::ModifyStrict => 2,
        FlowModCommand::Delete => 3,
        FlowModCommand::DeleteStrict => 4,
    };
    put_message(out, kind::FLOW_MOD, xid, |out| {
        out.put_u64(cookie);
        out.put_u64(cookie_mask);
        out.put([key.table, command]);
        out.put_u16(idle_timeout);
        out.put_u16(0);
        out.put_u16(key.priority);
        out.put_u32(NO_BUFFER);
        out.put_u32(port::ANY);
        out.put_u32(GroupId::ANY.0);
        out.put_u16(if idle_timeout == 0 { 0 } else { SEND_FLOW_REMOVED });
        out.put_u16(0);
        oxm::put_match(out, &key.matching)?;
        action::put_instructions(out, instructions)
    })
}

/// ```text
/// | command (2) | type (1) | padding (1) | group (4) | buckets |
/// ```
fn put_group_mod(
    out: &mut Vec<u8>,
    xid: u32,
    command: GroupModCommand,
    id: GroupId,
    kind: GroupKind,
    buckets: &[Bucket],
) -> Result<(), EncodeError> {
    let command = match command {
        GroupModCommand::Add => 0,
        GroupModCommand::Modify => 1,
        GroupModCommand::Delete => 2,
    };
    put_message(out, kind::GROUP_MOD, xid, |out| {
        out.put_u16(command);
        put_group(out, id, kind, buckets)
    })
}

/// The part that a group-mod and a group description have in common.
pub(crate) fn put_group(
    out: &mut Vec<u8>,
    id: GroupId,
    kind: GroupKind,
    buckets: &[Bucket],
) -> Result<(), EncodeError> {
    out.put([kind.number(), 0]);
    out.put_u32(id.0);
    action::put_buckets(out, buckets)
}

pub(crate) fn take_group(reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    let [kind, _] = reader.array()?;
    let kind = GroupKind::from_number(kind)?;
    let id = GroupId(reader.u32()?);
    Ok(Group { id, kind, buckets: action::take_buckets(reader)? })
}
