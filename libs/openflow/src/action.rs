//! Actions, instructions and buckets on the wire (OpenFlow 1.3.5, sections 7.2.4, 7.2.5 and
//! 7.3.4.3).

use crate::{
    Action, Bits, Bucket, DecodeError, EncodeError, GroupId, Instruction, MatchField, MeterId, oxm,
    port,
    wire::{Put, Reader},
};

/// `OFPAT_*`.
mod action_type {
    pub(super) const OUTPUT: u16 = 0;
    pub(super) const GROUP: u16 = 22;
    pub(super) const SET_FIELD: u16 = 25;
    pub(super) const EXPERIMENTER: u16 = 0xffff;
}

/// `OFPIT_*`.
mod instruction_type {
    pub(super) const GOTO_TABLE: u16 = 1;
    pub(super) const WRITE_METADATA: u16 = 2;
    pub(super) const APPLY_ACTIONS: u16 = 4;
    pub(super) const METER: u16 = 6;
}

/// Whose the extensions of Open vSwitch are.
const NICIRA: u32 = 0x2320;
/// `NXAST_REG_MOVE`.
const REG_MOVE: u16 = 6;

/// `OFPCML_NO_BUFFER`: the controller gets the whole frame.
const WHOLE_FRAME: u16 = 0xffff;

pub(crate) fn put_actions(out: &mut Vec<u8>, actions: &[Action]) -> Result<(), EncodeError> {
    actions.iter().try_for_each(|action| put_action(out, action))
}

/// Reads actions up to the end.
pub(crate) fn take_actions(reader: &mut Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let mut actions = Vec::new();
    while !reader.is_empty() {
        actions.push(take_action(reader)?);
    }
    Ok(actions)
}

pub(crate) fn put_instructions(
    out: &mut Vec<u8>,
    instructions: &[Instruction],
) -> Result<(), EncodeError> {
    instructions.iter().try_for_each(|instruction| put_instruction(out, instruction))
}

/// Reads instructions up to the end.
pub(crate) fn take_instructions(reader: &mut Reader<'_>) -> Result<Vec<Instruction>, DecodeError> {
    let mut instructions = Vec::new();
    while !reader.is_empty() {
        instructions.push(take_instruction(reader)?);
    }
    Ok(instructions)
}

pub(crate) fn put_buckets(out: &mut Vec<u8>, buckets: &[Bucket]) -> Result<(), EncodeError> {
    buckets.iter().try_for_each(|bucket| put_bucket(out, bucket))
}

/// Reads buckets up to the end.
pub(crate) fn take_buckets(reader: &mut Reader<'_>) -> Result<Vec<Bucket>, DecodeError> {
    let mut buckets = Vec::new();
    while !reader.is_empty() {
        buckets.push(take_bucket(reader)?);
    }
    Ok(buckets)
}

/// ```text
/// | type (2) | length, a multiple of 8 (2) | depends on the type |
/// ```
fn put_action(out: &mut Vec<u8>, action: &Action) -> Result<(), EncodeError> {
    let start = out.len();
    match action {
        Action::Output(port) => put_output(out, *port, 0),
        Action::Controller => put_output(out, port::CONTROLLER, WHOLE_FRAME),
        Action::Group(GroupId(group)) => {
            out.put_u16(action_type::GROUP);
            out.put_u16(8);
            out.put_u32(*group);
        }
        Action::SetField(field) => {
            out.put_u16(action_type::SET_FIELD);
            out.put_u16(0);
            oxm::put_value(out, field)?;
            out.pad(start);
            out.set_length("action", start, 2)?;
        }
        Action::Move { from, to, width } => put_move(out, *from, *to, *width),
        Action::Raw { kind, body } => {
            out.put_u16(*kind);
            out.put_u16(0);
            out.extend_from_slice(body);
            out.set_length("action", start, 2)?;
        }
    }
    Ok(())
}

fn put_output(out: &mut Vec<u8>, port: u32, max_length: u16) {
    out.put_u16(action_type::OUTPUT);
    out.put_u16(16);
    out.put_u32(port);
    out.put_u16(max_length);
    out.put([0; 6]);
}

/// ```text
/// | type: experimenter (2) | length (2) | experimenter (4) | subtype (2) | bits (2) |
/// | first source bit (2) | first target bit (2) | source (4) | target (4)           |
/// ```
fn put_move(out: &mut Vec<u8>, from: Bits, to: Bits, width: u16) {
    out.put_u16(action_type::EXPERIMENTER);
    out.put_u16(24);
    out.put_u32(NICIRA);
    for number in [REG_MOVE, width, from.offset, to.offset] {
        out.put_u16(number);
    }
    out.put_u32(oxm::register_header(from.register));
    out.put_u32(oxm::register_header(to.register));
}

/// Reads a move between registers that we use; `None`: it is another action.
fn take_move(body: &mut Reader<'_>) -> Option<Action> {
    if (body.u32().ok()?, body.u16().ok()?) != (NICIRA, REG_MOVE) {
        return None;
    }
    let (width, from, to) = (body.u16().ok()?, body.u16().ok()?, body.u16().ok()?);
    let from = Bits { register: oxm::register_of(body.u32().ok()?)?, offset: from };
    let to = Bits { register: oxm::register_of(body.u32().ok()?)?, offset: to };
    body.is_empty().then_some(Action::Move { from, to, width })
}

