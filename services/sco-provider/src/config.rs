use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use l2sces_grpc::ServerArgs;
use l2sces_postgres::PostgresArgs;
use l2sces_telemetry::TelemetryArgs;

/// The inter-cluster SDN controller.
///
/// Controls the bridges between clusters (br-ned) with OpenFlow and through their ned-agents, gives
/// networks their identity and clusters their address blocks, tells clusters of each other's
/// endpoints, and registers names at inter-domain-dns.
#[derive(Clone, Debug, Parser)]
#[command(name = "sco-provider", version)]
pub struct Config {
    /// How gRPC is served.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where the tables are.
    #[command(flatten)]
    pub postgres: PostgresArgs,
    /// Endpoint of inter-domain-dns
    #[arg(long, env = "L2SCES_DNS", value_name = "https://HOST:PORT")]
    pub dns: String,
    /// Address and port that switches connect to
    #[arg(
        long,
        env = "L2SCES_OPENFLOW_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:6654"
    )]
    pub openflow_listen: SocketAddr,
    /// The same as switches are told, in Open vSwitch's notation (tcp: with --insecure-plaintext)
    #[arg(long, env = "L2SCES_OPENFLOW_ADVERTISE", value_name = "ssl:ADDRESS:PORT")]
    pub openflow_advertise: String,
    /// MTU of the network that tunnels between gateways run over, in bytes
    #[arg(
        long,
        env = "L2SCES_UNDERLAY_MTU",
        value_name = "BYTES",
        default_value_t = 1500,
        value_parser = clap::value_parser!(u32).range(1362..=65535)
    )]
    pub underlay_mtu: u32,
    /// How often the ends of a tunnel tell each other that they are there (BFD), in milliseconds; 0:
    /// never, and a tunnel that was cut is used until LLDP misses it
    #[arg(
        long,
        env = "L2SCES_BFD_INTERVAL",
        value_name = "MILLISECONDS",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=10_000)
    )]
    pub bfd_interval: u32,
    /// How long a gateway may be without a connection before networks leave it for another, in seconds
    #[arg(
        long,
        env = "L2SCES_GATEWAY_GRACE",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub gateway_grace: u32,
    /// Directory of the authority, ca.pem and ca.key, by which the agents of Kubernetes clusters are
    /// certified [default: none are]
    #[arg(long, env = "L2SCES_AUTHORITY", value_name = "DIR")]
    pub authority: Option<PathBuf>,
    /// What is logged and traced.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}
