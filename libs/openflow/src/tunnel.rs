//! Tunnel options: which option of a tunnel is seen as which match field. An extension of Open
//! vSwitch (`NXT_TLV_TABLE_*`, described in its `nicira-ext.h`).

use crate::{
    DecodeError,
    wire::{Put, Reader},
};

/// Whose the extensions of Open vSwitch are.
pub(crate) const NICIRA: u32 = 0x2320;
/// `NXT_TLV_TABLE_MOD`.
pub(crate) const TABLE_MOD: u32 = 24;
/// `NXT_TLV_TABLE_REQUEST`.
pub(crate) const TABLE_REQUEST: u32 = 25;
/// `NXT_TLV_TABLE_REPLY`.
pub(crate) const TABLE_REPLY: u32 = 26;

/// `NXTTMC_ADD`, the only change that we make.
const ADD: u16 = 0;
/// Bytes of a mapping.
const MAPPING: usize = 8;

/// A tunnel option (Geneve's type-length-value, RFC 8926, section 3.5) and the match field
/// `tun_metadata<index>` that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelOption {
    /// Option class.
    pub class: u16,
    /// Type within the class; with its highest bit, whoever does not know it must drop the frame.
    pub kind: u8,
    /// Bytes of its value: a multiple of 4, at most 124.
    pub length: u8,
    /// Number of the match field, from 0 to 63.
    pub index: u16,
}

/// What a switch says of its tunnel options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelOptions {
    /// How many bytes all options may have together.
    pub space: u32,
    /// How many options there may be.
    pub fields: u16,
    /// Those there are.
    pub mapped: Vec<TunnelOption>,
}

impl TunnelOption {
    /// ```text
    /// | class (2) | type (1) | length (1) | index (2) | padding (2) |
    /// ```
    fn put(self, out: &mut Vec<u8>) {
        out.put_u16(self.class);
        out.put([self.kind, self.length]);
        out.put_u16(self.index);
        out.put_u16(0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (class, kind, length) = (reader.u16()?, reader.u8()?, reader.u8()?);
        let index = reader.u16()?;
        reader.skip(2)?;
        Ok(Self { class, kind, length, index })
    }

    /// ```text
    /// | command: add (2) | padding (6) | mappings |
    /// ```
    pub(crate) fn put_additions(out: &mut Vec<u8>, options: &[Self]) {
        out.put_u16(ADD);
        out.put([0; 6]);
        options.iter().for_each(|option| option.put(out));
    }

    /// The mappings that are added; `None`: it is another change.
    pub(crate) fn additions(body: &[u8]) -> Option<Vec<Self>> {
        let mut reader = Reader::new("tunnel options", body);
        if reader.u16().ok()? != ADD || reader.array().ok()? != [0; 6] {
            return None;
        }
        take_mappings(&mut reader).ok()
    }
}

impl TunnelOptions {
    /// ```text
    /// | bytes (4) | fields (2) | reserved (10) | mappings |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.space);
        out.put_u16(self.fields);
        out.put([0; 10]);
        self.mapped.iter().for_each(|option| option.put(out));
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (space, fields) = (reader.u32()?, reader.u16()?);
        reader.skip(10)?;
        Ok(Self { space, fields, mapped: take_mappings(reader)? })
    }
}

fn take_mappings(reader: &mut Reader<'_>) -> Result<Vec<TunnelOption>, DecodeError> {
    let mut mappings = Vec::new();
    while !reader.is_empty() {
        mappings.push(TunnelOption::take(&mut reader.inner("tunnel option", MAPPING)?)?);
    }
    Ok(mappings)
}
