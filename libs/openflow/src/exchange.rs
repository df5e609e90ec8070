use crate::{
    Description, Features, FlowRemoved, FlowStats, Group, Meter, OpenFlowError, PacketIn,
    PortCounters, PortDescription, PortStatus, RoleState, TunnelOption,
};

/// What a switch can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// All flows of all tables.
    Flows,
    /// All groups.
    Groups,
    /// All meters.
    Meters,
    /// The descriptions of all ports.
    Ports,
    /// The counters of a port, or of all ([`port::ANY`](crate::port::ANY)).
    PortStats(u32),
    /// Make and version.
    Description,
    /// A role beside other controllers.
    Role(RoleState),
    /// Map a tunnel option to a match field.
    MapTunnelOption(TunnelOption),
    /// The mapped tunnel options.
    TunnelOptions,
    /// To be told when somebody else changes flows: an [`Event::FlowsChanged`].
    MonitorFlows,
    /// Not to be told any more.
    CancelMonitor,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Flows`].
    Flows(Vec<FlowStats>),
    /// To [`Request::Groups`].
    Groups(Vec<Group>),
    /// To [`Request::Meters`].
    Meters(Vec<Meter>),
    /// To [`Request::Ports`].
    Ports(Vec<PortDescription>),
    /// To [`Request::PortStats`].
    PortStats(Vec<PortCounters>),
    /// To [`Request::Description`].
    Description(Description),
    /// To [`Request::Role`].
    Role(RoleState),
    /// To [`Request::TunnelOptions`].
    TunnelOptions(Vec<TunnelOption>),
    /// To [`Request::MonitorFlows`].
    MonitorsFlows,
    /// To [`Request::MapTunnelOption`] and [`Request::CancelMonitor`], the refusal if there is one; and to
    /// [`Session::apply`](crate::Session::apply): the changes that were refused, by their places,
    /// ascending.
    Applied(Vec<(usize, OpenFlowError)>),
}

/// What a session tells whoever drives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is finished; requests may be made from now on.
    Ready {
        /// Who the switch is.
        features: Features,
        /// Its ports. Every change since is a [`Event::PortStatus`].
        ports: Vec<PortDescription>,
    },
    /// The answer to the request with this xid.
    Answer {
        /// As the request returned it.
        xid: u32,
        /// The answer, or why there is none.
        answer: Result<Reply, OpenFlowError>,
    },
    /// A port is new, gone or changed.
    PortStatus(PortStatus),
    /// Somebody else has changed flows.
    FlowsChanged,
    /// A flow that was to go by itself is gone, by itself or not.
    FlowRemoved(FlowRemoved),
    /// A frame for the controller.
    PacketIn(PacketIn),
    /// The switch refused what nobody waits for, such as a packet-out.
    Refused {
        /// Of the message that was refused.
        xid: u32,
        /// Why.
        error: OpenFlowError,
    },
}
