//! Meters (OpenFlow 1.3.5, sections 5.7 and 7.3.4.4).

use crate::{
    DecodeError, EncodeError,
    frame::{kind, put_message},
    wire::{Put, Reader},
};

/// Number of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(pub u32);

impl MeterId {
    /// All meters, in a request or a deletion.
    pub const ALL: Self = Self(0xffff_ffff);
}

/// An entry of the meter table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// Its number.
    pub id: MeterId,
    /// What it lets pass.
    pub limit: MeterLimit,
}

/// What a meter lets pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeterLimit {
    /// So many frames; it drops the others.
    Frames {
        /// In a second, for long.
        rate: u32,
        /// At once.
        burst: u32,
    },
    /// A limit that we never set, kept as it came.
    Raw {
        /// `ofp_meter_flags`.
        flags: u16,
        /// Its bands.
        bands: Vec<u8>,
    },
}

/// A change of the meter table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterModCommand,
    /// The meter; in a deletion only its number counts.
    pub meter: Meter,
}

/// What to do with a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterModCommand {
    /// Add it.
    Add,
    /// Replace it.
    Modify,
    /// Delete it, or all if it is [`MeterId::ALL`], with the flows that refer to it.
    Delete,
}

/// `OFPMF_PKTPS | OFPMF_BURST`.
const FRAMES: u16 = 0b110;
/// `OFPMBT_DROP`, and the length of such a band.
const DROP_BAND: [u16; 2] = [1, 16];

impl Meter {
    /// A meter without a limit, as it is written in a deletion.
    pub(crate) const fn unlimited(id: MeterId) -> Self {
        Self { id, limit: MeterLimit::Raw { flags: 0, bands: Vec::new() } }
    }

    /// ```text
    /// | flags (2) | meter (4) | bands |
    /// band that drops: | type (2) | length (2) | rate (4) | burst (4) | padding (4) |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match &self.limit {
            MeterLimit::Frames { rate, burst } => {
                out.put_u16(FRAMES);
                out.put_u32(self.id.0);
                DROP_BAND.into_iter().for_each(|number| out.put_u16(number));
                [*rate, *burst, 0].into_iter().for_each(|number| out.put_u32(number));
            }
            MeterLimit::Raw { flags, bands } => {
                out.put_u16(*flags);
                out.put_u32(self.id.0);
                out.extend_from_slice(bands);
            }
        }
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (flags, id) = (reader.u16()?, MeterId(reader.u32()?));
        let bands = reader.remainder();
        let limit = match frames(bands) {
            Some((rate, burst)) if flags == FRAMES => MeterLimit::Frames { rate, burst },
            _ => MeterLimit::Raw { flags, bands: bands.to_vec() },
        };
        Ok(Self { id, limit })
    }
}

/// Rate and burst of a single band that drops.
fn frames(bands: &[u8]) -> Option<(u32, u32)> {
    let mut band = Reader::new("meter band", bands);
    let header = [band.u16().ok()?, band.u16().ok()?];
    let (rate, burst, padding) = (band.u32().ok()?, band.u32().ok()?, band.u32().ok()?);
    (header == DROP_BAND && padding == 0 && band.is_empty()).then_some((rate, burst))
}

impl MeterMod {
    /// ```text
    /// | command (2) | meter |
    /// ```
    pub(crate) fn put(out: &mut Vec<u8>, command: MeterModCommand, meter: &Meter) {
        out.put_u16(match command {
            MeterModCommand::Add => 0,
            MeterModCommand::Modify => 1,
            MeterModCommand::Delete => 2,
        });
        meter.put(out);
    }

    pub(crate) fn encode_parts(
        out: &mut Vec<u8>,
        xid: u32,
        command: MeterModCommand,
        meter: &Meter,
    ) -> Result<(), EncodeError> {
        put_message(out, kind::METER_MOD, xid, |out| {
            Self::put(out, command, meter);
            Ok(())
        })
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let command = match reader.u16()? {
            0 => MeterModCommand::Add,
            1 => MeterModCommand::Modify,
            2 => MeterModCommand::Delete,
            other => return Err(DecodeError::MeterModCommand(other)),
        };
        Ok(Self { command, meter: Meter::take(reader)? })
    }
}
