//! Matches and their fields on the wire (OpenFlow 1.3.5, section 7.2.3).

use l2sces_model::MacAddress;

use crate::{
    DecodeError, EncodeError, Match, MatchField, RawField, Register,
    wire::{Put, Reader},
};

/// `OFPXMC_OPENFLOW_BASIC`.
const BASIC: u16 = 0x8000;
/// `NXM_1`, in which Open vSwitch keeps its own fields.
const NICIRA: u16 = 0x0001;
/// `OFPXMC_EXPERIMENTER`: four bytes of the payload say whose the field is.
const EXPERIMENTER: u16 = 0xffff;

const IN_PORT: u8 = 0;
const METADATA: u8 = 2;
/// `NXM_NX_TUN_ID`.
const NICIRA_TUNNEL_ID: u8 = 16;
const ETH_DST: u8 = 3;
const ETH_SRC: u8 = 4;
const ETH_TYPE: u8 = 5;
const TUNNEL_ID: u8 = 38;
const PKT_MARK: u8 = 33;
const TUNNEL_METADATA: u8 = 40;

/// `OFPMT_OXM`.
const OXM: u16 = 1;

/// Writes a match with its padding:
///
/// ```text
/// | type: OXM (2) | length without padding (2) | fields | padding to a multiple of 8 |
/// ```
///
/// A field comes after those it depends on: an Ethernet type or IP protocol before the fields of
/// that protocol. The order of a match is that but for the fields of older classes (such as
/// `NXM_NX_TCP_FLAGS`), which sort first and are written last.
pub(crate) fn put_match(out: &mut Vec<u8>, matching: &Match) -> Result<(), EncodeError> {
    let is_old = |field: &&MatchField| matches!(field, MatchField::Raw(raw) if raw.class < BASIC);
    let start = out.len();
    out.put_u16(OXM);
    out.put_u16(0);
    for field in matching.fields().iter().filter(|field| !is_old(field)) {
        put_field(out, field)?;
    }
    for field in matching.fields().iter().filter(is_old) {
        put_field(out, field)?;
    }
    out.set_length("match", start, 2)?;
    out.pad(start);
    Ok(())
}

/// Reads a match with its padding.
pub(crate) fn take_match(reader: &mut Reader<'_>) -> Result<Match, DecodeError> {
    let kind = reader.u16()?;
    if kind != OXM {
        return Err(DecodeError::MatchType(kind));
    }
    let length = reader.u16()?;
    let fields = length.checked_sub(4).ok_or(DecodeError::MatchLength(length))?;
    let mut fields = reader.inner("match", usize::from(fields))?;
    let padding = usize::from(length).next_multiple_of(8) - usize::from(length);
    reader.skip(padding)?;

    let mut list = Vec::new();
    while !fields.is_empty() {
        list.push(take_field(&mut fields)?);
    }
    list.sort_unstable();
    if let Some(pair) = list.windows(2).find(|pair| identity(&pair[0]) == identity(&pair[1])) {
        let (class, field, _) = identity(&pair[0]);
        return Err(DecodeError::DuplicateField { class, field });
    }
    Ok(list.into_iter().collect())
}

/// Writes one field:
///
/// ```text
/// | class (2) | field (7 bits), has mask (1 bit) | payload length (1) | value | mask |
/// ```
pub(crate) fn put_field(out: &mut Vec<u8>, field: &MatchField) -> Result<(), EncodeError> {
    match field {
        MatchField::InPort(port) => put_exact(out, BASIC, IN_PORT, port.to_be_bytes()),
        MatchField::Metadata { value, mask } => {
            put_masked(out, BASIC, METADATA, value.to_be_bytes(), mask.to_be_bytes());
        }
        MatchField::EthDst { value, mask } => {
            put_masked(out, BASIC, ETH_DST, value.bytes(), mask.bytes());
        }
        MatchField::EthSrc { value, mask } => {
            put_masked(out, BASIC, ETH_SRC, value.bytes(), mask.bytes());
        }
        MatchField::EthType(value) => put_exact(out, BASIC, ETH_TYPE, value.to_be_bytes()),
        MatchField::TunnelId { value, mask } => {
            put_masked(out, BASIC, TUNNEL_ID, value.to_be_bytes(), mask.to_be_bytes());
        }
        MatchField::PktMark { value, mask } => {
            put_masked(out, NICIRA, PKT_MARK, value.to_be_bytes(), mask.to_be_bytes());
        }
        MatchField::TunnelMetadata { value, mask } => {
            put_masked(out, NICIRA, TUNNEL_METADATA, value.to_be_bytes(), mask.to_be_bytes());
        }
        MatchField::Raw(RawField { class, field, has_mask, payload }) => {
            let length = u8::try_from(payload.len())
                .map_err(|_| EncodeError::TooLong("match field", payload.len()))?;
            put_field_header(out, *class, *field, *has_mask, length);
            out.extend_from_slice(payload);
        }
    }
    Ok(())
}

