use crate::{
    DecodeError, VERSION,
    wire::{Put, Reader},
};

/// `OFPHET_VERSIONBITMAP`.
const VERSION_BITMAP: u16 = 1;

/// The first message of both ends (OpenFlow 1.3.5, section 7.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The highest version that the sender speaks, from the header.
    pub version: u8,
    /// The versions that the sender speaks, bit by number, if it says so.
    pub bitmap: Option<u32>,
}

impl Hello {
    /// Says that we speak OpenFlow 1.3 and nothing else.
    pub const OURS: Self = Self { version: VERSION, bitmap: Some(1 << VERSION) };

    /// Whether the two ends agree on OpenFlow 1.3: both list it, or else the smaller of the two
    /// highest versions is it.
    pub const fn agrees(self) -> bool {
        match self.bitmap {
            Some(versions) => versions & 1 << VERSION != 0,
            None => self.version >= VERSION,
        }
    }

    /// Elements, of which only the version bitmap is known:
    ///
    /// ```text
    /// | type (2) | length without padding (2) | body | padding to a multiple of 8 |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if let Some(bitmap) = self.bitmap {
            out.put_u16(VERSION_BITMAP);
            out.put_u16(8);
            out.put_u32(bitmap);
        }
    }

    /// Reads the elements; what is unknown must be ignored.
    pub(crate) fn take(version: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut bitmap = None;
        while !reader.is_empty() {
            let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
            let body = length.checked_sub(4).ok_or(DecodeError::Truncated {
                what: "hello element",
                needed: 4,
                available: length,
            })?;
            let mut body = reader.inner("hello element", body)?;
            // Open vSwitch, for one, leaves out the padding behind the last element.
            let padding = length.next_multiple_of(8) - length;
            if !reader.is_empty() {
                reader.skip(padding)?;
            }
            if kind == VERSION_BITMAP {
                bitmap = Some(body.u32()?);
            }
        }
        Ok(Self { version, bitmap })
    }
}
