use std::fmt;

use thiserror::Error;

use crate::tunnel::NICIRA;

/// What a switch answers to a message that it refuses (OpenFlow 1.3.5, section 7.4.4).
#[derive(Clone, PartialEq, Eq, Error)]
pub struct OpenFlowError {
    /// `ofp_error_type`.
    pub kind: u16,
    /// Its meaning depends on the kind.
    pub code: u16,
    /// The start of the refused message, or a text.
    pub data: Vec<u8>,
}

/// A message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The length fields have 16 bits.
    #[error("{0} of {1} bytes is longer than the 65,535 that OpenFlow allows")]
    TooLong(&'static str, usize),
}

/// What is wrong with a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not OpenFlow 1.3.
    #[error("protocol version {0} is not OpenFlow 1.3")]
    Version(u8),
    /// OpenFlow 1.3 has no such message.
    #[error("no message type {0}")]
    MessageType(u8),
    /// The header's length does not even cover the header.
    #[error("message length {0} is shorter than the header")]
    MessageLength(u16),
    /// Something ends before it is complete.
    #[error("{what} needs {needed} bytes and has {available}")]
    Truncated {
        /// What ends.
        what: &'static str,
        /// How many bytes it needs.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// Bytes are left after the end.
    #[error("{count} bytes left after {what}")]
    Trailing {
        /// What has ended.
        what: &'static str,
        /// How many bytes are left.
        count: usize,
    },
    /// A port status for no reason that OpenFlow 1.3 has.
    #[error("no port status reason {0}")]
    PortReason(u8),
    /// A packet-in for no reason that OpenFlow 1.3 has.
    #[error("no packet-in reason {0}")]
    PacketInReason(u8),
    /// A switch without a name.
    #[error("the datapath id is zero")]
    DatapathId,
    /// OpenFlow 1.3 has no such role.
    #[error("no role {0}")]
    Role(u32),
    /// OpenFlow 1.3 has no such flow-mod command.
    #[error("no flow-mod command {0}")]
    FlowModCommand(u8),
    /// OpenFlow 1.3 has no such group-mod command.
    #[error("no group-mod command {0}")]
    GroupModCommand(u16),
    /// OpenFlow 1.3 has no such meter-mod command.
    #[error("no meter-mod command {0}")]
    MeterModCommand(u16),
    /// OpenFlow 1.3 has no such type of group.
    #[error("no group type {0}")]
    GroupType(u8),
    /// A bucket's length is impossible.
    #[error("bucket length {0}")]
    BucketLength(u16),
    /// Not an OXM match.
    #[error("no match type {0}")]
    MatchType(u16),
    /// A match's length is impossible.
    #[error("match length {0}")]
    MatchLength(u16),
    /// A field has another length than OpenFlow gives it.
    #[error("match field {class:#06x}/{field} has {length} bytes")]
    FieldLength {
        /// OXM class.
        class: u16,
        /// OXM field number.
        field: u8,
        /// Length of its payload.
        length: u8,
    },
    /// A field that must be exact has a mask.
    #[error("match field {class:#06x}/{field} has a mask")]
    FieldMask {
        /// OXM class.
        class: u16,
        /// OXM field number.
        field: u8,
    },
    /// A match has a field twice.
    #[error("match field {class:#06x}/{field} is there twice")]
    DuplicateField {
        /// OXM class.
        class: u16,
        /// OXM field number.
        field: u8,
    },
    /// An instruction's length is impossible.
    #[error("instruction type {kind} of length {length}")]
    InstructionLength {
        /// Its type.
        kind: u16,
        /// Its length.
        length: u16,
    },
    /// An action's length is impossible.
    #[error("action type {kind} of length {length}")]
    ActionLength {
        /// Its type.
        kind: u16,
        /// Its length.
        length: u16,
    },
    /// A flow update of no kind that the extension has.
    #[error("no flow update event {0}")]
    FlowEvent(u16),
    /// No bundle control message that the extension has.
    #[error("no bundle control type {0}")]
    BundleControl(u16),
}