/// Reads one field.
pub(crate) fn take_field(reader: &mut Reader<'_>) -> Result<MatchField, DecodeError> {
    let class = reader.u16()?;
    let [tag, length] = reader.array()?;
    let (field, has_mask) = (tag >> 1, tag & 1 == 1);
    let payload = reader.take(usize::from(length))?;
    let oxm = Oxm { class, field, has_mask, length, payload };
    Ok(match (class, field) {
        (BASIC, IN_PORT) => MatchField::InPort(u32::from_be_bytes(oxm.exact()?)),
        (BASIC, METADATA) => {
            let (value, mask) = oxm.masked()?;
            MatchField::Metadata {
                value: u64::from_be_bytes(value),
                mask: u64::from_be_bytes(mask),
            }
        }
        (BASIC, ETH_DST) => {
            let (value, mask) = oxm.masked()?;
            MatchField::EthDst { value: MacAddress::new(value), mask: MacAddress::new(mask) }
        }
        (BASIC, ETH_SRC) => {
            let (value, mask) = oxm.masked()?;
            MatchField::EthSrc { value: MacAddress::new(value), mask: MacAddress::new(mask) }
        }
        (BASIC, ETH_TYPE) => MatchField::EthType(u16::from_be_bytes(oxm.exact()?)),
        (BASIC, TUNNEL_ID) => {
            let (value, mask) = oxm.masked()?;
            MatchField::TunnelId {
                value: u64::from_be_bytes(value),
                mask: u64::from_be_bytes(mask),
            }
        }
        (NICIRA, PKT_MARK) => {
            let (value, mask) = oxm.masked()?;
            MatchField::PktMark { value: u32::from_be_bytes(value), mask: u32::from_be_bytes(mask) }
        }
        (NICIRA, TUNNEL_METADATA) if usize::from(length) == 8 << u8::from(has_mask) => {
            let (value, mask) = oxm.masked()?;
            MatchField::TunnelMetadata {
                value: u64::from_be_bytes(value),
                mask: u64::from_be_bytes(mask),
            }
        }
        // Open vSwitch leaves out the zeros at the start of a value that a set-field action writes.
        (NICIRA, TUNNEL_METADATA) if !has_mask && (1..8).contains(&length) => {
            let value = payload.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            MatchField::TunnelMetadata { value, mask: u64::MAX }
        }
        _ => MatchField::Raw(RawField { class, field, has_mask, payload: payload.to_vec() }),
    })
}

/// The value of a field as a set-field action writes it: without the mask.
pub(crate) fn put_value(out: &mut Vec<u8>, field: &MatchField) -> Result<(), EncodeError> {
    match field {
        MatchField::InPort(_) | MatchField::EthType(_) | MatchField::Raw(_) => {
            return put_field(out, field);
        }
        MatchField::Metadata { value, .. } => {
            put_exact(out, BASIC, METADATA, value.to_be_bytes());
        }
        MatchField::EthDst { value, .. } => put_exact(out, BASIC, ETH_DST, value.bytes()),
        MatchField::EthSrc { value, .. } => put_exact(out, BASIC, ETH_SRC, value.bytes()),
        MatchField::TunnelId { value, .. } => {
            put_exact(out, BASIC, TUNNEL_ID, value.to_be_bytes());
        }
        MatchField::PktMark { value, .. } => put_exact(out, NICIRA, PKT_MARK, value.to_be_bytes()),
        MatchField::TunnelMetadata { value, .. } => {
            put_exact(out, NICIRA, TUNNEL_METADATA, value.to_be_bytes());
        }
    }
    Ok(())
}

