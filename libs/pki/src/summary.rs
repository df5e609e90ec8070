use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{Identity, peer_identity};

/// What people ask of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Distinguished name of the holder.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// The holder's identity, if it has one.
    pub identity: Option<Identity>,
    /// IP addresses and DNS names that it may be reached by.
    pub alternative_names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// First moment of its validity.
    pub not_before: OffsetDateTime,
    /// Last moment of its validity.
    pub not_after: OffsetDateTime,
}

impl CertificateSummary {
    /// When it is time for another certificate: when a third of the validity is left.
    pub fn renewal(&self) -> OffsetDateTime {
        self.not_after - (self.not_after - self.not_before) / 3
    }
}

/// Reads the first certificate in a PEM text; `None` if there is none.
pub fn summarize(pem: &str) -> Option<CertificateSummary> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};

    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    Some(CertificateSummary {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        identity: peer_identity(&der),
        alternative_names: names.iter().filter_map(alternative_name).collect(),
        is_authority: certificate.is_ca(),
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
    })
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
