//! Requests whose answers may be longer than one message (OpenFlow 1.3.5, section 7.3.5).

use crate::{
    DecodeError, Description, EncodeError, Flow, FlowKey, FlowMonitor, FlowStats, FlowUpdate,
    Group, GroupId, Match, Meter, MeterId, PortCounters, PortDescription, action,
    bundle::ONF,
    modify,
    monitor::FLOW_MONITOR,
    oxm, port,
    wire::{Put, Reader},
};

/// `OFPMP_*`.
mod kind {
    pub(super) const DESCRIPTION: u16 = 0;
    pub(super) const FLOW: u16 = 1;
    pub(super) const PORT_STATS: u16 = 4;
    pub(super) const GROUP_DESCRIPTION: u16 = 7;
    pub(super) const METER_CONFIGURATION: u16 = 10;
    pub(super) const PORT_DESCRIPTION: u16 = 13;
    pub(super) const EXPERIMENTER: u16 = 0xffff;
}

/// `OFPMPF_REPLY_MORE`.
const MORE: u16 = 1;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartRequest {
    /// Make and version.
    Description,
    /// Flows.
    Flows(FlowFilter),
    /// The counters of a port, or of all ([`port::ANY`](crate::port::ANY)).
    PortStats(u32),
    /// All groups.
    Groups,
    /// All meters.
    Meters,
    /// The descriptions of all ports.
    Ports,
    /// Every change of flows from now on.
    FlowMonitor(FlowMonitor),
    /// A question that we never ask.
    Other {
        /// Its type.
        kind: u16,
        /// What follows the header.
        body: Vec<u8>,
    },
}

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFilter {
    /// Those of this table; [`Flow::ALL_TABLES`] for all.
    pub table: u8,
    /// Those whose cookie has these bits...
    pub cookie: u64,
    /// ... where this is 1.
    pub cookie_mask: u64,
    /// Those whose match is as narrow or narrower.
    pub matching: Match,
}

impl FlowFilter {
    /// All flows.
    pub const fn all() -> Self {
        Self { table: Flow::ALL_TABLES, cookie: 0, cookie_mask: 0, matching: Match::any() }
    }
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartReply {
    /// Whether another part follows.
    pub more: bool,
    /// What it says.
    pub body: MultipartBody,
}

/// What a part of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartBody {
    /// Make and version.
    Description(Description),
    /// Flows.
    Flows(Vec<FlowStats>),
    /// Counters of ports.
    PortStats(Vec<PortCounters>),
    /// Groups.
    Groups(Vec<Group>),
    /// Meters.
    Meters(Vec<Meter>),
    /// Ports.
    Ports(Vec<PortDescription>),
    /// Changes of flows.
    FlowUpdates(Vec<FlowUpdate>),
    /// An answer that we never ask for.
    Other {
        /// Its type.
        kind: u16,
        /// What follows the header.
        body: Vec<u8>,
    },
}

