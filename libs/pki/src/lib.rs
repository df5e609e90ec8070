//! Certificates: a small authority, and the identity of every service.
//!
//! Every service has a certificate of one private authority, and in it its [`Identity`]: a role and
//! a name, as a SPIFFE-style URI. Both ends of every connection show theirs; what a peer may do
//! follows from its role.

mod authority;
mod credentials;
mod identity;
mod own_certificate;
mod pem;
mod request;
mod summary;

pub use authority::{Authority, CA_CERTIFICATE_FILE, CA_KEY_FILE, IssuedCertificate};
pub use credentials::{
    CredentialPaths, Credentials, anonymous_client_config, install_crypto_provider,
};
pub use identity::{Identity, IdentityError, Role, UnknownRole, peer_identity};
pub use own_certificate::belong_together;
pub use request::CertificateRequest;
pub use summary::{CertificateSummary, summarize};

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why certificates could not be made, read or written.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there that must not be overwritten.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// A file has no PEM block of the kind looked for, or a broken one.
    #[error("{path} holds no {wanted} in PEM format")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A subject alternative name is neither an IP address nor a DNS name.
    #[error("{0:?} is neither an IP address nor a DNS name")]
    AlternativeName(String),
    /// The identity cannot be put into a certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A certificate could not be made, or the authority's is not usable.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// It is no certificate signing request, or not signed by its own key.
    #[error("not a certificate signing request in PEM format: {0}")]
    Request(#[source] rcgen::Error),
    /// Certificate and key do not belong together, or TLS cannot use them.
    #[error("TLS cannot use certificate {certificate} with key {key}: {reason}")]
    Unusable {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}
