//! Flags, each with an environment variable.

use std::net::SocketAddr;

use clap::Parser;
use l2sces_controller::AgeingTime;
use l2sces_grpc::ServerArgs;
use l2sces_model::Name;
use l2sces_postgres::PostgresArgs;
use l2sces_telemetry::TelemetryArgs;

/// The SDN controller of one cluster: keeps its switches (br-sps, one per node) at what slices,
/// networks and ports ask for. It is told by gRPC (l2sces.fabric.v1), drives the nodes' sps-agents
/// by gRPC and the switches by OpenFlow 1.3, and keeps the desired state in Postgres.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Name of the cluster, a DNS label: the same for ever, for switches are named by it
    #[arg(long, env = "L2SCES_CLUSTER")]
    pub cluster: Name,
    /// Endpoint of the sco-provider, such as https://10.0.0.1:50060
    #[arg(long, env = "L2SCES_SCO_PROVIDER", value_name = "URL")]
    pub sco_provider: String,
    /// Address and port to listen on for OpenFlow connections of switches
    #[arg(
        long,
        env = "L2SCES_OPENFLOW_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:6653"
    )]
    pub openflow_listen: SocketAddr,
    /// What the switches are told to connect to, such as ssl:10.0.0.1:6653 (tcp:... with
    /// --insecure-plaintext)
    #[arg(long, env = "L2SCES_OPENFLOW_ADVERTISE", value_name = "TARGET")]
    pub openflow_advertise: String,
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
    /// After how long without a frame an address that was learned at a port is forgotten, in
    /// seconds; 0: never
    #[arg(
        long,
        env = "L2SCES_AGEING_TIME",
        value_name = "SECONDS",
        default_value_t = AgeingTime::default().0
    )]
    pub ageing_time: u16,
    /// Where the desired state is kept.
    #[command(flatten)]
    pub postgres: PostgresArgs,
    /// How the API is served.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What is logged.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl Config {
    /// The OpenFlow target for the switches.
    ///
    /// # Errors
    /// It does not go with how connections are protected: the switches could never connect.
    pub(crate) fn openflow_target(&self) -> anyhow::Result<String> {
        let scheme = if self.server.tls.insecure_plaintext { "tcp:" } else { "ssl:" };
        anyhow::ensure!(
            self.openflow_advertise.starts_with(scheme),
            "--openflow-advertise {} must begin with {scheme}",
            self.openflow_advertise
        );
        Ok(self.openflow_advertise.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const ARGS: [&str; 11] = [
        "sdn-controller",
        "--cluster=a",
        "--sco-provider=http://127.0.0.1:50060",
        "--database-url=postgres://localhost/x",
        "--listen=127.0.0.1:50052",
        "--insecure-plaintext",
        "--openflow-listen=127.0.0.1:6653",
        "--log-format=json",
        "--log-filter=info",
        "--openflow-advertise",
        "tcp:127.0.0.1:6653",
    ];

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_openflow_target_goes_with_the_protection() {
        let mut config = Config::try_parse_from(ARGS).unwrap();
        assert_eq!(config.openflow_target().unwrap(), "tcp:127.0.0.1:6653");
        config.server.tls.insecure_plaintext = false;
        assert!(config.openflow_target().is_err());
    }

    #[test]
    fn a_cluster_has_a_dns_label() {
        let mut args = ARGS;
        args[1] = "--cluster=A_b";
        assert!(Config::try_parse_from(args).is_err());
    }
}