impl MultipartRequest {
    /// ```text
    /// | type (2) | flags (2) | padding (4) | depends on the type |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kind = match self {
            Self::Description => kind::DESCRIPTION,
            Self::Flows(_) => kind::FLOW,
            Self::PortStats(_) => kind::PORT_STATS,
            Self::Groups => kind::GROUP_DESCRIPTION,
            Self::Meters => kind::METER_CONFIGURATION,
            Self::Ports => kind::PORT_DESCRIPTION,
            Self::FlowMonitor(_) => kind::EXPERIMENTER,
            Self::Other { kind, .. } => *kind,
        };
        out.put_u16(kind);
        out.put([0; 6]);
        match self {
            Self::Description | Self::Groups | Self::Ports => {}
            Self::Flows(filter) => {
                out.put([filter.table, 0, 0, 0]);
                out.put_u32(port::ANY);
                out.put_u32(GroupId::ANY.0);
                out.put_u32(0);
                out.put_u64(filter.cookie);
                out.put_u64(filter.cookie_mask);
                oxm::put_match(out, &filter.matching)?;
            }
            Self::PortStats(port) => {
                out.put_u32(*port);
                out.put_u32(0);
            }
            Self::Meters => {
                out.put_u32(MeterId::ALL.0);
                out.put_u32(0);
            }
            Self::FlowMonitor(monitor) => {
                put_flow_monitor_header(out);
                monitor.put(out)?;
            }
            Self::Other { body, .. } => out.extend_from_slice(body),
        }
        Ok(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u16()?;
        reader.skip(6)?;
        Ok(match kind {
            kind::DESCRIPTION => Self::Description,
            kind::FLOW => {
                let table = reader.u8()?;
                reader.skip(15)?;
                let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
                let matching = oxm::take_match(reader)?;
                Self::Flows(FlowFilter { table, cookie, cookie_mask, matching })
            }
            kind::PORT_STATS => {
                let port = reader.u32()?;
                reader.skip(4)?;
                Self::PortStats(port)
            }
            kind::GROUP_DESCRIPTION => Self::Groups,
            kind::METER_CONFIGURATION => {
                let body = reader.remainder();
                let all = [MeterId::ALL.0.to_be_bytes(), [0; 4]].concat();
                if body == all { Self::Meters } else { Self::Other { kind, body: body.to_vec() } }
            }
            kind::PORT_DESCRIPTION => Self::Ports,
            kind => {
                let body = reader.remainder();
                let monitor = about_flow_monitor(kind, body).and_then(FlowMonitor::take);
                match monitor {
                    Some(monitor) => Self::FlowMonitor(monitor),
                    None => Self::Other { kind, body: body.to_vec() },
                }
            }
        })
    }
}

impl MultipartReply {
    /// ```text
    /// | type (2) | flags: more (2) | padding (4) | depends on the type |
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kind = match &self.body {
            MultipartBody::Description(_) => kind::DESCRIPTION,
            MultipartBody::Flows(_) => kind::FLOW,
            MultipartBody::PortStats(_) => kind::PORT_STATS,
            MultipartBody::Groups(_) => kind::GROUP_DESCRIPTION,
            MultipartBody::Meters(_) => kind::METER_CONFIGURATION,
            MultipartBody::Ports(_) => kind::PORT_DESCRIPTION,
            MultipartBody::FlowUpdates(_) => kind::EXPERIMENTER,
            MultipartBody::Other { kind, .. } => *kind,
        };
        out.put_u16(kind);
        out.put_u16(if self.more { MORE } else { 0 });
        out.put_u32(0);
        match &self.body {
            MultipartBody::Description(description) => description.put(out),
            MultipartBody::Flows(flows) => {
                flows.iter().try_for_each(|flow| put_flow_stats(out, flow))?;
            }
            MultipartBody::PortStats(ports) => ports.iter().for_each(|port| port.put(out)),
            MultipartBody::Groups(groups) => {
                groups.iter().try_for_each(|group| put_group_description(out, group))?;
            }
            MultipartBody::Meters(meters) => {
                meters.iter().try_for_each(|meter| put_meter_configuration(out, meter))?;
            }
            MultipartBody::Ports(ports) => ports.iter().for_each(|port| port.put(out)),
            MultipartBody::FlowUpdates(updates) => {
                put_flow_monitor_header(out);
                updates.iter().try_for_each(|update| update.put(out))?;
            }
            MultipartBody::Other { body, .. } => out.extend_from_slice(body),
        }
        Ok(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, flags) = (reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        let body = match kind {
            kind::DESCRIPTION => MultipartBody::Description(Description::take(reader)?),
            kind::FLOW => MultipartBody::Flows(take_list(reader, take_flow_stats)?),
            kind::PORT_STATS => MultipartBody::PortStats(take_list(reader, PortCounters::take)?),
            kind::GROUP_DESCRIPTION => {
                MultipartBody::Groups(take_list(reader, take_group_description)?)
            }
            kind::METER_CONFIGURATION => {
                MultipartBody::Meters(take_list(reader, take_meter_configuration)?)
            }
            kind::PORT_DESCRIPTION => {
                MultipartBody::Ports(take_list(reader, PortDescription::take)?)
            }
            kind => {
                let body = reader.remainder();
                match about_flow_monitor(kind, body) {
                    Some(updates) => {
                        let mut updates = Reader::new("flow updates", updates);
                        MultipartBody::FlowUpdates(take_list(&mut updates, FlowUpdate::take)?)
                    }
                    None => MultipartBody::Other { kind, body: body.to_vec() },
                }
            }
        };
        Ok(Self { more: flags & MORE != 0, body })
    }
}

