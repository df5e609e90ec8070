//! The command line's grammar.

mod cluster;
mod compound;
mod duration;
mod join;
mod leave;
mod link;
mod measure;
mod network;
mod node_left;
mod pki;
mod port;
mod slice;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use l2sces_grpc::TlsArgs;

pub(crate) use cluster::{ClusterCommand, RegisteredClusterCommand};
#[cfg(test)]
pub(crate) use join::PullPolicy;
pub(crate) use join::{Datapath, JoinArgs, KubeconfigFlags, WorkloadFlags};
pub(crate) use leave::LeaveArgs;
pub(crate) use link::LinkCommand;
pub(crate) use network::NetworkCommand;
pub(crate) use node_left::NodeLeftArgs;
pub(crate) use pki::PkiCommand;
pub(crate) use port::PortCommand;
pub(crate) use slice::SliceCommand;

/// Isolated layer-2 networks across clusters.
#[derive(Debug, Parser)]
#[command(name = "l2sces", version, propagate_version = true, after_help = EXIT_STATUS)]
pub struct Cli {
    /// Form of what is printed to stdout
    #[arg(short, long, value_name = "FORMAT", default_value = "table", global = true)]
    pub(crate) output: Format,
    // Last, because its help heading is for all that follows.
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 done (ready, or gone); 1 refused or failed; 2 wrong usage; 3 not ready, or not gone, \
in time.";

/// How to reach the slice-manager.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Endpoint of the slice-manager
    #[arg(long, env = "L2SCES_ENDPOINT", value_name = "https://HOST:PORT", global = true)]
    pub(crate) endpoint: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

impl ConnectionArgs {
    /// How to reach another service, with the same certificate.
    pub(crate) fn to(&self, endpoint: &str) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), tls: self.tls.clone() }
    }
}

/// Form of what is printed to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON value; a watch prints one a line
    Json,
    /// YAML documents, as `apply` takes them
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Managed domains: sets of hosts with Open vSwitch
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Sets of clusters joined for one tenant
    #[command(subcommand)]
    Slice(SliceCommand),
    /// Tunnels between the nodes of a slice
    #[command(subcommand)]
    Link(LinkCommand),
    /// Isolated layer-2 segments inside a slice
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Endpoints of networks
    #[command(subcommand)]
    Port(PortCommand),
    /// Create or update everything in a file
    #[command(after_long_help = crate::manifest::HELP)]
    Apply(ApplyArgs),
    /// Delete everything in a file, in reverse order
    #[command(after_long_help = crate::manifest::HELP)]
    Delete(DeleteFileArgs),
    /// Certificates of services and people
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Ask the service at --endpoint, which may be any, whether it serves
    Health,
    /// Print a completion script
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// File with YAML documents or a JSON object; "-": stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteFileArgs {
    /// File with YAML documents or a JSON object; "-": stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Delete what they contain too
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// How a write is done.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) validate_only: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Whether and how long to wait for a write to be carried out.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is carried out (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Do not wait: the write is durable, and carried out afterwards
    #[arg(long, overrides_with = "wait")]
    no_wait: bool,
    /// Longest to wait, such as 500ms, 60s, 5m or 1h
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
}

impl WaitArgs {
    /// How long to wait; `None`: not at all.
    pub(crate) fn limit(&self) -> Option<Duration> {
        (!self.no_wait).then_some(self.timeout)
    }
}

/// How one thing is deleted.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Refuse if it has another etag, because somebody changed it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// How one thing is updated.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Refuse if it has another etag, because somebody changed it; default: the one just read
    #[arg(long)]
    pub(crate) etag: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    fn wait(arguments: &[&str]) -> WaitArgs {
        let cli = Cli::try_parse_from([&["l2sces", "apply", "-f", "-"], arguments].concat());
        match cli.unwrap().command {
            Command::Apply(args) => args.write.wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_a_minute_unless_told_otherwise() {
        assert_eq!(wait(&[]).limit(), Some(Duration::from_secs(60)));
        assert_eq!(wait(&["--timeout", "5m"]).limit(), Some(Duration::from_secs(300)));
        assert_eq!(wait(&["--no-wait"]).limit(), None);
        assert_eq!(wait(&["--no-wait", "--wait"]).limit(), Some(Duration::from_secs(60)));
        assert_eq!(wait(&["--wait", "--no-wait"]).limit(), None);
    }

    #[test]
    fn wrong_usage_is_refused() {
        let cases: [&[&str]; 9] = [
            &[],
            &["network", "create"],
            &["network", "create", "blue"],
            &["apply"],
            &["network", "create", "blue", "--slice", "s1", "--timeout", "soon"],
            &[
                "port",
                "attach",
                "p",
                "--slice",
                "s",
                "--network",
                "n",
                "--cluster",
                "c",
                "--node",
                "n",
            ],
            &["cluster", "create", "a", "--node", "a1,colour=red"],
            &["completions", "tcsh"],
            &["pki", "issue", "--dir", "d", "--role", "king", "--name", "a"],
        ];
        for arguments in cases {
            let parsed = Cli::try_parse_from([&["l2sces"], arguments].concat());
            assert!(parsed.is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn connection_flags_may_follow_the_command() {
        let cli = Cli::try_parse_from([
            "l2sces",
            "slice",
            "list",
            "--endpoint",
            "https://a:1",
            "--tls-ca",
            "ca.pem",
            "-o",
            "json",
        ])
        .unwrap();
        assert_eq!(cli.connection.endpoint.as_deref(), Some("https://a:1"));
        assert_eq!(cli.connection.tls.tls_ca, Some("ca.pem".into()));
        assert_eq!(cli.output, Format::Json);
    }
}