/// The header of a register as the end of a move action: what a field of it would have. Open
/// vSwitch lists a tunnel's identifier by its older name.
pub(crate) const fn register_header(register: Register) -> u32 {
    let (class, field, length) = match register {
        Register::Metadata => (BASIC, METADATA, 8),
        Register::TunnelId => (NICIRA, NICIRA_TUNNEL_ID, 8),
        Register::TunnelMetadata => (NICIRA, TUNNEL_METADATA, 8),
    };
    (class as u32) << 16 | (field as u32) << 9 | length
}

/// The register with a header.
pub(crate) fn register_of(header: u32) -> Option<Register> {
    [Register::Metadata, Register::TunnelId, Register::TunnelMetadata]
        .into_iter()
        .find(|register| register_header(*register) == header)
}

fn put_exact<const N: usize>(out: &mut Vec<u8>, class: u16, field: u8, value: [u8; N]) {
    put_field_header(out, class, field, false, N as u8);
    out.put(value);
}

/// With a mask of all ones there is none on the wire.
fn put_masked<const N: usize>(
    out: &mut Vec<u8>,
    class: u16,
    field: u8,
    value: [u8; N],
    mask: [u8; N],
) {
    if mask == [0xff; N] {
        put_exact(out, class, field, value);
    } else {
        put_field_header(out, class, field, true, 2 * N as u8);
        out.put(value);
        out.put(mask);
    }
}

fn put_field_header(out: &mut Vec<u8>, class: u16, field: u8, has_mask: bool, length: u8) {
    let [high, low] = class.to_be_bytes();
    out.put([high, low, field << 1 | u8::from(has_mask), length]);
}

/// What two fields of a match cannot have in common: class, number and, for an experimenter's
/// field, the experimenter.
fn identity(field: &MatchField) -> (u16, u8, &[u8]) {
    match field {
        MatchField::InPort(_) => (BASIC, IN_PORT, &[]),
        MatchField::Metadata { .. } => (BASIC, METADATA, &[]),
        MatchField::EthDst { .. } => (BASIC, ETH_DST, &[]),
        MatchField::EthSrc { .. } => (BASIC, ETH_SRC, &[]),
        MatchField::EthType(_) => (BASIC, ETH_TYPE, &[]),
        MatchField::TunnelId { .. } => (BASIC, TUNNEL_ID, &[]),
        MatchField::PktMark { .. } => (NICIRA, PKT_MARK, &[]),
        MatchField::TunnelMetadata { .. } => (NICIRA, TUNNEL_METADATA, &[]),
        MatchField::Raw(raw) if raw.class == EXPERIMENTER => {
            (raw.class, raw.field, raw.payload.get(..4).unwrap_or_default())
        }
        MatchField::Raw(raw) => (raw.class, raw.field, &[]),
    }
}

/// A field that is cut out but not understood yet.
struct Oxm<'a> {
    class: u16,
    field: u8,
    has_mask: bool,
    length: u8,
    payload: &'a [u8],
}

impl Oxm<'_> {
    fn exact<const N: usize>(&self) -> Result<[u8; N], DecodeError> {
        let Self { class, field, length, .. } = *self;
        if self.has_mask {
            return Err(DecodeError::FieldMask { class, field });
        }
        self.payload.try_into().map_err(|_| DecodeError::FieldLength { class, field, length })
    }

    /// Value and mask; without a mask, one of all ones.
    fn masked<const N: usize>(&self) -> Result<([u8; N], [u8; N]), DecodeError> {
        if !self.has_mask {
            return Ok((self.exact()?, [0xff; N]));
        }
        let Self { class, field, length, .. } = *self;
        let error = DecodeError::FieldLength { class, field, length };
        let (value, mask) = self.payload.split_at_checked(N).ok_or(error)?;
        Ok((value.try_into().map_err(|_| error)?, mask.try_into().map_err(|_| error)?))
    }
}