/// ```text
/// | experimenter (4) | its type (4) |
/// ```
fn put_flow_monitor_header(out: &mut Vec<u8>) {
    out.put_u32(ONF);
    out.put_u32(FLOW_MONITOR);
}

/// What a question or an answer about a flow monitor says behind its header; `None`: it is about
/// something else.
fn about_flow_monitor(kind: u16, body: &[u8]) -> Option<&[u8]> {
    let mut header = Vec::new();
    put_flow_monitor_header(&mut header);
    body.strip_prefix(&*header).filter(|_| kind == kind::EXPERIMENTER)
}

/// Reads entries up to the end.
fn take_list<T>(
    reader: &mut Reader<'_>,
    take: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut list = Vec::new();
    while !reader.is_empty() {
        list.push(take(reader)?);
    }
    Ok(list)
}

/// ```text
/// | length (2) | table (1) | padding (1) | seconds (4) | nanoseconds (4) | priority (2) |
/// | idle, hard timeout (2, 2) | flags (2) | padding (4) | cookie (8) | frames (8)       |
/// | bytes (8) | match, padded | instructions |
/// ```
fn put_flow_stats(out: &mut Vec<u8>, stats: &FlowStats) -> Result<(), EncodeError> {
    let Flow { key, cookie, idle_timeout, instructions } = &stats.flow;
    let start = out.len();
    out.put([0, 0, key.table, 0]);
    out.put_u32(stats.duration);
    out.put_u32(0);
    out.put_u16(key.priority);
    out.put_u16(*idle_timeout);
    out.put_u16(stats.hard_timeout);
    out.put([0; 6]);
    out.put_u64(*cookie);
    out.put_u64(stats.packets);
    out.put_u64(stats.bytes);
    oxm::put_match(out, &key.matching)?;
    action::put_instructions(out, instructions)?;
    out.set_length("flow", start, 0)
}

fn take_flow_stats(reader: &mut Reader<'_>) -> Result<FlowStats, DecodeError> {
    let mut entry = take_entry(reader, "flow")?;
    let table = entry.u8()?;
    entry.skip(1)?;
    let duration = entry.u32()?;
    entry.skip(4)?;
    let (priority, idle_timeout, hard_timeout) = (entry.u16()?, entry.u16()?, entry.u16()?);
    entry.skip(6)?;
    let (cookie, packets, bytes) = (entry.u64()?, entry.u64()?, entry.u64()?);
    let key = FlowKey { table, priority, matching: oxm::take_match(&mut entry)? };
    let instructions = action::take_instructions(&mut entry)?;
    let flow = Flow { key, cookie, idle_timeout, instructions };
    Ok(FlowStats { flow, duration, hard_timeout, packets, bytes })
}

/// ```text
/// | length (2) | group, as in a group-mod |
/// ```
fn put_group_description(out: &mut Vec<u8>, group: &Group) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u16(0);
    modify::put_group(out, group.id, group.kind, &group.buckets)?;
    out.set_length("group", start, 0)
}

fn take_group_description(reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    modify::take_group(&mut take_entry(reader, "group")?)
}

/// ```text
/// | length (2) | meter, as in a meter-mod |
/// ```
fn put_meter_configuration(out: &mut Vec<u8>, meter: &Meter) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u16(0);
    meter.put(out);
    out.set_length("meter", start, 0)
}

fn take_meter_configuration(reader: &mut Reader<'_>) -> Result<Meter, DecodeError> {
    Meter::take(&mut take_entry(reader, "meter")?)
}

/// An entry that begins with its length.
fn take_entry<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<Reader<'a>, DecodeError> {
    let length = usize::from(reader.u16()?);
    let rest = length.checked_sub(2).ok_or(DecodeError::Truncated {
        what,
        needed: 2,
        available: length,
    })?;
    reader.inner(what, rest)
}
