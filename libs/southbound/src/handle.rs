use l2sces_model::DatapathId;
use l2sces_openflow::{
    Action, Change, Description, Flow, FlowStats, Group, Meter, OpenFlowError, PacketOut,
    PortCounters, PortDescription, Program, Reply, Request, RoleState, TunnelOption, port,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::RequestError;

/// How many requests may wait for the connection to take them; more callers wait.
pub(crate) const COMMANDS: usize = 64;

/// What a switch is asked with. A clone asks the same switch over the same connection; when that
/// is closed, every request fails.
///
/// Requests are carried out by the switch in the order in which they were made. One that is
/// dropped before it is answered may have been carried out or not.
#[derive(Clone, Debug)]
pub struct SwitchHandle {
    datapath_id: DatapathId,
    commands: mpsc::Sender<Command>,
    closing: CancellationToken,
}

/// What became of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The changes that the switch refused, by their places in the list, ascending. All others
    /// are in force.
    pub errors: Vec<(usize, OpenFlowError)>,
}

/// What a handle asks of the connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    Request(Request, oneshot::Sender<Result<Reply, OpenFlowError>>),
    Apply(Vec<Change>, oneshot::Sender<Applied>),
    PacketOut(PacketOut, oneshot::Sender<Result<(), OpenFlowError>>),
}

impl SwitchHandle {
    pub(crate) fn new(
        datapath_id: DatapathId,
        commands: mpsc::Sender<Command>,
        closing: CancellationToken,
    ) -> Self {
        Self { datapath_id, commands, closing }
    }

    /// The switch.
    pub fn datapath_id(&self) -> DatapathId {
        self.datapath_id
    }

    /// Reads all flows of all tables.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_flows(&self) -> Result<Vec<Flow>, RequestError> {
        Ok(self.read_flow_stats().await?.into_iter().map(|stats| stats.flow).collect())
    }

    /// Reads all flows of all tables, with counters and timeouts.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_flow_stats(&self) -> Result<Vec<FlowStats>, RequestError> {
        match self.request(Request::Flows).await? {
            Reply::Flows(flows) => Ok(flows),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Reads all groups.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_groups(&self) -> Result<Vec<Group>, RequestError> {
        match self.request(Request::Groups).await? {
            Reply::Groups(groups) => Ok(groups),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Reads all meters.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_meters(&self) -> Result<Vec<Meter>, RequestError> {
        match self.request(Request::Meters).await? {
            Reply::Meters(meters) => Ok(meters),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Reads all flows, groups and meters.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_program(&self) -> Result<Program, RequestError> {
        let mut program: Program = self.read_flows().await?.into_iter().collect();
        program.extend(self.read_groups().await?);
        self.read_meters().await?.into_iter().for_each(|meter| program.put_meter(meter));
        Ok(program)
    }

    /// Reads the descriptions of all ports.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn read_ports(&self) -> Result<Vec<PortDescription>, RequestError> {
        match self.request(Request::Ports).await? {
            Reply::Ports(ports) => Ok(ports),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Reads the counters of a port, or of all. Of a port that it does not have, Open vSwitch gives
    /// none.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn port_stats(&self, port: Option<u32>) -> Result<Vec<PortCounters>, RequestError> {
        match self.request(Request::PortStats(port.unwrap_or(port::ANY))).await? {
            Reply::PortStats(counters) => Ok(counters),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Reads make and version of the switch.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn description(&self) -> Result<Description, RequestError> {
        match self.request(Request::Description).await? {
            Reply::Description(description) => Ok(description),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Asks for a role beside other controllers of the switch; returns the role that it has now.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused, as it does when the generation is older
    /// than one it has seen.
    pub async fn request_role(&self, role: RoleState) -> Result<RoleState, RequestError> {
        match self.request(Request::Role(role)).await? {
            Reply::Role(role) => Ok(role),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Shows a tunnel option as a match field. Does nothing if that is so already; the mapping
    /// lasts until the switch restarts.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused, as it does when it shows another option in
    /// that field.
    pub async fn map_tunnel_option(&self, option: TunnelOption) -> Result<(), RequestError> {
        let Reply::Applied(errors) = self.request(Request::MapTunnelOption(option)).await? else {
            return Err(RequestError::Mismatch);
        };
        let Some((_, refusal)) = errors.into_iter().next() else { return Ok(()) };
        if refusal.is_already_mapped() && self.tunnel_options().await?.contains(&option) {
            return Ok(());
        }
        Err(RequestError::Refused(refusal))
    }

    /// Reads which tunnel options are shown as which match fields.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused.
    pub async fn tunnel_options(&self) -> Result<Vec<TunnelOption>, RequestError> {
        match self.request(Request::TunnelOptions).await? {
            Reply::TunnelOptions(options) => Ok(options),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Asks to be told, by [`SwitchEvent::FlowsChanged`](crate::SwitchEvent::FlowsChanged), when
    /// somebody else changes flows, for as long as the connection lasts.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused, as one does that cannot tell.
    pub async fn monitor_flows(&self) -> Result<(), RequestError> {
        match self.request(Request::MonitorFlows).await? {
            Reply::MonitorsFlows => Ok(()),
            _ => Err(RequestError::Mismatch),
        }
    }

    /// Asks not to be told of changes any more.
    ///
    /// # Errors
    /// The connection is closed, or the switch refused, as it does when it was not asked to tell.
    pub async fn cancel_monitor(&self) -> Result<(), RequestError> {
        let Reply::Applied(errors) = self.request(Request::CancelMonitor).await? else {
            return Err(RequestError::Mismatch);
        };
        match errors.into_iter().next() {
            Some((_, refusal)) => Err(RequestError::Refused(refusal)),
            None => Ok(()),
        }
    }

    /// Makes the changes, in their order, and returns when the switch has made all of them that it
    /// does not refuse: a barrier is behind them.
    ///
    /// # Errors
    /// The connection is closed: some of the changes, the first ones, may have been made.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Applied, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Apply(changes, sender)).await?;
        receiver.await.map_err(|_| RequestError::Closed)
    }

    /// Sends a frame through the actions, as if it had come in by `in_port`
    /// ([`port::CONTROLLER`] if by none). Returns when the message is on its way; if the switch
    /// refuses it, that is a [`SwitchEvent::Error`](crate::SwitchEvent::Error).
    ///
    /// # Errors
    /// The connection is closed, or the frame is too long for a message.
    pub async fn packet_out(
        &self,
        in_port: u32,
        actions: Vec<Action>,
        data: Vec<u8>,
    ) -> Result<(), RequestError> {
        let (sender, receiver) = oneshot::channel();
        let packet = PacketOut { buffer: None, in_port, actions, data };
        self.command(Command::PacketOut(packet, sender)).await?;
        receiver.await.map_err(|_| RequestError::Closed)?.map_err(RequestError::Refused)
    }

    /// Closes the connection. What has not been answered fails.
    pub fn close(&self) {
        self.closing.cancel();
    }

    async fn request(&self, request: Request) -> Result<Reply, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Request(request, sender)).await?;
        receiver.await.map_err(|_| RequestError::Closed)?.map_err(RequestError::Refused)
    }

    async fn command(&self, command: Command) -> Result<(), RequestError> {
        self.commands.send(command).await.map_err(|_| RequestError::Closed)
    }
}
