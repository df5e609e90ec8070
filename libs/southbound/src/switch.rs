use std::net::SocketAddr;

use l2sces_model::DatapathId;
use l2sces_openflow::{FlowRemoved, OpenFlowError, PacketIn, PortDescription};
use tokio::sync::mpsc;

use crate::{CloseReason, SwitchHandle};

/// A switch that has finished the handshake. A newer connection of the same switch is a
/// `SwitchConnection` of its own; whoever keeps them closes the older.
#[derive(Debug)]
pub struct SwitchConnection {
    /// The switch, as it says. With TLS, compare it with `peer_certificate`.
    pub datapath_id: DatapathId,
    /// Its ports at the time of the handshake; `events` tells of every change since.
    pub ports: Vec<PortDescription>,
    /// Where it connected from; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The certificate (DER) that it showed, verified; `None` without TLS.
    pub peer_certificate: Option<Vec<u8>>,
    /// To ask it.
    pub handle: SwitchHandle,
    /// What it tells. Ends with [`SwitchEvent::Closed`]. When the receiver lags, packet-ins and
    /// errors are dropped, a removed flow is told as changed flows, and the changes of one port and
    /// those of flows are merged, so the end is always right.
    pub events: mpsc::Receiver<SwitchEvent>,
}

/// What a switch tells unasked.
#[derive(Debug)]
pub enum SwitchEvent {
    /// A port is new, has changed, or is gone.
    PortChanged {
        /// The port as it is now, or as it was.
        description: PortDescription,
        /// Whether it is gone.
        removed: bool,
    },
    /// Somebody else has changed flows, and [`SwitchHandle::monitor_flows`] has asked to be told.
    FlowsChanged,
    /// A flow that was to go by itself is gone, by itself or not.
    FlowRemoved(Box<FlowRemoved>),
    /// A frame for the controller.
    PacketIn(PacketIn),
    /// The switch refused something that nobody waits for, such as a packet-out.
    Error(OpenFlowError),
    /// The connection has ended. Nothing comes after it.
    Closed(CloseReason),
}
