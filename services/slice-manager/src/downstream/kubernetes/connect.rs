use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{Client, Config, config::AuthInfo};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::{domain::KubernetesServer, vault::Credentials};

/// Longest that a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of an API server.
///
/// # Errors
/// The certificates or credentials cannot be used: why not, for people.
pub(super) fn client(
    server: &KubernetesServer,
    credentials: Credentials,
) -> Result<Client, String> {
    let url = server.endpoint.as_str().parse().map_err(|_| "no URL".to_owned())?;
    let mut config = Config::new(url);
    config.root_cert = Some(authorities(&server.ca_pem)?);
    config.default_namespace = server.namespace.to_string();
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.auth_info = match credentials {
        Credentials::Token(token) => AuthInfo { token: Some(token.into()), ..AuthInfo::default() },
        Credentials::Certificate { cert_pem, key_pem } => AuthInfo {
            client_certificate_data: Some(STANDARD.encode(cert_pem)),
            client_key_data: Some(STANDARD.encode(key_pem).into()),
            ..AuthInfo::default()
        },
    };
    Client::try_from(config).map_err(|error| error.to_string())
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// It holds none, or something else.
pub(crate) fn authorities(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(found) if !found.is_empty() => {
            Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
        }
        _ => Err("must be one or more certificates in PEM".to_owned()),
    }
}
