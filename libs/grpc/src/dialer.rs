use std::{path::Path, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};
use l2sces_pki::{PkiError, anonymous_client_config};
use rustls::ClientConfig;
use thiserror::Error;
use tonic::transport::Endpoint;

use crate::{
    Channel, TlsArgs, TlsArgsError,
    connector::{Callee, connector, server_name},
};

/// Longest that TCP and TLS may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent server is asked whether it is still there, and how long it may take to
/// answer. Idle connections too: a watch is idle most of the time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens channels to other services with the process's own credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// None: connections are not protected.
    tls: Option<Arc<ClientConfig>>,
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
}

impl Dialer {
    /// A dialer with the credentials that the arguments name.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn new(args: &TlsArgs) -> Result<Self, TlsArgsError> {
        let credentials = args.credentials()?;
        Ok(Self { tls: credentials.map(|credentials| credentials.client_config()) })
    }

    /// A dialer of a process that has no certificate yet: it only checks those of servers, against that of
    /// the authority in the file `ca`.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn without_certificate(ca: &Path) -> Result<Self, PkiError> {
        Ok(Self { tls: Some(anonymous_client_config(ca)?) })
    }

    /// A channel to a service at `https://host:port` (`http://` with `--insecure-plaintext`), which no
    /// agent's certificate can stand for. It connects when it is first used, and again whenever the connection was lost; a call on it fails at once
    /// with UNAVAILABLE when there is no connection to be had.
    ///
    /// # Errors
    /// The endpoint is malformed, or does not go with the credentials.
    pub fn channel(&self, endpoint: &str) -> Result<Channel, DialError> {
        self.channel_to(Callee::Service, endpoint)
    }

    /// The same to another than a service.
    ///
    /// # Errors
    /// As of [`channel`](Self::channel).
    pub fn channel_to(&self, callee: Callee, endpoint: &str) -> Result<Channel, DialError> {
        let malformed = || DialError::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| malformed())?;
        if uri.host().is_none_or(str::is_empty)
            || uri.port_u16().is_none()
            || !matches!(uri.path(), "" | "/")
        {
            return Err(malformed());
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let builder = |uri: Uri| {
            Endpoint::from(uri)
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
        };
        let inner = match (uri.scheme_str(), &self.tls) {
            (Some("https"), Some(tls)) => {
                let connector = connector(tls, server_name(&uri).ok_or_else(malformed)?, callee);
                // For tonic, whoever says https wants its own TLS; the server is told what is true.
                let mut parts = uri.clone().into_parts();
                parts.scheme = Some(Scheme::HTTP);
                let plain = Uri::from_parts(parts).map_err(|_| malformed())?;
                builder(plain).origin(uri.clone()).connect_with_connector_lazy(connector)
            }
            (Some("http"), None) => builder(uri.clone()).connect_lazy(),
            (Some("http"), Some(_)) => return Err(DialError::Plaintext(endpoint.to_owned())),
            (Some("https"), None) => return Err(DialError::Tls(endpoint.to_owned())),
            _ => return Err(malformed()),
        };
        Ok(Channel::new(inner, authority))
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
