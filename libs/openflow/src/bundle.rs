//! Bundles of messages that take effect together, as the ONF extension 230 brings them to OpenFlow
//! 1.3.

use crate::{
    DecodeError, EncodeError, Message,
    wire::{Put, Reader},
};

/// Names the ONF in an experimenter message.
pub(crate) const ONF: u32 = 0x4f4e_4600;
/// `ONF_ET_BUNDLE_CONTROL`.
pub(crate) const CONTROL: u32 = 2300;
/// `ONF_ET_BUNDLE_ADD_MESSAGE`.
pub(crate) const ADD_MESSAGE: u32 = 2301;

/// Opens, closes, commits or discards a bundle, or confirms that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// The bundle, as the controller names it.
    pub bundle: u32,
    /// What to do, or what was done.
    pub kind: BundleControlKind,
    /// How the bundle is to behave.
    pub flags: BundleFlags,
}

/// What is to be done with a bundle, or was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleControlKind {
    /// Begin it.
    OpenRequest,
    /// Begun.
    OpenReply,
    /// Take no more messages.
    CloseRequest,
    /// Closed.
    CloseReply,
    /// Carry out all of it or nothing. A message that was refused when it was added is not part of
    /// it any more, so look for errors first.
    CommitRequest,
    /// Carried out.
    CommitReply,
    /// Forget it.
    DiscardRequest,
    /// Forgotten.
    DiscardReply,
}

/// How a bundle behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleFlags {
    /// No packet sees only a part of it.
    pub atomic: bool,
    /// Carried out in the order in which it was added.
    pub ordered: bool,
}

/// A message that is put into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// The bundle.
    pub bundle: u32,
    /// As when the bundle was opened.
    pub flags: BundleFlags,
    /// The message; it goes out with the xid of the message around it.
    pub message: Box<Message>,
}

impl BundleControl {
    /// ```text
    /// | bundle (4) | type (2) | flags (2) |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.bundle);
        out.put_u16(match self.kind {
            BundleControlKind::OpenRequest => 0,
            BundleControlKind::OpenReply => 1,
            BundleControlKind::CloseRequest => 2,
            BundleControlKind::CloseReply => 3,
            BundleControlKind::CommitRequest => 4,
            BundleControlKind::CommitReply => 5,
            BundleControlKind::DiscardRequest => 6,
            BundleControlKind::DiscardReply => 7,
        });
        out.put_u16(self.flags.bits());
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bundle = reader.u32()?;
        let kind = match reader.u16()? {
            0 => BundleControlKind::OpenRequest,
            1 => BundleControlKind::OpenReply,
            2 => BundleControlKind::CloseRequest,
            3 => BundleControlKind::CloseReply,
            4 => BundleControlKind::CommitRequest,
            5 => BundleControlKind::CommitReply,
            6 => BundleControlKind::DiscardRequest,
            7 => BundleControlKind::DiscardReply,
            other => return Err(DecodeError::BundleControl(other)),
        };
        Ok(Self { bundle, kind, flags: BundleFlags::from_bits(reader.u16()?) })
    }
}

impl BundleAdd {
    /// ```text
    /// | bundle (4) | padding (2) | flags (2) | message |
    /// ```
    pub(crate) fn put(&self, xid: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.put_u32(self.bundle);
        out.put_u16(0);
        out.put_u16(self.flags.bits());
        self.message.encode(xid, out)
    }

    /// `depth` bounds how many messages may be wrapped in each other.
    pub(crate) fn take(reader: &mut Reader<'_>, depth: u8) -> Result<Self, DecodeError> {
        let bundle = reader.u32()?;
        reader.skip(2)?;
        let flags = BundleFlags::from_bits(reader.u16()?);
        let (_, message) = Message::decode_nested(reader.remainder(), depth)?;
        Ok(Self { bundle, flags, message: Box::new(message) })
    }
}

impl BundleFlags {
    const fn bits(self) -> u16 {
        self.atomic as u16 | (self.ordered as u16) << 1
    }

    const fn from_bits(bits: u16) -> Self {
        Self { atomic: bits & 1 != 0, ordered: bits & 2 != 0 }
    }
}