fn take_action(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (kind, length) = (reader.u16()?, reader.u16()?);
    let error = DecodeError::ActionLength { kind, length };
    if length < 8 || length % 8 != 0 {
        return Err(error);
    }
    let bytes = reader.take(usize::from(length) - 4)?;
    let raw = || Action::Raw { kind, body: bytes.to_vec() };
    let mut body = Reader::new("action", bytes);
    Ok(match kind {
        action_type::OUTPUT => {
            let (port, max_length) = (body.u32()?, body.u16().map_err(|_| error)?);
            body.skip(6).and_then(|()| body.finish()).map_err(|_| error)?;
            match (port, max_length) {
                (port::CONTROLLER, WHOLE_FRAME) => Action::Controller,
                // The controller would get the start of a frame only: not what `Controller` is.
                (port::CONTROLLER, 1..) => raw(),
                (port, _) => Action::Output(port),
            }
        }
        action_type::GROUP => {
            let group = body.u32()?;
            body.finish().map_err(|_| error)?;
            Action::Group(GroupId(group))
        }
        action_type::SET_FIELD => {
            let field = oxm::take_field(&mut body)?;
            if body.remainder().len() >= 8 {
                return Err(error);
            }
            if has_mask(&field) { raw() } else { Action::SetField(field) }
        }
        action_type::EXPERIMENTER => take_move(&mut body).unwrap_or_else(raw),
        _ => raw(),
    })
}

/// Whether a field is not exact.
fn has_mask(field: &MatchField) -> bool {
    match field {
        MatchField::InPort(_) | MatchField::EthType(_) => false,
        MatchField::Metadata { mask, .. }
        | MatchField::TunnelId { mask, .. }
        | MatchField::TunnelMetadata { mask, .. } => *mask != u64::MAX,
        MatchField::EthDst { mask, .. } | MatchField::EthSrc { mask, .. } => {
            mask.bytes() != [0xff; 6]
        }
        MatchField::PktMark { mask, .. } => *mask != u32::MAX,
        MatchField::Raw(raw) => raw.has_mask,
    }
}

/// ```text
/// | type (2) | length, a multiple of 8 (2) | depends on the type |
/// ```
fn put_instruction(out: &mut Vec<u8>, instruction: &Instruction) -> Result<(), EncodeError> {
    let start = out.len();
    match instruction {
        Instruction::ApplyActions(actions) => {
            out.put_u16(instruction_type::APPLY_ACTIONS);
            out.put([0; 6]);
            put_actions(out, actions)?;
            out.set_length("instruction", start, 2)?;
        }
        Instruction::WriteMetadata { value, mask } => {
            out.put_u16(instruction_type::WRITE_METADATA);
            out.put_u16(24);
            out.put([0; 4]);
            out.put_u64(*value);
            out.put_u64(*mask);
        }
        Instruction::GotoTable(table) => {
            out.put_u16(instruction_type::GOTO_TABLE);
            out.put_u16(8);
            out.put([*table, 0, 0, 0]);
        }
        Instruction::Meter(meter) => {
            out.put_u16(instruction_type::METER);
            out.put_u16(8);
            out.put_u32(meter.0);
        }
        Instruction::Raw { kind, body } => {
            out.put_u16(*kind);
            out.put_u16(0);
            out.extend_from_slice(body);
            out.set_length("instruction", start, 2)?;
        }
    }
    Ok(())
}

fn take_instruction(reader: &mut Reader<'_>) -> Result<Instruction, DecodeError> {
    let (kind, length) = (reader.u16()?, reader.u16()?);
    let error = DecodeError::InstructionLength { kind, length };
    if length < 8 || length % 8 != 0 {
        return Err(error);
    }
    let bytes = reader.take(usize::from(length) - 4)?;
    let mut body = Reader::new("instruction", bytes);
    let decoded = match kind {
        instruction_type::GOTO_TABLE => {
            let [table, ..] = body.array::<4>()?;
            Instruction::GotoTable(table)
        }
        instruction_type::WRITE_METADATA if length == 24 => {
            body.skip(4)?;
            Instruction::WriteMetadata { value: body.u64()?, mask: body.u64()? }
        }
        instruction_type::WRITE_METADATA => return Err(error),
        instruction_type::APPLY_ACTIONS => {
            body.skip(4)?;
            Instruction::ApplyActions(take_actions(&mut body)?)
        }
        instruction_type::METER => Instruction::Meter(MeterId(body.u32()?)),
        _ => Instruction::Raw { kind, body: body.remainder().to_vec() },
    };
    body.finish().map_err(|_| error)?;
    Ok(decoded)
}

/// ```text
/// | length (2) | weight (2) | watch port (4) | watch group (4) | padding (4) | actions |
/// ```
fn put_bucket(out: &mut Vec<u8>, bucket: &Bucket) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u16(0);
    out.put_u16(bucket.weight);
    out.put_u32(bucket.watch_port.unwrap_or(port::ANY));
    out.put_u32(bucket.watch_group.map_or(GroupId::ANY, |group| group).0);
    out.put([0; 4]);
    put_actions(out, &bucket.actions)?;
    out.set_length("bucket", start, 0)
}

fn take_bucket(reader: &mut Reader<'_>) -> Result<Bucket, DecodeError> {
    let length = reader.u16()?;
    let body = length.checked_sub(2).filter(|_| length >= 16 && length % 8 == 0);
    let body = body.ok_or(DecodeError::BucketLength(length))?;
    let mut body = reader.inner("bucket", usize::from(body))?;
    let weight = body.u16()?;
    let watch_port = Some(body.u32()?).filter(|port| *port != port::ANY);
    let watch_group = Some(GroupId(body.u32()?)).filter(|group| *group != GroupId::ANY);
    body.skip(4)?;
    Ok(Bucket { weight, watch_port, watch_group, actions: take_actions(&mut body)? })
}
