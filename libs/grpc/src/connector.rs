//! Connects to servers over TLS.
//!
//! Tonic's own connector has one certificate for as long as its channel lives; this one shows the
//! certificate that the configuration resolves by the time.

use std::{error::Error, io, sync::Arc};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use l2sces_pki::peer_identity;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{Service, service_fn};

/// HTTP/2, as TLS names it (RFC 9113, section 3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

type BoxError = Box<dyn Error + Send + Sync>;

/// Whom a channel leads to. Agents of Kubernetes clusters have certificates for addresses that their
/// cluster says: they are good for agents only, whatever the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// Any service but an agent.
    Service,
    /// An agent.
    Agent,
    /// Whoever is there, for who only looks.
    Anybody,
}

impl Callee {
    /// Whether it is who has shown this certificate (DER), which TLS has verified.
    fn has(self, certificate: &[u8]) -> bool {
        let is_agent = || peer_identity(certificate).is_some_and(|peer| peer.role.is_agent());
        match self {
            Self::Service => !is_agent(),
            Self::Agent => is_agent(),
            Self::Anybody => true,
        }
    }
}

/// Opens connections to any URI's host and port, for HTTP/2 over TLS, with `server` in the certificate of
/// the server, which must be `callee`.
pub(crate) fn connector(
    config: &ClientConfig,
    server: ServerName<'static>,
    callee: Callee,
) -> impl Service<
    Uri,
    Response = TokioIo<TlsStream<TcpStream>>,
    Error = BoxError,
    Future: Send + 'static,
> + Send
+ 'static {
    let mut config = config.clone();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // RPCs are small writes that somebody waits for.
    tcp.set_nodelay(true);
    service_fn(move |uri: Uri| {
        let (tls, server, stream) = (tls.clone(), server.clone(), tcp.call(uri));
        async move {
            let stream = tls.connect(server, stream.await?.into_inner()).await?;
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            if !shown.is_some_and(|certificate| callee.has(certificate)) {
                return Err(rustls::Error::from(CertificateError::InvalidPurpose).into());
            }
            if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
                let wrong = "the server does not speak HTTP/2";
                return Err(io::Error::new(io::ErrorKind::InvalidData, wrong).into());
            }
            Ok(TokioIo::new(stream))
        }
    })
}

/// The name or address that the server of a URI must show a certificate for.
pub(crate) fn server_name(uri: &Uri) -> Option<ServerName<'static>> {
    // An IPv6 address is in brackets there.
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}
