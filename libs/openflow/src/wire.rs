//! Reading and writing big-endian numbers and paddings.

use crate::{DecodeError, EncodeError};

/// Reads a structure from front to back.
pub(crate) struct Reader<'a> {
    /// The structure, for errors.
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(N));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.truncated(count));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over bytes whose value does not matter.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(count).map(drop)
    }

    /// A structure inside this one.
    pub(crate) fn inner(&mut self, what: &'static str, count: usize) -> Result<Self, DecodeError> {
        self.take(count).map(|bytes| Self::new(what, bytes))
    }

    /// Everything up to the end.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The structure must end here.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { what: self.what, count }),
        }
    }

    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { what: self.what, needed, available: self.rest.len() }
    }
}

/// Writes to the end of a buffer.
pub(crate) trait Put {
    fn put<const N: usize>(&mut self, bytes: [u8; N]);
    fn put_u16(&mut self, value: u16) {
        self.put(value.to_be_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.put(value.to_be_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.put(value.to_be_bytes());
    }
    /// Fills the structure that began at `start` up to a multiple of 8 bytes.
    fn pad(&mut self, start: usize);
    /// Writes the length of the structure that began at `start` where it belongs, `offset` bytes
    /// behind the start.
    fn set_length(
        &mut self,
        what: &'static str,
        start: usize,
        offset: usize,
    ) -> Result<(), EncodeError>;
}

impl Put for Vec<u8> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend_from_slice(&bytes);
    }

    fn pad(&mut self, start: usize) {
        let length = self.len() - start;
        self.resize(start + length.next_multiple_of(8), 0);
    }

    fn set_length(
        &mut self,
        what: &'static str,
        start: usize,
        offset: usize,
    ) -> Result<(), EncodeError> {
        let length = self.len() - start;
        let bytes =
            u16::try_from(length).map_err(|_| EncodeError::TooLong(what, length))?.to_be_bytes();
        self[start + offset..start + offset + 2].copy_from_slice(&bytes);
        Ok(())
    }
}
