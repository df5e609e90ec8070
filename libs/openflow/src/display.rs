//! Flows and groups in the language of `ovs-ofctl(8)`, for logs and tests.

use std::fmt::{self, Display, Formatter};

use l2sces_model::MacAddress;

use crate::{
    Action, Bits, Bucket, Change, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Match,
    MatchField, Meter, MeterId, MeterLimit, Register, port,
};

impl Display for Flow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cookie={:#x},", self.cookie)?;
        if self.idle_timeout != 0 {
            write!(f, "idle_timeout={},send_flow_rem,", self.idle_timeout)?;
        }
        write!(f, "{},actions=", self.key)?;
        if self.instructions.is_empty() {
            return f.write_str("drop");
        }
        list(f, &self.instructions)
    }
}

impl Display for FlowKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table={},priority={}", self.table, self.priority)?;
        if self.matching.fields().is_empty() { Ok(()) } else { write!(f, ",{}", self.matching) }
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        list(f, self.fields())
    }
}

impl Display for MatchField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", Name(self), Value(self))?;
        match self {
            Self::InPort(_) | Self::EthType(_) => Ok(()),
            Self::Metadata { mask: u64::MAX, .. }
            | Self::TunnelId { mask: u64::MAX, .. }
            | Self::TunnelMetadata { mask: u64::MAX, .. } => Ok(()),
            Self::Metadata { mask, .. }
            | Self::TunnelId { mask, .. }
            | Self::TunnelMetadata { mask, .. } => write!(f, "/{mask:#x}"),
            Self::EthDst { mask, .. } | Self::EthSrc { mask, .. }
                if *mask == MacAddress::BROADCAST =>
            {
                Ok(())
            }
            Self::EthDst { mask, .. } | Self::EthSrc { mask, .. } => write!(f, "/{mask}"),
            Self::PktMark { mask: u32::MAX, .. } => Ok(()),
            Self::PktMark { mask, .. } => write!(f, "/{mask:#x}"),
            Self::Raw(raw) if raw.has_mask => f.write_str(" (with mask)"),
            Self::Raw(_) => Ok(()),
        }
    }
}

/// What `ovs-fields(7)` calls a field.
struct Name<'a>(&'a MatchField);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            MatchField::InPort(_) => f.write_str("in_port"),
            MatchField::Metadata { .. } => f.write_str("metadata"),
            MatchField::EthDst { .. } => f.write_str("eth_dst"),
            MatchField::EthSrc { .. } => f.write_str("eth_src"),
            MatchField::EthType(_) => f.write_str("eth_type"),
            MatchField::TunnelId { .. } => f.write_str("tun_id"),
            MatchField::PktMark { .. } => f.write_str("pkt_mark"),
            MatchField::TunnelMetadata { .. } => f.write_str("tun_metadata0"),
            MatchField::Raw(raw) => write!(f, "oxm_{:#06x}_{}", raw.class, raw.field),
        }
    }
}

/// The value of a field, without its mask.
struct Value<'a>(&'a MatchField);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            MatchField::InPort(port) => Port(*port).fmt(f),
            MatchField::Metadata { value, .. }
            | MatchField::TunnelId { value, .. }
            | MatchField::TunnelMetadata { value, .. } => write!(f, "{value:#x}"),
            MatchField::EthDst { value, .. } | MatchField::EthSrc { value, .. } => value.fmt(f),
            MatchField::EthType(value) => write!(f, "{value:#06x}"),
            MatchField::PktMark { value, .. } => write!(f, "{value:#x}"),
            MatchField::Raw(raw) => hex(f, &raw.payload),
        }
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApplyActions(actions) => list(f, actions),
            Self::WriteMetadata { value, mask } => {
                write!(f, "write_metadata:{value:#x}")?;
                if *mask == u64::MAX { Ok(()) } else { write!(f, "/{mask:#x}") }
            }
            Self::GotoTable(table) => write!(f, "goto_table:{table}"),
            Self::Meter(MeterId(meter)) => write!(f, "meter:{meter}"),
            Self::Raw { kind, body } => {
                write!(f, "instruction_{kind}:")?;
                hex(f, body)
            }
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(port) => write!(f, "output:{}", Port(*port)),
            Self::Controller => f.write_str("CONTROLLER:65535"),
            Self::Group(GroupId(group)) => write!(f, "group:{group}"),
            Self::SetField(field) => write!(f, "set_field:{}->{}", Value(field), Name(field)),
            Self::Move { from, to, width } => {
                write!(f, "move:{}->{}", Range(*from, *width), Range(*to, *width))
            }
            Self::Raw { kind, body } => {
                write!(f, "action_{kind}:")?;
                hex(f, body)
            }
        }
    }
}

/// Bits of a register, the last one included.
struct Range(Bits, u16);

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Bits { register, offset }, width) = self;
        let name = match register {
            Register::Metadata => "OXM_OF_METADATA",
            Register::TunnelId => "NXM_NX_TUN_ID",
            Register::TunnelMetadata => "NXM_NX_TUN_METADATA0",
        };
        write!(f, "{name}[{offset}..{}]", offset + width.saturating_sub(1))
    }
}

impl Display for GroupId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for GroupKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Select => "select",
            Self::Indirect => "indirect",
            Self::FastFailover => "fast_failover",
        })
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "group_id={},type={}", self.id, self.kind)?;
        self.buckets.iter().try_for_each(|bucket| write!(f, ",bucket={bucket}"))
    }
}

impl Display for Meter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "meter={},", self.id.0)?;
        match &self.limit {
            MeterLimit::Frames { rate, burst } => {
                write!(f, "pktps,burst,band=type=drop,rate={rate},burst_size={burst}")
            }
            MeterLimit::Raw { flags, bands } => {
                write!(f, "flags={flags:#x},bands=")?;
                hex(f, bands)
            }
        }
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.weight != 0 {
            write!(f, "weight:{},", self.weight)?;
        }
        if let Some(port) = self.watch_port {
            write!(f, "watch_port:{},", Port(port))?;
        }
        if let Some(group) = self.watch_group {
            write!(f, "watch_group:{group},")?;
        }
        f.write_str("actions=")?;
        if self.actions.is_empty() { f.write_str("drop") } else { list(f, &self.actions) }
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddFlow(flow) => write!(f, "add-flow {flow}"),
            Self::DeleteFlow(key) => write!(f, "del-flow {key}"),
            Self::PutGroup(group) => write!(f, "add-group {group}"),
            Self::ModifyGroup(group) => write!(f, "mod-group {group}"),
            Self::DeleteGroup(id) => write!(f, "del-group group_id={id}"),
            Self::PutMeter(meter) => write!(f, "add-meter {meter}"),
            Self::ModifyMeter(meter) => write!(f, "mod-meter {meter}"),
            Self::DeleteMeter(id) => write!(f, "del-meter meter={}", id.0),
        }
    }
}

/// A port by its reserved name or its number.
struct Port(u32);

impl Display for Port {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            port::IN_PORT => f.write_str("IN_PORT"),
            port::CONTROLLER => f.write_str("CONTROLLER"),
            port::TABLE => f.write_str("TABLE"),
            port::LOCAL => f.write_str("LOCAL"),
            port::ANY => f.write_str("ANY"),
            number => number.fmt(f),
        }
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn hex(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
