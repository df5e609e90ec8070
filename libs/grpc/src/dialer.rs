use std::time::Duration;

use http::Uri;
use l2sces_pki::Credentials;
use thiserror::Error;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{Channel, TlsArgs, TlsArgsError};

/// Longest that TCP and TLS may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent server is asked whether it is still there, and how long it may take to
/// answer. Idle connections too: a watch is idle most of the time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens channels to other services with the process's own credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    protection: Protection,
}

/// How connections are protected.
#[derive(Clone, Debug)]
enum Protection {
    /// Not at all.
    Plaintext,
    /// Both ends show certificates.
    Mutual(Credentials),
    /// The server shows one of this authority (PEM).
    Server(String),
}

/// Why there can be no channel to an endpoint.
#[derive(Debug, Error)]
pub enum DialError {
    /// It is no URL of the form `https://host:port`.
    #[error("endpoint {0:?} must have the form https://host:port")]
    Endpoint(String),
    /// It asks for plaintext, but this process protects its connections.
    #[error("endpoint {0} must begin with https://; http:// needs --insecure-plaintext")]
    Plaintext(String),
    /// It asks for TLS, but this process was told not to use it.
    #[error("endpoint {0} must begin with http://, because of --insecure-plaintext")]
    Tls(String),
    /// TLS refuses the credentials.
    #[error("TLS refuses the credentials: {0}")]
    Credentials(#[source] tonic::transport::Error),
}

impl Dialer {
    /// A dialer with the credentials that the arguments name.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn new(args: &TlsArgs) -> Result<Self, TlsArgsError> {
        l2sces_pki::install_crypto_provider();
        let protection = args.credentials()?.map_or(Protection::Plaintext, Protection::Mutual);
        Ok(Self { protection })
    }

    /// A dialer of a process that has no certificate yet: it only checks those of servers, against an
    /// authority's (PEM).
    pub fn without_certificate(ca_pem: String) -> Self {
        l2sces_pki::install_crypto_provider();
        Self { protection: Protection::Server(ca_pem) }
    }

    /// A channel to `https://host:port` (`http://` with `--insecure-plaintext`). It connects when
    /// it is first used, and again whenever the connection was lost; a call on it fails at once
    /// with UNAVAILABLE when there is no connection to be had.
    ///
    /// # Errors
    /// The endpoint is malformed, or does not go with the credentials.
    pub fn channel(&self, endpoint: &str) -> Result<Channel, DialError> {
        let malformed = || DialError::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| malformed())?;
        if uri.host().is_none_or(str::is_empty)
            || uri.port_u16().is_none()
            || !matches!(uri.path(), "" | "/")
        {
            return Err(malformed());
        }
        let builder = Endpoint::from(uri.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let tls = match &self.protection {
            Protection::Plaintext => None,
            Protection::Mutual(credentials) => {
                let (ca, cert, key) = credentials.pem();
                let authority = Certificate::from_pem(ca);
                let own = Identity::from_pem(cert, key);
                Some(ClientTlsConfig::new().ca_certificate(authority).identity(own))
            }
            Protection::Server(ca) => {
                Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)))
            }
        };
        let builder = match (uri.scheme_str(), tls) {
            (Some("https"), Some(tls)) => {
                builder.tls_config(tls).map_err(DialError::Credentials)?
            }
            (Some("http"), None) => builder,
            (Some("http"), Some(_)) => return Err(DialError::Plaintext(endpoint.to_owned())),
            (Some("https"), None) => return Err(DialError::Tls(endpoint.to_owned())),
            _ => return Err(malformed()),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        Ok(Channel::new(builder.connect_lazy(), authority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endpoint_has_scheme_host_and_port_and_nothing_else() {
        let args = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
        let dialer = Dialer::new(&args).unwrap();
        for endpoint in ["http://127.0.0.1:1", "http://[::1]:1", "http://a.example:50051/"] {
            assert!(dialer.channel(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in ["", "127.0.0.1:1", "http://a", "ftp://a:1", "http://a:1/b", "http://:1"] {
            let refused = dialer.channel(endpoint);
            assert!(matches!(refused, Err(DialError::Endpoint(_))), "{endpoint}: {refused:?}");
        }
        assert!(matches!(dialer.channel("https://a:1"), Err(DialError::Tls(_))));
    }
}
