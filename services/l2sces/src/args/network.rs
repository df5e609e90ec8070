use clap::{Args, Subcommand};
use l2sces_proto::slice::v1::Network;

use super::{DeleteArgs, UpdateArgs, WriteArgs};
use crate::resource::Key;

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Create a network
    Create {
        #[command(flatten)]
        name: NetworkName,
        #[command(flatten)]
        flags: NetworkFlags,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Show a network
    Get {
        #[command(flatten)]
        name: NetworkName,
    },
    /// Show all networks
    List {
        /// Name of the slice; none: all
        #[arg(long)]
        slice: Option<String>,
    },
    /// Change what is wanted of a network; what no flag names stays as it is
    Update {
        #[command(flatten)]
        name: NetworkName,
        #[command(flatten)]
        flags: NetworkFlags,
        /// Take their interfaces from pods in clusters that it loses
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        update: UpdateArgs,
    },
    /// Delete a network
    Delete {
        #[command(flatten)]
        name: NetworkName,
        /// Delete its ports too, and take their interfaces from its pods
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        delete: DeleteArgs,
    },
    /// Show every change until interrupted
    Watch {
        /// Name of the network; none: all
        name: Option<String>,
        /// Name of the slice; none: all
        #[arg(long)]
        slice: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NetworkName {
    /// Name of the network
    pub(crate) name: String,
    /// Name of its slice
    #[arg(long)]
    pub(crate) slice: String,
}

impl From<NetworkName> for Key {
    fn from(name: NetworkName) -> Self {
        Self { slice: name.slice, name: name.name, ..Self::default() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct NetworkFlags {
    /// A cluster that it spans; none: all of the slice. Repeat for every cluster
    #[arg(long = "cluster", value_name = "NAME")]
    pub(crate) clusters: Vec<String>,
    /// Addresses of the network, such as 10.1.0.0/24; none: its ports get no addresses
    #[arg(long)]
    pub(crate) cidr: Option<String>,
}

impl NetworkFlags {
    /// Puts what the flags name into the network.
    pub(crate) fn change(self, network: &mut Network) {
        let spec = network.spec.get_or_insert_default();
        if !self.clusters.is_empty() {
            spec.clusters = self.clusters;
        }
        if let Some(cidr) = self.cidr {
            spec.cidr = cidr;
        }
    }
}
