//! gRPC channels into the lab.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use l2sces_pki::Credentials;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower::service_fn;

use crate::{error::LabError, namespace::Namespace};

/// A channel to an endpoint, `https://ADDRESS:PORT`, with these credentials. It connects from inside
/// a namespace, whenever a request needs it.
///
/// # Errors
/// The endpoint is malformed, or the credentials cannot be used.
pub fn connect(
    namespace: &Namespace,
    endpoint: &str,
    credentials: &Credentials,
) -> Result<Channel, LabError> {
    let (cert, key) = credentials.own_pem();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(credentials.ca_pem()))
        .identity(Identity::from_pem(cert, key));
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?
        .tls_config(tls)?
        .connect_timeout(Duration::from_secs(5));
    let namespace = namespace.clone();
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
        let namespace = namespace.clone();
        async move {
            let stream = namespace.connect(address(&uri)?).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(TokioIo::new(stream))
        }
    })))
}

/// The address in an endpoint; the lab has no names for its hosts.
fn address(uri: &Uri) -> io::Result<SocketAddr> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} has no address"));
    let host: Ipv4Addr = uri.host().and_then(|host| host.parse().ok()).ok_or_else(wrong)?;
    Ok(SocketAddr::from((host, uri.port_u16().ok_or_else(wrong)?)))
}
