use std::path::PathBuf;

use clap::Subcommand;
use l2sces_pki::Role;

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make a new authority: ca.pem and ca.key
    Init {
        /// Directory of the authority
        #[arg(long)]
        dir: PathBuf,
    },
    /// Sign a certificate: ROLE-NAME.pem and ROLE-NAME.key (ROLE-NAME@CLUSTER with --cluster), valid for a
    /// year
    Issue {
        /// Directory of the authority
        #[arg(long)]
        dir: PathBuf,
        /// What the holder is: admin, slice-manager, sco-provider, sdn-controller, sps-agent,
        /// ned-agent, inter-domain-dns, operator or slice-operator
        #[arg(long)]
        role: Role,
        /// Which one of its role; a cluster's or a node's name, for example
        #[arg(long)]
        name: String,
        /// The cluster that an agent's node is in. Without it, the certificate is that of the nodes of
        /// that name in all clusters
        #[arg(long)]
        cluster: Option<String>,
        /// An IP address or DNS name that clients reach the holder by. Repeat for every one
        #[arg(long = "san", value_name = "ADDRESS|NAME")]
        sans: Vec<String>,
        /// Directory to write to, with a copy of ca.pem; default: that of the authority
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a key, and have the issuer at --endpoint certify it: own.key and own.pem. For agents that
    /// a Kubernetes cluster starts; the issuer finds out by the token what they are. A valid certificate
    /// that is there stays when there cannot be another now, since the issuer or the authority is away. Of
    /// certificates only --tls-ca is needed, to know the issuer by
    Request {
        /// File with a token of the pod's service account for the audience "l2sces"
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// Directory to write to
        #[arg(long)]
        dir: PathBuf,
        /// Stay, and do so whenever there is no certificate yet, or only a third of its validity is left
        #[arg(long)]
        keep: bool,
    },
    /// Show what a certificate says
    Show {
        /// File with the certificate (PEM)
        file: PathBuf,
    },
}
