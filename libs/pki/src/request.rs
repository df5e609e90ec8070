use std::fmt;

use rcgen::{CertificateParams, KeyPair};

use crate::{IssuedCertificate, PkiError};

/// A new key, and the request to have it certified: for holders whose key nobody else is to see, not
/// even the authority.
#[derive(Clone)]
pub struct CertificateRequest {
    /// The request (PKCS #10), PEM. It says nothing but the key: who the holder is, the authority finds
    /// out by other means.
    pub csr_pem: String,
    key_pem: String,
}

impl CertificateRequest {
    /// Makes a key (ECDSA P-256) and the request for it.
    ///
    /// # Errors
    /// No key could be made.
    pub fn create() -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        Ok(Self { csr_pem: request.pem()?, key_pem: key.serialize_pem() })
    }

    /// The certificate that the request was answered with, and its key.
    pub fn answered(self, cert_pem: String) -> IssuedCertificate {
        IssuedCertificate { cert_pem, key_pem: self.key_pem }
    }
}

/// Without the key.
impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest").field("csr_pem", &self.csr_pem).finish_non_exhaustive()
    }
}
