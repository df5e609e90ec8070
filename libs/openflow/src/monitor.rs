//! The flow monitor: a switch tells of every change of its flows, as the ONF extension 187 brings
//! it from OpenFlow 1.4 to 1.3.

use crate::{
    DecodeError, EncodeError, Flow, FlowKey, Match, RemovalReason, action, oxm, port,
    wire::{Put, Reader},
};

/// `ONFMP_FLOW_MONITOR`.
pub(crate) const FLOW_MONITOR: u32 = 1870;
/// `ONFT_FLOW_MONITOR_CANCEL`, a message of its own.
pub(crate) const CANCEL: u32 = 1870;

/// Which changes are told: additions, deletions and modifications (`NXFMF_*`); neither what is
/// there at first, nor what the flows do, nor, but for its xid, what the asking controller changes.
const CHANGES: u16 = 0b1110;

/// Length of a match that takes every frame, without its padding.
const EMPTY_MATCH: u16 = 4;

/// `NXFME_*`.
mod event {
    pub(super) const ADDED: u16 = 0;
    pub(super) const DELETED: u16 = 1;
    pub(super) const MODIFIED: u16 = 2;
    pub(super) const ABBREVIATED: u16 = 3;
}

/// Asks to be told of the changes of all flows that other controllers make, and of our own in
/// short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowMonitor {
    /// Names the monitor.
    pub id: u32,
}

/// A change of the flow tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    /// Somebody else changed a flow.
    Foreign(ForeignUpdate),
    /// The controller that asked has changed flows with the message of this xid; the switch leaves
    /// out the same from several messages in a row.
    Own {
        /// As the controller chose it.
        xid: u32,
    },
}

/// A change of a flow that another controller made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignUpdate {
    /// What happened.
    pub event: FlowEvent,
    /// Why, if it was deleted (`ofp_flow_removed_reason`).
    pub reason: u16,
    /// The flow.
    pub flow: Flow,
    /// After how many seconds it goes; 0 for never.
    pub hard_timeout: u16,
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It does something else.
    Modified,
}

impl FlowMonitor {
    /// ```text
    /// | id (4) | flags (2) | length of the match (2) | output port (4) | table (1) | zeros (3) |
    /// | match, padded                                                                          |
    /// ```
    pub(crate) fn put(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.put_u32(self.id);
        out.put_u16(CHANGES);
        out.put_u16(EMPTY_MATCH);
        out.put_u32(port::ANY);
        out.put([Flow::ALL_TABLES, 0, 0, 0]);
        oxm::put_match(out, &Match::any())
    }

    /// The monitor that is asked for; `None`: it is one that we never ask for.
    pub(crate) fn take(body: &[u8]) -> Option<Self> {
        let id = Reader::new("flow monitor", body).u32().ok()?;
        let monitor = Self { id };
        let mut bytes = Vec::new();
        monitor.put(&mut bytes).ok()?;
        (bytes == body).then_some(monitor)
    }
}

impl FlowUpdate {
    /// Whether somebody else changed a flow. One that has gone by itself, nobody has changed.
    pub(crate) fn is_foreign_change(&self) -> bool {
        let expiry = u16::from(RemovalReason::IdleTimeout.number());
        match self {
            Self::Foreign(update) => update.event != FlowEvent::Deleted || update.reason != expiry,
            Self::Own { .. } => false,
        }
    }

    /// ```text
    /// | length (2) | event (2) | own: xid (4)
    ///                          | reason (2) | priority (2) | idle timeout (2) | hard timeout (2) |
    /// | length of the match (2) | table (1) | padding (1) | cookie (8) | match, padded            |
    /// | instructions                                                                             |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.put_u16(0);
        match self {
            Self::Own { xid } => {
                out.put_u16(event::ABBREVIATED);
                out.put_u32(*xid);
            }
            Self::Foreign(update) => {
                let Flow { key, cookie, idle_timeout, instructions } = &update.flow;
                out.put_u16(update.event.number());
                for number in [update.reason, key.priority, *idle_timeout, update.hard_timeout, 0] {
                    out.put_u16(number);
                }
                out.put([key.table, 0]);
                out.put_u64(*cookie);
                let at = out.len();
                oxm::put_match(out, &key.matching)?;
                // The length of the match is said twice.
                let length = [out[at + 2], out[at + 3]];
                out[start + 12..start + 14].copy_from_slice(&length);
                action::put_instructions(out, instructions)?;
            }
        }
        out.set_length("flow update", start, 0)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "flow update";
        let length = usize::from(reader.u16()?);
        let truncated = DecodeError::Truncated { what: WHAT, needed: 8, available: length };
        let mut update = reader.inner(WHAT, length.checked_sub(2).ok_or(truncated)?)?;
        let event = match update.u16()? {
            event::ADDED => FlowEvent::Added,
            event::DELETED => FlowEvent::Deleted,
            event::MODIFIED => FlowEvent::Modified,
            event::ABBREVIATED => {
                let xid = update.u32()?;
                update.finish()?;
                return Ok(Self::Own { xid });
            }
            other => return Err(DecodeError::FlowEvent(other)),
        };
        let (reason, priority) = (update.u16()?, update.u16()?);
        let (idle_timeout, hard_timeout) = (update.u16()?, update.u16()?);
        update.skip(2)?;
        let [table, _] = update.array()?;
        let cookie = update.u64()?;
        let key = FlowKey { table, priority, matching: oxm::take_match(&mut update)? };
        let instructions = action::take_instructions(&mut update)?;
        let flow = Flow { key, cookie, idle_timeout, instructions };
        Ok(Self::Foreign(ForeignUpdate { event, reason, flow, hard_timeout }))
    }
}

impl FlowEvent {
    const fn number(self) -> u16 {
        match self {
            Self::Added => event::ADDED,
            Self::Deleted => event::DELETED,
            Self::Modified => event::MODIFIED,
        }
    }
}
