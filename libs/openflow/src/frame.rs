use crate::{
    DecodeError, EncodeError,
    wire::{Put, Reader},
};

/// The version number of OpenFlow 1.3.
pub const VERSION: u8 = 4;

/// Length of a message's header in bytes.
pub(crate) const HEADER: usize = 8;

/// Type numbers of messages (`ofp_type`, OpenFlow 1.3.5, section 7.1).
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 0;
    pub(crate) const ERROR: u8 = 1;
    pub(crate) const ECHO_REQUEST: u8 = 2;
    pub(crate) const ECHO_REPLY: u8 = 3;
    pub(crate) const EXPERIMENTER: u8 = 4;
    pub(crate) const FEATURES_REQUEST: u8 = 5;
    pub(crate) const FEATURES_REPLY: u8 = 6;
    pub(crate) const SET_CONFIG: u8 = 9;
    pub(crate) const PACKET_IN: u8 = 10;
    pub(crate) const FLOW_REMOVED: u8 = 11;
    pub(crate) const PORT_STATUS: u8 = 12;
    pub(crate) const PACKET_OUT: u8 = 13;
    pub(crate) const FLOW_MOD: u8 = 14;
    pub(crate) const GROUP_MOD: u8 = 15;
    pub(crate) const MULTIPART_REQUEST: u8 = 18;
    pub(crate) const MULTIPART_REPLY: u8 = 19;
    pub(crate) const BARRIER_REQUEST: u8 = 20;
    pub(crate) const BARRIER_REPLY: u8 = 21;
    pub(crate) const ROLE_REQUEST: u8 = 24;
    pub(crate) const ROLE_REPLY: u8 = 25;
    pub(crate) const METER_MOD: u8 = 29;
    /// The largest that OpenFlow 1.3 has.
    pub(crate) const LAST: u8 = METER_MOD;
}

/// The header of every message (OpenFlow 1.3.5, section 7.1):
///
/// ```text
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |    version    |     type      |  length, header included      |
/// +---------------+---------------+-------------------------------+
/// |  xid: the same in a request and in its answer                 |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the protocol.
    pub version: u8,
    /// Type of the message.
    pub kind: u8,
    /// Length of the message in bytes, this header included.
    pub length: u16,
    /// The same in a request and in its answer.
    pub xid: u32,
}

impl Header {
    /// Reads the header at the start of a message.
    ///
    /// # Errors
    /// The bytes end too early, the length cannot be, or the version is not 1.3. A hello and an
    /// error may have any version: they are how two ends find out.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("header", bytes);
        let (version, kind) = (reader.u8()?, reader.u8()?);
        let header = Self { version, kind, length: reader.u16()?, xid: reader.u32()? };
        if usize::from(header.length) < HEADER {
            return Err(DecodeError::MessageLength(header.length));
        }
        if version != VERSION && !matches!(kind, kind::HELLO | kind::ERROR) {
            return Err(DecodeError::Version(version));
        }
        Ok(header)
    }
}

/// Writes a message: the header, and what `body` writes. Leaves `out` as it was on an error.
pub(crate) fn put_message(
    out: &mut Vec<u8>,
    kind: u8,
    xid: u32,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put([VERSION, kind, 0, 0]);
    out.put_u32(xid);
    let written = body(out).and_then(|()| out.set_length("message", start, 2));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Cuts a stream of bytes into messages. Holds at most one unfinished message, so less than 64 KiB,
/// beyond what was pushed last.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
}

/// One whole message, not decoded but for its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// The message, header included.
    pub bytes: &'a [u8],
}

impl Frames {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// What comes next is no header of OpenFlow 1.3. The stream is lost then: where the next
    /// message begins is not known.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, DecodeError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        if rest.len() < HEADER {
            return Ok(None);
        }
        let header = Header::decode(rest)?;
        let Some(bytes) = rest.get(..usize::from(header.length)) else { return Ok(None) };
        self.start += bytes.len();
        Ok(Some(Frame { header, bytes }))
    }

    /// The bytes that are not part of a message returned yet.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}
