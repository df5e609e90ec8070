use crate::{
    BundleAdd, BundleControl, DecodeError, EncodeError, Features, FlowMod, FlowRemoved, GroupMod,
    Header, Hello, MeterMod, MultipartReply, MultipartRequest, OpenFlowError, PacketIn, PacketOut,
    PortStatus, RoleState, TunnelOption, TunnelOptions, bundle,
    frame::{HEADER, kind, put_message},
    monitor,
    tunnel::{self, NICIRA},
    wire::{Put, Reader},
};

/// A message of OpenFlow 1.3 (1.3.5, section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Begins a session.
    Hello(Hello),
    /// Refuses a message.
    Error(OpenFlowError),
    /// Asks whether the peer is alive.
    EchoRequest(Vec<u8>),
    /// Says so, with the same bytes.
    EchoReply(Vec<u8>),
    /// Opens, closes, commits or discards a bundle.
    BundleControl(BundleControl),
    /// Puts a message into a bundle.
    BundleAdd(BundleAdd),
    /// Maps tunnel options to match fields.
    AddTunnelOptions(Vec<TunnelOption>),
    /// Asks for the mapped tunnel options.
    TunnelOptionsRequest,
    /// Says which there are.
    TunnelOptionsReply(TunnelOptions),
    /// Ends a flow monitor, by its number.
    CancelFlowMonitor(u32),
    /// An extension that is not known here.
    Experimenter {
        /// Whose it is.
        experimenter: u32,
        /// Its type.
        kind: u32,
        /// What it says.
        data: Vec<u8>,
    },
    /// Asks who the switch is.
    FeaturesRequest,
    /// Says so.
    FeaturesReply(Features),
    /// Sets how much of a frame the switch sends to the controller; fragments are left alone.
    SetConfig {
        /// In bytes; 65,535 for all.
        miss_send_length: u16,
    },
    /// Hands a frame to the controller.
    PacketIn(PacketIn),
    /// Tells that a flow is gone.
    FlowRemoved(FlowRemoved),
    /// Tells of a port.
    PortStatus(PortStatus),
    /// Hands a frame to the switch.
    PacketOut(PacketOut),
    /// Changes flows.
    FlowMod(FlowMod),
    /// Changes a group.
    GroupMod(GroupMod),
    /// Changes a meter.
    MeterMod(MeterMod),
    /// Asks what may have a long answer.
    MultipartRequest(MultipartRequest),
    /// A part of the answer.
    MultipartReply(MultipartReply),
    /// Asks to finish everything before.
    BarrierRequest,
    /// Everything before is finished.
    BarrierReply,
    /// Asks for a role.
    RoleRequest(RoleState),
    /// Says which role it is now.
    RoleReply(RoleState),
    /// A message of OpenFlow 1.3 that we have no use for.
    Other {
        /// Its type.
        kind: u8,
        /// What follows the header.
        body: Vec<u8>,
    },
}

impl Message {
    /// How many messages may be wrapped in each other: a bundle's in the one that adds it.
    const DEPTH: u8 = 1;

