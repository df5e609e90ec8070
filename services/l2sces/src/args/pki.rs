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
    /// Sign a certificate: ROLE-NAME.pem and ROLE-NAME.key, valid for a year
    Issue {
        /// Directory of the authority
        #[arg(long)]
        dir: PathBuf,
        /// What the holder is: admin, slice-manager, sco-provider, sdn-controller, sps-agent,
        /// ned-agent, inter-domain-dns or operator
        #[arg(long)]
        role: Role,
        /// Which one of its role; a cluster's or a node's name, for example
        #[arg(long)]
        name: String,
        /// An IP address or DNS name that clients reach the holder by. Repeat for every one
        #[arg(long = "san", value_name = "ADDRESS|NAME")]
        sans: Vec<String>,
        /// Directory to write to, with a copy of ca.pem; default: that of the authority
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a key, and have the issuer at --endpoint certify it: own.key and own.pem. For agents that
    /// a Kubernetes cluster starts; the issuer finds out by the token what they are. Of certificates
    /// only --tls-ca is needed, to know the issuer by
    Request {
        /// File with a token of the pod's service account for the audience "l2sces"
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// Directory to write to
        #[arg(long)]
        dir: PathBuf,
    },
    /// Show what a certificate says
    Show {
        /// File with the certificate (PEM)
        file: PathBuf,
    },
}
