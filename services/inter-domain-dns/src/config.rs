use std::net::{IpAddr, SocketAddr};

use clap::Parser;
use l2sces_grpc::ServerArgs;
use l2sces_postgres::PostgresArgs;
use l2sces_telemetry::TelemetryArgs;

use crate::zone::{DomainName, ReverseZone};

/// Authoritative DNS for endpoints across clusters.
///
/// Answers `<host>.<network>.<zone>` and `<host>.<cluster>.<network>.<slice>.<zone>`, and the
/// reverse names of addresses, over UDP and TCP. The sco-provider puts and removes records by gRPC
/// (l2sces.dns.v1.RecordService); they are kept in Postgres, in the schema that the role's
/// search_path names, and answered from memory. Any number of replicas may share a database.
#[derive(Clone, Debug, Parser)]
#[command(name = "inter-domain-dns", version)]
pub struct Config {
    /// gRPC.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Address and port that DNS is served on, UDP and TCP; may be repeated. On a host with
    /// several addresses name each, for an answer from 0.0.0.0 may leave with another one
    #[arg(
        long,
        env = "L2SCES_DNS_LISTEN",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "0.0.0.0:53"
    )]
    pub dns_listen: Vec<SocketAddr>,

    /// Zone that has the names; may be repeated: all have the same, and addresses are pointed to
    /// names in the first
    #[arg(
        long = "zone",
        env = "L2SCES_ZONE",
        value_name = "DOMAIN",
        value_delimiter = ',',
        default_values = ["inter.l2sces", "inter.l2sm"]
    )]
    pub zones: Vec<DomainName>,

    /// Block of addresses whose reverse names are all served, also those nobody has (NXDOMAIN);
    /// may be repeated. An address outside of these is served while a record has it. The default
    /// is the private space
    #[arg(
        long = "reverse-zone",
        env = "L2SCES_REVERSE_ZONE",
        value_name = "CIDR",
        value_delimiter = ',',
        default_values = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
    )]
    pub reverse_zones: Vec<ReverseZone>,

    /// This server's own name, in NS and SOA [default: ns.<zone>]
    #[arg(long, env = "L2SCES_NAME_SERVER", value_name = "DOMAIN")]
    pub name_server: Option<DomainName>,

    /// Address answered for this server's own name, if that is in a zone; may be repeated
    /// [default: those of --dns-listen, unless they stand for all]
    #[arg(
        long = "name-server-address",
        env = "L2SCES_NAME_SERVER_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub name_server_addresses: Vec<IpAddr>,

    /// How long, in seconds, resolvers may believe any answer, also that there is no such name
    #[arg(
        long,
        env = "L2SCES_TTL",
        value_name = "SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(..=86_400)
    )]
    pub ttl: u32,

    /// Postgres.
    #[command(flatten)]
    pub postgres: PostgresArgs,

    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl Config {
    /// The addresses to answer for this server's own name.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        if !self.name_server_addresses.is_empty() {
            return self.name_server_addresses.clone();
        }
        let mut addresses: Vec<_> = self.dns_listen.iter().map(SocketAddr::ip).collect();
        addresses.retain(|address| !address.is_unspecified());
        addresses.dedup();
        addresses
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Config::command().debug_assert();
    }
}
