use std::{net::SocketAddr, sync::Arc, time::Duration};

use l2sces_openflow::SessionConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use crate::{HandshakeError, ListenError, SwitchConnection, connection, measure};

/// How long nothing is accepted after the system refused to, as it does when the process has too
/// many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How to listen for switches.
#[derive(Clone, Debug)]
pub struct ListenArgs {
    /// Address and TCP port to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// With which certificate, and whose certificates are accepted. Plaintext if `None`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Keepalive and limits of each session.
    pub session: SessionConfig,
    /// How long a connection may take until it is known to be a switch's, TLS included.
    pub handshake_timeout: Duration,
    /// How many connections may be in the handshake at once; more wait to be accepted.
    pub handshakes: usize,
}

impl ListenArgs {
    /// The usual timing: echo after 5 s of silence, dead after three missed; 5 s for each of at
    /// most 256 handshakes at once.
    pub fn new(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self {
            address,
            tls,
            session: SessionConfig::default(),
            handshake_timeout: Duration::from_secs(5),
            handshakes: 256,
        }
    }
}

/// Accepts connections from switches.
#[derive(Debug)]
pub struct Listener {
    args: ListenArgs,
    socket: TcpListener,
    handshakes: JoinSet<(SocketAddr, Result<SwitchConnection, HandshakeError>)>,
}

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(args: ListenArgs) -> Result<Self, ListenError> {
        measure::describe();
        let address = args.address;
        let socket =
            TcpListener::bind(address).await.map_err(|source| ListenError { address, source })?;
        Ok(Self { args, socket, handshakes: JoinSet::new() })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.args.address)
    }

    /// The next switch that has finished the handshake. A connection that does not get that far is
    /// closed and logged. May be dropped and called again without loss.
    pub async fn accept(&mut self) -> SwitchConnection {
        loop {
            tokio::select! {
                Some(handshake) = self.handshakes.join_next() => match handshake {
                    Ok((_, Ok(switch))) => {
                        measure::handshake(true);
                        return switch;
                    }
                    Ok((peer, Err(error))) => {
                        measure::handshake(false);
                        info!(%peer, %error, "no switch");
                    }
                    Err(error) => error!(%error, "a handshake failed in itself"),
                },
                accepted = self.socket.accept(),
                    if self.handshakes.len() < self.args.handshakes => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let ListenArgs { tls, session, handshake_timeout, .. } = self.args.clone();
        self.handshakes.spawn(async move {
            let handshake = handshake(stream, tls, session);
            let switch = match timeout(handshake_timeout, handshake).await {
                Ok(Ok(switch)) => Ok(SwitchConnection { peer: Some(peer), ..switch }),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(HandshakeError::Timeout(handshake_timeout)),
            };
            (peer, switch)
        });
    }
}

async fn handshake(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    session: SessionConfig,
) -> Result<SwitchConnection, HandshakeError> {
    // Messages are written in as large pieces as there are: nothing to wait for.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return connection::establish(stream, session).await };
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer_certificate = certificate.map(|certificate| certificate.to_vec());
    let switch = connection::establish(stream, session).await?;
    Ok(SwitchConnection { peer_certificate, ..switch })
}
