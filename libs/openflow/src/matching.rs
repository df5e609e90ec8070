use l2sces_model::MacAddress;

/// One field of a match, or the value that a set-field action writes (OpenFlow 1.3.5, section
/// 7.2.3.7, and Open vSwitch's extensions, `ovs-fields(7)`). A mask of all ones means an exact match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchField {
    /// Port that the frame came in by (OXM 0).
    InPort(u32),
    /// Metadata passed between tables (OXM 2).
    Metadata {
        /// Bits wanted where the mask is 1.
        value: u64,
        /// Bits that are compared.
        mask: u64,
    },
    /// Destination MAC address (OXM 3).
    EthDst {
        /// Bits wanted where the mask is 1.
        value: MacAddress,
        /// Bits that are compared.
        mask: MacAddress,
    },
    /// Source MAC address (OXM 4).
    EthSrc {
        /// Bits wanted where the mask is 1.
        value: MacAddress,
        /// Bits that are compared.
        mask: MacAddress,
    },
    /// Ethernet type (OXM 5).
    EthType(u16),
    /// Identifier of the tunnel that the frame came by, or is to go by (OXM 38).
    TunnelId {
        /// Bits wanted where the mask is 1.
        value: u64,
        /// Bits that are compared.
        mask: u64,
    },
    /// Packet mark, which crosses patch ports (`NXM_NX_PKT_MARK`, NXM class 1, field 33).
    PktMark {
        /// Bits wanted where the mask is 1.
        value: u32,
        /// Bits that are compared.
        mask: u32,
    },
    /// The option of the tunnel that the frame came by, or is to go by, which the switch has been
    /// told to map here (`NXM_NX_TUN_METADATA0`, NXM class 1, field 40), 8 bytes long.
    TunnelMetadata {
        /// Bits wanted where the mask is 1.
        value: u64,
        /// Bits that are compared.
        mask: u64,
    },
    /// A field that we never send, kept as it came, so that a foreign flow can be named exactly.
    Raw(RawField),
}

/// A match field as bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawField {
    /// OXM class.
    pub class: u16,
    /// OXM field number, 7 bits.
    pub field: u8,
    /// Whether the second half of the payload is a mask.
    pub has_mask: bool,
    /// Value, and mask if there is one.
    pub payload: Vec<u8>,
}

impl MatchField {
    /// The field as a switch tells it: value bits that are not compared are 0. `None` if no bit is
    /// compared, so that the field says nothing.
    fn normalised(self) -> Option<Self> {
        let (field, compares) = match self {
            Self::InPort(_) | Self::EthType(_) => (self, true),
            Self::Metadata { value, mask } => {
                (Self::Metadata { value: value & mask, mask }, mask != 0)
            }
            Self::TunnelId { value, mask } => {
                (Self::TunnelId { value: value & mask, mask }, mask != 0)
            }
            Self::PktMark { value, mask } => {
                (Self::PktMark { value: value & mask, mask }, mask != 0)
            }
            Self::TunnelMetadata { value, mask } => {
                (Self::TunnelMetadata { value: value & mask, mask }, mask != 0)
            }
            Self::EthDst { value, mask } => {
                (Self::EthDst { value: masked(value, mask), mask }, mask.bytes() != [0; 6])
            }
            Self::EthSrc { value, mask } => {
                (Self::EthSrc { value: masked(value, mask), mask }, mask.bytes() != [0; 6])
            }
            // Comes from a switch, which keeps to this itself.
            Self::Raw(_) => (self, true),
        };
        compares.then_some(field)
    }
}

fn masked(value: MacAddress, mask: MacAddress) -> MacAddress {
    let mut bytes = value.bytes();
    bytes.iter_mut().zip(mask.bytes()).for_each(|(byte, mask)| *byte &= mask);
    MacAddress::new(bytes)
}

/// Which frames a flow takes: those that have every field. Kept in a normal form (sorted, no value
/// bits outside a mask, no mask of zeros), so that equal matches are equal values whatever the
/// order in which a switch lists their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match(Vec<MatchField>);

impl Match {
    /// Takes every frame.
    pub const fn any() -> Self {
        Self(Vec::new())
    }

    /// Adds a field. A match has each field at most once.
    #[must_use]
    pub fn with(mut self, field: MatchField) -> Self {
        if let Some(field) = field.normalised() {
            let at = self.0.binary_search(&field).unwrap_or_else(|at| at);
            self.0.insert(at, field);
        }
        self
    }

    /// Only frames that came in by the port.
    #[must_use]
    pub fn in_port(self, port: u32) -> Self {
        self.with(MatchField::InPort(port))
    }

    /// Only frames whose metadata has `value` where `mask` is 1.
    #[must_use]
    pub fn metadata(self, value: u64, mask: u64) -> Self {
        self.with(MatchField::Metadata { value, mask })
    }

    /// Only frames to the address.
    #[must_use]
    pub fn eth_dst(self, value: MacAddress) -> Self {
        self.with(MatchField::EthDst { value, mask: MacAddress::BROADCAST })
    }

    /// Only frames whose destination has `value` where `mask` is 1.
    #[must_use]
    pub fn eth_dst_masked(self, value: MacAddress, mask: MacAddress) -> Self {
        self.with(MatchField::EthDst { value, mask })
    }

    /// Only frames from the address.
    #[must_use]
    pub fn eth_src(self, value: MacAddress) -> Self {
        self.with(MatchField::EthSrc { value, mask: MacAddress::BROADCAST })
    }

    /// Only frames whose source has `value` where `mask` is 1.
    #[must_use]
    pub fn eth_src_masked(self, value: MacAddress, mask: MacAddress) -> Self {
        self.with(MatchField::EthSrc { value, mask })
    }

    /// Only frames of the Ethernet type.
    #[must_use]
    pub fn eth_type(self, value: u16) -> Self {
        self.with(MatchField::EthType(value))
    }

    /// Only frames that came by the tunnel with the identifier.
    #[must_use]
    pub fn tunnel_id(self, value: u64) -> Self {
        self.with(MatchField::TunnelId { value, mask: u64::MAX })
    }

    /// Only frames with the mark.
    #[must_use]
    pub fn pkt_mark(self, value: u32) -> Self {
        self.with(MatchField::PktMark { value, mask: u32::MAX })
    }

    /// Only frames whose tunnel option has `value` where `mask` is 1.
    #[must_use]
    pub fn tunnel_metadata(self, value: u64, mask: u64) -> Self {
        self.with(MatchField::TunnelMetadata { value, mask })
    }

    /// The fields, sorted.
    pub fn fields(&self) -> &[MatchField] {
        &self.0
    }
}

impl FromIterator<MatchField> for Match {
    fn from_iter<I: IntoIterator<Item = MatchField>>(fields: I) -> Self {
        let mut fields: Vec<_> = fields.into_iter().filter_map(MatchField::normalised).collect();
        fields.sort_unstable();
        Self(fields)
    }
}