impl DecodeError {
    /// The answer to whoever sent such a message, which began with `data`.
    pub fn to_reply(self, data: &[u8]) -> OpenFlowError {
        let (kind, code) = match self {
            Self::Version(_) => (1, 0),
            Self::MessageType(_) => (1, 1),
            Self::MessageLength(_) | Self::Truncated { .. } | Self::Trailing { .. } => (1, 6),
            Self::PortReason(_) | Self::PacketInReason(_) | Self::DatapathId => (1, 5),
            Self::Role(_) => (11, 2),
            Self::FlowModCommand(_) => (5, 6),
            Self::GroupModCommand(_) => (6, 11),
            Self::MeterModCommand(_) => (12, 6),
            Self::GroupType(_) => (6, 10),
            Self::BucketLength(_) => (6, 12),
            Self::MatchType(_) => (4, 0),
            Self::MatchLength(_) | Self::FieldLength { .. } => (4, 1),
            Self::FieldMask { .. } => (4, 8),
            Self::DuplicateField { .. } => (4, 10),
            Self::InstructionLength { .. } => (3, 7),
            Self::ActionLength { .. } => (2, 1),
            Self::FlowEvent(_) => (1, 4),
            // `OFPET_BUNDLE_FAILED` came with 1.4; the extension sends it as an experimenter's.
            Self::BundleControl(_) => (1, 4),
        };
        OpenFlowError { kind, code, data: data[..data.len().min(OpenFlowError::DATA)].to_vec() }
    }
}

impl OpenFlowError {
    /// How much of a refused message its answer shows: the least that the standard demands.
    const DATA: usize = 64;

    /// `OFPET_EXPERIMENTER`: the code and the first 4 bytes of the data tell what it is.
    const EXPERIMENTER: u16 = 0xffff;
    /// `NXTTMFC_ALREADY_MAPPED`, as Open vSwitch numbers it in an experimenter's error.
    const ALREADY_MAPPED: u16 = 20;

    /// The versions of the two ends have nothing in common.
    pub fn incompatible() -> Self {
        Self { kind: 0, code: 0, data: b"only OpenFlow 1.3 is spoken here".to_vec() }
    }

    /// There is no such message, or not from whoever sent it.
    pub fn unknown_type() -> Self {
        Self { kind: 1, code: 1, data: Vec::new() }
    }

    /// Whether the switch refused to map a tunnel option because its match field is taken, by that
    /// option or by another (`NXTTMFC_ALREADY_MAPPED`).
    pub fn is_already_mapped(&self) -> bool {
        (self.kind, self.code) == (Self::EXPERIMENTER, Self::ALREADY_MAPPED)
            && self.data.starts_with(&NICIRA.to_be_bytes())
    }

    /// What a switch would say of a message that is too long to be sent to it.
    pub fn too_long() -> Self {
        Self { kind: 1, code: 6, data: Vec::new() }
    }

    /// Name of the kind in the standard, without its prefix, such as `FLOW_MOD_FAILED`; `ERROR` of one
    /// that it does not have.
    pub fn kind_name(&self) -> &'static str {
        self.names().0
    }

    /// Names of kind and code in the standard, without their prefixes.
    fn names(&self) -> (&'static str, Option<&'static str>) {
        let (kind, codes) = KINDS.get(usize::from(self.kind)).copied().unwrap_or(("ERROR", &[]));
        (kind, codes.get(usize::from(self.code)).copied())
    }
}

impl fmt::Display for OpenFlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            (kind, Some(code)) => write!(f, "{kind}: {code}"),
            (kind, None) => write!(f, "{kind}: type {}, code {}", self.kind, self.code),
        }
    }
}

impl fmt::Debug for OpenFlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({}/{}, {} bytes of data)", self.kind, self.code, self.data.len())
    }
}

