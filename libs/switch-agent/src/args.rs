use std::{fmt, path::PathBuf};

use clap::{Args, ValueEnum};
use l2sces_grpc::ServerArgs;
use l2sces_model::{NED_TUNNEL_UDP_PORT, SPS_TUNNEL_UDP_PORT};
use l2sces_ovsdb::Address;
use l2sces_telemetry::TelemetryArgs;

/// Which of a node's two bridges an agent owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentKind {
    /// The bridge of the cluster's fabric, for its sdn-controller.
    Sps,
    /// The bridge of the inter-cluster fabric, for the sco-provider.
    Ned,
}

impl AgentKind {
    /// `sps` or `ned`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sps => "sps",
            Self::Ned => "ned",
        }
    }

    /// The UDP port of the bridge's tunnels.
    pub(crate) const fn tunnel_udp_port(self) -> u16 {
        match self {
            Self::Sps => SPS_TUNNEL_UDP_PORT,
            Self::Ned => NED_TUNNEL_UDP_PORT,
        }
    }

    /// Name of the interface that keeps that UDP port open.
    pub(crate) const fn listener(self) -> &'static str {
        match self {
            Self::Sps => "l2u-sps",
            Self::Ned => "l2u-ned",
        }
    }

    /// The bridge's usual name.
    pub const fn default_bridge(self) -> &'static str {
        match self {
            Self::Sps => "br-sps",
            Self::Ned => "br-ned",
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What forwards the bridge's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatapathType {
    /// The kernel's openvswitch module
    System,
    /// ovs-vswitchd itself, for kernels without the module
    Netdev,
}

impl DatapathType {
    /// As Open vSwitch writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Netdev => "netdev",
        }
    }
}

/// Flags of both agents.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// OVSDB server of the node's Open vSwitch: unix:PATH or tcp:ADDRESS:PORT
    #[arg(long, env = "L2SCES_OVSDB", default_value = "unix:/run/openvswitch/db.sock")]
    pub ovsdb: Address,
    /// Bridge that the agent makes and owns [default: br-sps of the sps-agent, br-ned of the
    /// ned-agent]
    #[arg(long, env = "L2SCES_BRIDGE", value_name = "NAME")]
    pub bridge: Option<String>,
    /// What forwards the bridge's frames
    #[arg(long, env = "L2SCES_DATAPATH_TYPE", value_name = "TYPE", default_value = "system")]
    pub datapath_type: DatapathType,
    /// Where the kernel's parameters of the network are. In a container that may not write to
    /// /proc/sys: another mount of the host's /proc/sys/net
    #[arg(
        long,
        env = "L2SCES_NETWORK_PARAMETERS",
        value_name = "DIRECTORY",
        default_value = "/proc/sys/net"
    )]
    pub network_parameters: PathBuf,
    /// Most ports whose traffic is in the metrics, under the names of slice, network and port; 0: of
    /// none, and no such name is in the metrics
    #[arg(long, env = "L2SCES_METRICS_PORTS", value_name = "NUMBER", default_value_t = 512)]
    pub metrics_ports: usize,
    /// Where and how gRPC is served. Open vSwitch uses the same certificate towards its OpenFlow
    /// controllers.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}
