use crate::{
    Action, DecodeError, EncodeError, Match, MatchField, action,
    modify::NO_BUFFER,
    oxm,
    wire::{Put, Reader},
};

/// A frame that the switch hands to the controller (OpenFlow 1.3.5, section 7.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// Where the switch keeps the frame, if it does.
    pub buffer: Option<u32>,
    /// Length of the whole frame in bytes; `data` may be shorter.
    pub total_length: u16,
    /// Why it was sent.
    pub reason: PacketInReason,
    /// Table of the flow that sent it.
    pub table: u8,
    /// Cookie of the flow that sent it; `u64::MAX` if no flow did.
    pub cookie: u64,
    /// The frame's ingress port, metadata, tunnel and mark, as they were when it was sent.
    pub matching: Match,
    /// The frame.
    pub data: Vec<u8>,
}

/// Why a switch hands a frame to the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketInReason {
    /// The table-miss flow did it.
    NoMatch,
    /// An output action did it.
    Action,
    /// Its TTL was invalid.
    InvalidTtl,
}

/// A frame that the controller hands to the switch (OpenFlow 1.3.5, section 7.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// Where the switch keeps the frame; then `data` is empty.
    pub buffer: Option<u32>,
    /// The port that the frame counts as having come in by: [`port::CONTROLLER`] or another.
    ///
    /// [`port::CONTROLLER`]: crate::port::CONTROLLER
    pub in_port: u32,
    /// What happens to it.
    pub actions: Vec<Action>,
    /// The frame.
    pub data: Vec<u8>,
}

impl PacketIn {
    /// The port that the frame came in by.
    pub fn in_port(&self) -> Option<u32> {
        self.matching.fields().iter().find_map(|field| match field {
            MatchField::InPort(port) => Some(*port),
            _ => None,
        })
    }

    /// The frame's metadata; 0 if the switch left it out.
    pub fn metadata(&self) -> u64 {
        let metadata = self.matching.fields().iter().find_map(|field| match field {
            MatchField::Metadata { value, .. } => Some(*value),
            _ => None,
        });
        metadata.unwrap_or(0)
    }

    /// Identifier of the tunnel that the frame came by; 0 if the switch left it out.
    pub fn tunnel_id(&self) -> u64 {
        let id = self.matching.fields().iter().find_map(|field| match field {
            MatchField::TunnelId { value, .. } => Some(*value),
            _ => None,
        });
        id.unwrap_or(0)
    }

    /// The frame's mark; 0 if the switch left it out.
    pub fn pkt_mark(&self) -> u32 {
        let mark = self.matching.fields().iter().find_map(|field| match field {
            MatchField::PktMark { value, .. } => Some(*value),
            _ => None,
        });
        mark.unwrap_or(0)
    }
}

impl PacketIn {
    /// ```text
    /// | buffer (4) | total length (2) | reason (1) | table (1) | cookie (8) |
    /// | match, padded | padding (2) | frame |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.put_u32(self.buffer.unwrap_or(NO_BUFFER));
        out.put_u16(self.total_length);
        let reason = match self.reason {
            PacketInReason::NoMatch => 0,
            PacketInReason::Action => 1,
            PacketInReason::InvalidTtl => 2,
        };
        out.put([reason, self.table]);
        out.put_u64(self.cookie);
        oxm::put_match(out, &self.matching)?;
        out.put_u16(0);
        out.extend_from_slice(&self.data);
        Ok(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let buffer = Some(reader.u32()?).filter(|buffer| *buffer != NO_BUFFER);
        let total_length = reader.u16()?;
        let reason = match reader.u8()? {
            0 => PacketInReason::NoMatch,
            1 => PacketInReason::Action,
            2 => PacketInReason::InvalidTtl,
            other => return Err(DecodeError::PacketInReason(other)),
        };
        let (table, cookie) = (reader.u8()?, reader.u64()?);
        let matching = oxm::take_match(reader)?;
        reader.skip(2)?;
        let data = reader.remainder().to_vec();
        Ok(Self { buffer, total_length, reason, table, cookie, matching, data })
    }
}

impl PacketOut {
    /// ```text
    /// | buffer (4) | ingress port (4) | length of the actions (2) | padding (6) |
    /// | actions | frame |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.put_u32(self.buffer.unwrap_or(NO_BUFFER));
        out.put_u32(self.in_port);
        let length = out.len();
        out.put([0; 8]);
        let start = out.len();
        action::put_actions(out, &self.actions)?;
        let actions = out.len() - start;
        let actions =
            u16::try_from(actions).map_err(|_| EncodeError::TooLong("actions", actions))?;
        out[length..length + 2].copy_from_slice(&actions.to_be_bytes());
        out.extend_from_slice(&self.data);
        Ok(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let buffer = Some(reader.u32()?).filter(|buffer| *buffer != NO_BUFFER);
        let (in_port, actions) = (reader.u32()?, reader.u16()?);
        reader.skip(6)?;
        let actions = action::take_actions(&mut reader.inner("actions", usize::from(actions))?)?;
        Ok(Self { buffer, in_port, actions, data: reader.remainder().to_vec() })
    }
}
