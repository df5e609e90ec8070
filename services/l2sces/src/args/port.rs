use clap::{ArgGroup, Args, Subcommand};
use l2sces_proto::slice::v1::{
    InterfaceAttachment, NamespaceAttachment, PortSpec, port_spec::Attachment,
};

use super::{DeleteArgs, WriteArgs};
use crate::resource::{Key, Scope};

#[derive(Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// Attach a port to a network
    Attach {
        #[command(flatten)]
        name: PortName,
        #[command(flatten)]
        flags: Box<AttachFlags>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Remove a port
    Detach {
        #[command(flatten)]
        name: PortName,
        #[command(flatten)]
        delete: DeleteArgs,
    },
    /// Show a port
    Get {
        #[command(flatten)]
        name: PortName,
    },
    /// Show all ports
    List {
        #[command(flatten)]
        scope: PortScope,
    },
    /// Show every change until interrupted
    Watch {
        /// Name of the port; none: all
        name: Option<String>,
        #[command(flatten)]
        scope: PortScope,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PortName {
    /// Name of the port
    pub(crate) name: String,
    /// Name of its slice
    #[arg(long)]
    pub(crate) slice: String,
    /// Name of its network
    #[arg(long)]
    pub(crate) network: String,
}

#[derive(Debug, Args)]
pub(crate) struct PortScope {
    /// Name of the slice; none: all
    #[arg(long)]
    pub(crate) slice: Option<String>,
    /// Name of the network; none: all
    #[arg(long, requires = "slice")]
    pub(crate) network: Option<String>,
}

impl From<PortName> for Key {
    fn from(name: PortName) -> Self {
        Self { slice: name.slice, network: name.network, name: name.name }
    }
}

impl From<PortScope> for Scope {
    fn from(scope: PortScope) -> Self {
        Self { slice: scope.slice.unwrap_or_default(), network: scope.network.unwrap_or_default() }
    }
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("attachment").required(true).args(["namespace", "interface"]))]
pub(crate) struct AttachFlags {
    /// Cluster of the node
    #[arg(long)]
    cluster: String,
    /// Node that the endpoint is on
    #[arg(long)]
    node: String,
    /// Network namespace that a virtual Ethernet pair ends in
    #[arg(long, value_name = "PATH")]
    namespace: Option<String>,
    /// Name of the interface in the namespace; default: net1
    #[arg(long, value_name = "NAME", requires = "namespace", conflicts_with = "interface")]
    interface_name: Option<String>,
    /// Interface that exists on the node, such as a VM's tap
    #[arg(long, value_name = "NAME", requires = "mac")]
    interface: Option<String>,
    /// MAC address of the endpoint; none: one is chosen
    #[arg(long)]
    mac: Option<String>,
    /// IP address out of the network's CIDR; none: one is chosen if the network has a CIDR
    #[arg(long)]
    address: Option<String>,
    /// How many other MAC addresses may be learned behind the port, at most 1024, such as those of
    /// nested VMs; default: none, and what they send is dropped
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    max_learned: u32,
}

impl AttachFlags {
    /// What is wanted of the port.
    pub(crate) fn spec(self) -> PortSpec {
        let attachment = match (self.namespace, self.interface) {
            (Some(path), _) => Some(Attachment::Namespace(NamespaceAttachment {
                path,
                interface_name: self.interface_name.unwrap_or_default(),
            })),
            (None, Some(name)) => Some(Attachment::Interface(InterfaceAttachment { name })),
            (None, None) => None,
        };
        PortSpec {
            cluster: self.cluster,
            node: self.node,
            attachment,
            mac: self.mac.unwrap_or_default(),
            address: self.address.unwrap_or_default(),
            max_learned_addresses: self.max_learned,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn attach(arguments: &[&str]) -> Result<PortSpec, clap::Error> {
        let place = [
            "l2sces",
            "port",
            "attach",
            "p1",
            "--slice",
            "s1",
            "--network",
            "blue",
            "--cluster",
            "a",
            "--node",
            "a1",
        ];
        let cli = Cli::try_parse_from([&place, arguments].concat())?;
        match cli.command {
            Command::Port(PortCommand::Attach { flags, .. }) => Ok(flags.spec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_port_ends_in_a_namespace_or_is_an_interface() {
        let spec = attach(&["--namespace", "/run/netns/p1", "--interface-name", "eth1"]).unwrap();
        let Some(Attachment::Namespace(namespace)) = spec.attachment else { panic!("{spec:?}") };
        assert_eq!(
            (namespace.path.as_str(), namespace.interface_name.as_str()),
            ("/run/netns/p1", "eth1")
        );
        let spec = attach(&["--interface", "tap0", "--mac", "02:00:00:00:00:01"]).unwrap();
        assert!(matches!(spec.attachment, Some(Attachment::Interface(_))), "{spec:?}");
        assert_eq!((spec.mac.as_str(), spec.max_learned_addresses), ("02:00:00:00:00:01", 0));
        let spec = attach(&["--namespace", "/run/netns/p1", "--max-learned", "8"]).unwrap();
        assert_eq!(spec.max_learned_addresses, 8);
    }

    #[test]
    fn what_makes_no_port_is_refused() {
        let cases: [&[&str]; 4] = [
            &[],
            &["--interface", "tap0"],
            &["--interface", "tap0", "--mac", "02:00:00:00:00:01", "--namespace", "/run/netns/p1"],
            &["--interface", "tap0", "--mac", "02:00:00:00:00:01", "--interface-name", "net1"],
        ];
        for arguments in cases {
            assert!(attach(arguments).is_err(), "{arguments:?}");
        }
    }
}