    /// Writes the message to the end of `out`.
    ///
    /// # Errors
    /// It would be longer than a message can be. `out` is as it was then.
    pub fn encode(&self, xid: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::FlowMod(change) => return change.encode(xid, out),
            Self::GroupMod(change) => return change.encode(xid, out),
            _ => {}
        }
        let start = out.len();
        put_message(out, self.kind(), xid, |out| {
            match self {
                Self::Hello(hello) => {
                    out[start] = hello.version;
                    hello.put(out);
                }
                Self::Error(error) => {
                    out.put_u16(error.kind);
                    out.put_u16(error.code);
                    out.extend_from_slice(&error.data);
                }
                Self::EchoRequest(data) | Self::EchoReply(data) => out.extend_from_slice(data),
                Self::BundleControl(control) => {
                    put_experimenter(out, bundle::ONF, bundle::CONTROL);
                    control.put(out);
                }
                Self::BundleAdd(add) => {
                    put_experimenter(out, bundle::ONF, bundle::ADD_MESSAGE);
                    add.put(xid, out)?;
                }
                Self::AddTunnelOptions(options) => {
                    put_experimenter(out, NICIRA, tunnel::TABLE_MOD);
                    TunnelOption::put_additions(out, options);
                }
                Self::TunnelOptionsRequest => {
                    put_experimenter(out, NICIRA, tunnel::TABLE_REQUEST);
                }
                Self::TunnelOptionsReply(options) => {
                    put_experimenter(out, NICIRA, tunnel::TABLE_REPLY);
                    options.put(out);
                }
                Self::CancelFlowMonitor(id) => {
                    put_experimenter(out, bundle::ONF, monitor::CANCEL);
                    out.put_u32(*id);
                }
                Self::Experimenter { experimenter, kind, data } => {
                    put_experimenter(out, *experimenter, *kind);
                    out.extend_from_slice(data);
                }
                Self::FeaturesReply(features) => features.put(out),
                Self::SetConfig { miss_send_length } => {
                    out.put_u16(0);
                    out.put_u16(*miss_send_length);
                }
                Self::PacketIn(packet) => packet.put(out)?,
                Self::FlowRemoved(removed) => removed.put(out)?,
                Self::MeterMod(change) => MeterMod::put(out, change.command, &change.meter),
                Self::PortStatus(status) => status.put(out),
                Self::PacketOut(packet) => packet.put(out)?,
                Self::MultipartRequest(request) => request.put(out)?,
                Self::MultipartReply(reply) => reply.put(out)?,
                Self::RoleRequest(role) | Self::RoleReply(role) => role.put(out),
                Self::Other { body, .. } => out.extend_from_slice(body),
                Self::FeaturesRequest
                | Self::BarrierRequest
                | Self::BarrierReply
                | Self::FlowMod(_)
                | Self::GroupMod(_) => {}
            }
            Ok(())
        })
    }

    /// Reads one whole message; returns its xid too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<(u32, Self), DecodeError> {
        Self::decode_nested(bytes, Self::DEPTH)
    }

    pub(crate) fn decode_nested(bytes: &[u8], depth: u8) -> Result<(u32, Self), DecodeError> {
        let header = Header::decode(bytes)?;
        let mut message = Reader::new("message", bytes);
        let mut message = message.inner("message", usize::from(header.length))?;
        if bytes.len() > usize::from(header.length) {
            let count = bytes.len() - usize::from(header.length);
            return Err(DecodeError::Trailing { what: "message", count });
        }
        message.skip(HEADER)?;
        let decoded = Self::decode_body(header, &mut message, depth)?;
        message.finish()?;
        Ok((header.xid, decoded))
    }

    fn decode_body(header: Header, body: &mut Reader<'_>, depth: u8) -> Result<Self, DecodeError> {
        Ok(match header.kind {
            kind::HELLO => Self::Hello(Hello::take(header.version, body)?),
            kind::ERROR => {
                let (kind, code) = (body.u16()?, body.u16()?);
                Self::Error(OpenFlowError { kind, code, data: body.remainder().to_vec() })
            }
            kind::ECHO_REQUEST => Self::EchoRequest(body.remainder().to_vec()),
            kind::ECHO_REPLY => Self::EchoReply(body.remainder().to_vec()),
            kind::EXPERIMENTER => match (body.u32()?, body.u32()?) {
                (bundle::ONF, bundle::CONTROL) => Self::BundleControl(BundleControl::take(body)?),
                (bundle::ONF, bundle::ADD_MESSAGE) if depth > 0 => {
                    Self::BundleAdd(BundleAdd::take(body, depth - 1)?)
                }
                (bundle::ONF, monitor::CANCEL) => Self::CancelFlowMonitor(body.u32()?),
                (NICIRA, tunnel::TABLE_REQUEST) => Self::TunnelOptionsRequest,
                (NICIRA, tunnel::TABLE_REPLY) => {
                    Self::TunnelOptionsReply(TunnelOptions::take(body)?)
                }
                (experimenter, kind) => {
                    let data = body.remainder();
                    let is_change = (experimenter, kind) == (NICIRA, tunnel::TABLE_MOD);
                    match TunnelOption::additions(data).filter(|_| is_change) {
                        Some(options) => Self::AddTunnelOptions(options),
                        None => Self::Experimenter { experimenter, kind, data: data.to_vec() },
                    }
                }
            },
            kind::FEATURES_REQUEST => Self::FeaturesRequest,
            kind::FEATURES_REPLY => Self::FeaturesReply(Features::take(body)?),
            kind::SET_CONFIG => {
                body.skip(2)?;
                Self::SetConfig { miss_send_length: body.u16()? }
            }
            kind::PACKET_IN => Self::PacketIn(PacketIn::take(body)?),
            kind::FLOW_REMOVED => Self::FlowRemoved(FlowRemoved::take(body)?),
            kind::PORT_STATUS => Self::PortStatus(PortStatus::take(body)?),
            kind::PACKET_OUT => Self::PacketOut(PacketOut::take(body)?),
            kind::FLOW_MOD => Self::FlowMod(FlowMod::decode(body)?),
            kind::GROUP_MOD => Self::GroupMod(GroupMod::decode(body)?),
            kind::METER_MOD => Self::MeterMod(MeterMod::take(body)?),
            kind::MULTIPART_REQUEST => Self::MultipartRequest(MultipartRequest::take(body)?),
            kind::MULTIPART_REPLY => Self::MultipartReply(MultipartReply::take(body)?),
            kind::BARRIER_REQUEST => Self::BarrierRequest,
            kind::BARRIER_REPLY => Self::BarrierReply,
            kind::ROLE_REQUEST => Self::RoleRequest(RoleState::take(body)?),
            kind::ROLE_REPLY => Self::RoleReply(RoleState::take(body)?),
            kind @ ..=kind::LAST => Self::Other { kind, body: body.remainder().to_vec() },
            kind => return Err(DecodeError::MessageType(kind)),
        })
    }

    /// What kind of message it is, for people.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Error(_) => "error",
            Self::EchoRequest(_) => "echo request",
            Self::EchoReply(_) => "echo reply",
            Self::BundleControl(_) => "bundle control",
            Self::BundleAdd(_) => "bundle add",
            Self::AddTunnelOptions(_) => "addition of tunnel options",
            Self::TunnelOptionsRequest => "request for tunnel options",
            Self::TunnelOptionsReply(_) => "reply with tunnel options",
            Self::CancelFlowMonitor(_) => "end of a flow monitor",
            Self::Experimenter { .. } => "experimenter message",
            Self::FeaturesRequest => "features request",
            Self::FeaturesReply(_) => "features reply",
            Self::SetConfig { .. } => "set config",
            Self::PacketIn(_) => "packet-in",
            Self::FlowRemoved(_) => "flow-removed",
            Self::PortStatus(_) => "port status",
            Self::PacketOut(_) => "packet-out",
            Self::FlowMod(_) => "flow-mod",
            Self::GroupMod(_) => "group-mod",
            Self::MeterMod(_) => "meter-mod",
            Self::MultipartRequest(_) => "multipart request",
            Self::MultipartReply(_) => "multipart reply",
            Self::BarrierRequest => "barrier request",
            Self::BarrierReply => "barrier reply",
            Self::RoleRequest(_) => "role request",
            Self::RoleReply(_) => "role reply",
            Self::Other { .. } => "other message",
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Error(_) => kind::ERROR,
            Self::EchoRequest(_) => kind::ECHO_REQUEST,
            Self::EchoReply(_) => kind::ECHO_REPLY,
            Self::BundleControl(_)
            | Self::BundleAdd(_)
            | Self::AddTunnelOptions(_)
            | Self::TunnelOptionsRequest
            | Self::TunnelOptionsReply(_)
            | Self::CancelFlowMonitor(_)
            | Self::Experimenter { .. } => kind::EXPERIMENTER,
            Self::FeaturesRequest => kind::FEATURES_REQUEST,
            Self::FeaturesReply(_) => kind::FEATURES_REPLY,
            Self::SetConfig { .. } => kind::SET_CONFIG,
            Self::PacketIn(_) => kind::PACKET_IN,
            Self::FlowRemoved(_) => kind::FLOW_REMOVED,
            Self::PortStatus(_) => kind::PORT_STATUS,
            Self::PacketOut(_) => kind::PACKET_OUT,
            Self::FlowMod(_) => kind::FLOW_MOD,
            Self::GroupMod(_) => kind::GROUP_MOD,
            Self::MeterMod(_) => kind::METER_MOD,
            Self::MultipartRequest(_) => kind::MULTIPART_REQUEST,
            Self::MultipartReply(_) => kind::MULTIPART_REPLY,
            Self::BarrierRequest => kind::BARRIER_REQUEST,
            Self::BarrierReply => kind::BARRIER_REPLY,
            Self::RoleRequest(_) => kind::ROLE_REQUEST,
            Self::RoleReply(_) => kind::ROLE_REPLY,
            Self::Other { kind, .. } => *kind,
        }
    }
}

fn put_experimenter(out: &mut Vec<u8>, experimenter: u32, kind: u32) {
    out.put_u32(experimenter);
    out.put_u32(kind);
}
