//! Flows and groups in the language of `ovs-ofctl(8)`, for logs and tests.

use std::fmt::{self, Display, Formatter};

use l2sces_model::MacAddress;

use crate::{
    Action, Bucket, Change, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Match,
    MatchField, RawField, port,
};

impl Display for Flow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cookie={:#x},{},actions=", self.cookie, self.key)?;
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
        match self {
            Self::InPort(port) => write!(f, "in_port={}", Port(*port)),
            Self::Metadata { value, mask } => number(f, "metadata", *value, *mask, u64::MAX),
            Self::EthDst { value, mask } => address(f, "dl_dst", *value, *mask),
            Self::EthSrc { value, mask } => address(f, "dl_src", *value, *mask),
            Self::EthType(value) => write!(f, "dl_type={value:#06x}"),
            Self::TunnelId { value, mask } => number(f, "tun_id", *value, *mask, u64::MAX),
            Self::PktMark { value, mask } => {
                number(f, "pkt_mark", (*value).into(), (*mask).into(), u32::MAX.into())
            }
            Self::Raw(RawField { class, field, has_mask, payload }) => {
                write!(f, "oxm_{class:#06x}_{field}=")?;
                let (value, mask) = match has_mask {
                    true => payload.split_at(payload.len() / 2),
                    false => (payload.as_slice(), &[][..]),
                };
                hex(f, value)?;
                if *has_mask {
                    f.write_str("/")?;
                    hex(f, mask)?;
                }
                Ok(())
            }
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
            Self::Meter(meter) => write!(f, "meter:{meter}"),
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
            Self::SetField(field) => {
                // `set_field:VALUE->FIELD`; here as in a match, FIELD is in front.
                let text = field.to_string();
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                let value = value.split('/').next().unwrap_or_default();
                let name = match name {
                    "dl_dst" => "eth_dst",
                    "dl_src" => "eth_src",
                    name => name,
                };
                write!(f, "set_field:{value}->{name}")
            }
            Self::Raw { kind, body } => {
                write!(f, "action_{kind}:")?;
                hex(f, body)
            }
        }
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

fn number(f: &mut Formatter<'_>, name: &str, value: u64, mask: u64, exact: u64) -> fmt::Result {
    write!(f, "{name}={value:#x}")?;
    if mask == exact { Ok(()) } else { write!(f, "/{mask:#x}") }
}

fn address(f: &mut Formatter<'_>, name: &str, value: MacAddress, mask: MacAddress) -> fmt::Result {
    write!(f, "{name}={value}")?;
    if mask == MacAddress::BROADCAST { Ok(()) } else { write!(f, "/{mask}") }
}

fn hex(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
