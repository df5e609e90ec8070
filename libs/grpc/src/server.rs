use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use l2sces_pki::Credentials;
use l2sces_proto::FILE_DESCRIPTOR_SET;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};

use crate::{
    Access, ServerArgs, TlsArgs, TlsArgsError,
    access::HEALTH_SERVICE,
    connector::HTTP2,
    incoming::{incoming, incoming_of_strangers},
    local,
    measure::Methods,
    peer::Connection,
    rpc_layer::RpcLayer,
};

/// Longest that an RPC may take to begin its response, whatever the client says.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// What a client may do whose identity is known.
const OF_PEERS: Allowance = Allowance { calls: 1_024, age: None };

/// What others may: what they call is soon answered.
const OF_STRANGERS: Allowance = Allowance { calls: 8, age: Some(Duration::from_secs(60)) };

/// How long RPCs may go on once the shutdown was asked for.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What a client may do with one connection.
struct Allowance {
    /// RPCs at a time.
    calls: u32,
    /// How long it is kept; nothing: as long as the client likes.
    age: Option<Duration>,
}

/// Why a server could not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsArgsError),
    /// The address is in use, or is none of this host's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The path cannot be listened on.
    #[error("cannot listen on {path}: {source}", path = .path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the APIs' descriptors say cannot be read.
    #[error("the descriptors of the APIs: {0}")]
    Descriptors(#[from] prost::DecodeError),
    /// Reflection cannot be served.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Serving ended.
    #[error("gRPC server: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves `routes` until `shutdown` resolves, then lets running RPCs finish for up to 5 s; streams
/// end with UNAVAILABLE. Adds health (always serving), reflection of the services that `access`
/// names, access control, a span per RPC, and metrics.
///
/// # Errors
/// The address or the TLS files cannot be used.
pub async fn serve(
    args: &ServerArgs,
    routes: Routes,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = args.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    serve_on(listener, &args.tls, routes, access, shutdown).await
}

/// The same as [`serve`], on a socket that listens already.
///
/// # Errors
/// The TLS files cannot be used.
pub async fn serve_on(
    listener: TcpListener,
    tls: &TlsArgs,
    routes: Routes,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let credentials = tls.credentials()?;
    let tls = credentials.as_ref().map(|credentials| http2(&credentials.server_config()));
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, tls = tls.is_some(), "listening"),
        Err(error) => tracing::warn!(%error, "listening on an unknown address"),
    }
    let own = credentials.as_ref().and_then(Credentials::identity);
    run(incoming(listener, tls), OF_PEERS, routes, access.of(own), shutdown).await
}

/// The same as [`serve`], on a Unix socket at `path`, in the place of one that is left there: for
/// root and for this process's own user, who may call every service that `access` names.
///
/// # Errors
/// The path cannot be listened on.
pub async fn serve_local(
    path: &Path,
    routes: Routes,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let listener =
        local::bind(path).map_err(|source| ServeError::Socket { path: path.to_owned(), source })?;
    tracing::info!(path = %path.display(), "listening");
    run(local::incoming(listener), OF_PEERS, routes, access, shutdown).await
}

/// The same as [`serve_on`], to clients that have no certificate: they are asked for none, and may
/// call every service that `access` names. There are only so many connections at a time, fewer of one
/// address, and none lasts: whoever has none waits for a minute or two at most.
///
/// # Errors
/// The descriptors or the transport fail.
pub async fn serve_openly(
    listener: TcpListener,
    credentials: &Credentials,
    routes: Routes,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening to clients without a certificate");
    }
    let tls = http2(&credentials.open_server_config());
    let connections = incoming_of_strangers(listener, tls);
    run(connections, OF_STRANGERS, routes, access, shutdown).await
}

async fn run(
    connections: ReceiverStream<io::Result<Connection>>,
    allowance: Allowance,
    routes: Routes,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let routes = with_health_and_reflection(routes, &access)?;
    let stopping = CancellationToken::new();
    let methods = Methods::of(&access.services().collect::<Vec<_>>())?;
    let layer = RpcLayer { access: Arc::new(access), methods, shutdown: stopping.clone() };
    let mut server = Server::builder().max_concurrent_streams(allowance.calls);
    if let Some(age) = allowance.age {
        // What was called by then may still be answered.
        server = server.max_connection_age(age).max_connection_age_grace(LONGEST_CALL);
    }
    let served = server
        .timeout(LONGEST_CALL)
        .layer(layer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stopping.clone().cancelled_owned());
    tokio::pin!(served);
    tokio::select! {
        result = &mut served => return Ok(result?),
        () = shutdown => stopping.cancel(),
    }
    match timeout(SHUTDOWN_GRACE, served).await {
        Ok(result) => Ok(result?),
        Err(_) => {
            tracing::warn!("closing connections with calls that did not finish in time");
            Ok(())
        }
    }
}

fn http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Arc::new(config)
}

fn with_health_and_reflection(routes: Routes, access: &Access) -> Result<Routes, ServeError> {
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(HEALTH_SERVICE);
        // Only what is served is advertised; the descriptors have every l2sces API.
        access.services().fold(builder, tonic_reflection::server::Builder::with_service_name)
    };
    // The reporter starts with "" (the whole server) as SERVING, and dies with the server.
    let (_reporter, health) = tonic_health::server::health_reporter();
    Ok(routes
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
