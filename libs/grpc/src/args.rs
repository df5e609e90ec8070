use std::{net::SocketAddr, path::PathBuf};

use l2sces_pki::{CredentialPaths, Credentials, PkiError};
use thiserror::Error;

/// How connections are protected: the same for what a process accepts and what it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct TlsArgs {
    /// Certificate of the authority that every peer's certificate must be signed by (PEM)
    #[arg(long, env = "L2SCES_TLS_CA", value_name = "FILE", global = true)]
    pub tls_ca: Option<PathBuf>,
    /// Own certificate, whose identity decides what this process may do (PEM)
    #[arg(long, env = "L2SCES_TLS_CERT", value_name = "FILE", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the own certificate (PEM)
    #[arg(long, env = "L2SCES_TLS_KEY", value_name = "FILE", global = true)]
    pub tls_key: Option<PathBuf>,
    /// No TLS and no access control at all: for experiments on one's own machine only
    #[arg(long, env = "L2SCES_INSECURE_PLAINTEXT", global = true)]
    pub insecure_plaintext: bool,
}

/// Where and how a server listens.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address and port that gRPC is served on
    #[arg(long, env = "L2SCES_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// How connections are protected.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Why [`TlsArgs`] cannot be used.
#[derive(Debug, Error)]
pub enum TlsArgsError {
    /// Files are missing, and plaintext was not asked for.
    #[error("{0} is needed (or --insecure-plaintext, for no protection at all)")]
    Missing(&'static str),
    /// Plaintext was asked for, and files were given.
    #[error("{0} and --insecure-plaintext exclude each other")]
    Conflict(&'static str),
    /// A file cannot be used.
    #[error(transparent)]
    Credentials(#[from] PkiError),
}

impl TlsArgs {
    /// The credentials that the files hold, or `None` with `--insecure-plaintext`.
    ///
    /// # Errors
    /// A file is missing or unusable, or files were given along with `--insecure-plaintext`.
    pub fn credentials(&self) -> Result<Option<Credentials>, TlsArgsError> {
        let files = [
            ("--tls-ca", &self.tls_ca),
            ("--tls-cert", &self.tls_cert),
            ("--tls-key", &self.tls_key),
        ];
        if self.insecure_plaintext {
            return match files.into_iter().find(|(_, path)| path.is_some()) {
                Some((flag, _)) => Err(TlsArgsError::Conflict(flag)),
                None => Ok(None),
            };
        }
        let [ca, cert, key] =
            files.map(|(flag, path)| path.clone().ok_or(TlsArgsError::Missing(flag)));
        let paths = CredentialPaths { ca: ca?, cert: cert?, key: key? };
        Ok(Some(Credentials::load(&paths)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_files_plaintext_must_be_asked_for() {
        let args = TlsArgs::default();
        assert!(matches!(args.credentials(), Err(TlsArgsError::Missing("--tls-ca"))));
        let args = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
        assert!(matches!(args.credentials(), Ok(None)));
    }

    #[test]
    fn files_are_never_ignored() {
        let args = TlsArgs {
            tls_cert: Some("a.pem".into()),
            insecure_plaintext: true,
            ..TlsArgs::default()
        };
        assert!(matches!(args.credentials(), Err(TlsArgsError::Conflict("--tls-cert"))));
    }
}