/// `ofp_error_type` and the codes of each (OpenFlow 1.3.5, section 7.4.4), by number.
const KINDS: [(&str, &[&str]); 14] = [
    ("HELLO_FAILED", &["INCOMPATIBLE", "EPERM"]),
    (
        "BAD_REQUEST",
        &[
            "BAD_VERSION",
            "BAD_TYPE",
            "BAD_MULTIPART",
            "BAD_EXPERIMENTER",
            "BAD_EXP_TYPE",
            "EPERM",
            "BAD_LEN",
            "BUFFER_EMPTY",
            "BUFFER_UNKNOWN",
            "BAD_TABLE_ID",
            "IS_SLAVE",
            "BAD_PORT",
            "BAD_PACKET",
            "MULTIPART_BUFFER_OVERFLOW",
        ],
    ),
    (
        "BAD_ACTION",
        &[
            "BAD_TYPE",
            "BAD_LEN",
            "BAD_EXPERIMENTER",
            "BAD_EXP_TYPE",
            "BAD_OUT_PORT",
            "BAD_ARGUMENT",
            "EPERM",
            "TOO_MANY",
            "BAD_QUEUE",
            "BAD_OUT_GROUP",
            "MATCH_INCONSISTENT",
            "UNSUPPORTED_ORDER",
            "BAD_TAG",
            "BAD_SET_TYPE",
            "BAD_SET_LEN",
            "BAD_SET_ARGUMENT",
        ],
    ),
    (
        "BAD_INSTRUCTION",
        &[
            "UNKNOWN_INST",
            "UNSUP_INST",
            "BAD_TABLE_ID",
            "UNSUP_METADATA",
            "UNSUP_METADATA_MASK",
            "BAD_EXPERIMENTER",
            "BAD_EXP_TYPE",
            "BAD_LEN",
            "EPERM",
        ],
    ),
    (
        "BAD_MATCH",
        &[
            "BAD_TYPE",
            "BAD_LEN",
            "BAD_TAG",
            "BAD_DL_ADDR_MASK",
            "BAD_NW_ADDR_MASK",
            "BAD_WILDCARDS",
            "BAD_FIELD",
            "BAD_VALUE",
            "BAD_MASK",
            "BAD_PREREQ",
            "DUP_FIELD",
            "EPERM",
        ],
    ),
    (
        "FLOW_MOD_FAILED",
        &[
            "UNKNOWN",
            "TABLE_FULL",
            "BAD_TABLE_ID",
            "OVERLAP",
            "EPERM",
            "BAD_TIMEOUT",
            "BAD_COMMAND",
            "BAD_FLAGS",
        ],
    ),
    (
        "GROUP_MOD_FAILED",
        &[
            "GROUP_EXISTS",
            "INVALID_GROUP",
            "WEIGHT_UNSUPPORTED",
            "OUT_OF_GROUPS",
            "OUT_OF_BUCKETS",
            "CHAINING_UNSUPPORTED",
            "WATCH_UNSUPPORTED",
            "LOOP",
            "UNKNOWN_GROUP",
            "CHAINED_GROUP",
            "BAD_TYPE",
            "BAD_COMMAND",
            "BAD_BUCKET",
            "BAD_WATCH",
            "EPERM",
        ],
    ),
    ("PORT_MOD_FAILED", &["BAD_PORT", "BAD_HW_ADDR", "BAD_CONFIG", "BAD_ADVERTISE", "EPERM"]),
    ("TABLE_MOD_FAILED", &["BAD_TABLE", "BAD_CONFIG", "EPERM"]),
    ("QUEUE_OP_FAILED", &["BAD_PORT", "BAD_QUEUE", "EPERM"]),
    ("SWITCH_CONFIG_FAILED", &["BAD_FLAGS", "BAD_LEN", "EPERM"]),
    ("ROLE_REQUEST_FAILED", &["STALE", "UNSUP", "BAD_ROLE"]),
    (
        "METER_MOD_FAILED",
        &[
            "UNKNOWN",
            "METER_EXISTS",
            "INVALID_METER",
            "UNKNOWN_METER",
            "BAD_COMMAND",
            "BAD_FLAGS",
            "BAD_RATE",
            "BAD_BURST",
            "BAD_BAND",
            "BAD_BAND_VALUE",
            "OUT_OF_METERS",
            "OUT_OF_BANDS",
        ],
    ),
    (
        "TABLE_FEATURES_FAILED",
        &["BAD_TABLE", "BAD_METADATA", "BAD_TYPE", "BAD_LEN", "BAD_ARGUMENT", "EPERM"],
    ),
];
