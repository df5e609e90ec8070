use crate::{
    DecodeError, EncodeError, FlowKey, oxm,
    wire::{Put, Reader},
};

/// Tells that a flow is gone (OpenFlow 1.3.5, section 7.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// What identified it.
    pub key: FlowKey,
    /// Its cookie.
    pub cookie: u64,
    /// Why it went.
    pub reason: RemovalReason,
    /// How long it was there, in seconds.
    pub duration: u32,
    /// After how many seconds without a frame it was to go; 0 for never.
    pub idle_timeout: u16,
    /// After how many seconds it was to go; 0 for never.
    pub hard_timeout: u16,
    /// Frames that it took.
    pub packets: u64,
    /// Bytes of these frames.
    pub bytes: u64,
}

/// Why a flow is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// It took no frame for too long.
    IdleTimeout,
    /// Its time was over.
    HardTimeout,
    /// A controller deleted it.
    Delete,
    /// A controller deleted a group that it referred to.
    GroupDelete,
    /// Another reason, which a switch may have of its own.
    Other(u8),
}

impl RemovalReason {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::IdleTimeout => 0,
            Self::HardTimeout => 1,
            Self::Delete => 2,
            Self::GroupDelete => 3,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::IdleTimeout,
            1 => Self::HardTimeout,
            2 => Self::Delete,
            3 => Self::GroupDelete,
            other => Self::Other(other),
        }
    }
}

impl FlowRemoved {
    /// ```text
    /// | cookie (8) | priority (2) | reason (1) | table (1) | seconds (4) | nanoseconds (4)  |
    /// | idle, hard timeout (2, 2) | frames (8) | bytes (8) | match, padded                  |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.put_u64(self.cookie);
        out.put_u16(self.key.priority);
        out.put([self.reason.number(), self.key.table]);
        out.put_u32(self.duration);
        out.put_u32(0);
        out.put_u16(self.idle_timeout);
        out.put_u16(self.hard_timeout);
        out.put_u64(self.packets);
        out.put_u64(self.bytes);
        oxm::put_match(out, &self.key.matching)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (cookie, priority) = (reader.u64()?, reader.u16()?);
        let [reason, table] = reader.array()?;
        let reason = RemovalReason::from_number(reason);
        let duration = reader.u32()?;
        reader.skip(4)?;
        let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
        let (packets, bytes) = (reader.u64()?, reader.u64()?);
        let key = FlowKey { table, priority, matching: oxm::take_match(reader)? };
        Ok(Self { key, cookie, reason, duration, idle_timeout, hard_timeout, packets, bytes })
    }
}
