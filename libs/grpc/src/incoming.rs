use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Connections, peer::Connection};

/// Connections that have not finished TLS yet: at most this many hold a socket at a time.
const MOST_HANDSHAKES: usize = 512;

/// Connections at a time of clients that show no certificate, and of one address among them: on a node
/// there are few agents.
const MOST_OF_STRANGERS: usize = 256;
const MOST_OF_ONE_STRANGER: usize = 32;

/// A client that has not finished TLS by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// After how many seconds of silence the kernel asks a client's kernel for a sign of life, how often
/// it asks again, and how many times: who is dead is noticed within half a minute, as is who does not
/// take what is sent. A client of ours never is silent for so long, because it pings.
const PROBE_AFTER: u32 = 20;
const PROBE_INTERVAL: u32 = 5;
const PROBES: u32 = 2;

/// Who gets in.
struct Gate {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: Connections,
    /// Whether a connection keeps its place for as long as it lasts; else until it is known whose it is.
    is_place_kept: bool,
}

/// Accepts connections for ever, each handshake in a task of its own, so that a slow or malicious
/// client delays nobody. The stream ends the accepting when it is dropped.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> ReceiverStream<io::Result<Connection>> {
    let connections = Connections::new(MOST_HANDSHAKES, MOST_HANDSHAKES);
    let tls = tls.map(TlsAcceptor::from);
    accept(Gate { listener, tls, connections, is_place_kept: false })
}

/// The same for a listener where it is not known whose a connection is: there are only so many.
pub(crate) fn incoming_of_strangers(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
) -> ReceiverStream<io::Result<Connection>> {
    let connections = Connections::new(MOST_OF_STRANGERS, MOST_OF_ONE_STRANGER);
    let tls = Some(TlsAcceptor::from(tls));
    accept(Gate { listener, tls, connections, is_place_kept: true })
}

fn accept(gate: Gate) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(accept_all(gate, sender));
    ReceiverStream::new(receiver)
}

async fn accept_all(gate: Gate, sender: mpsc::Sender<io::Result<Connection>>) {
    let Gate { listener, tls, connections, is_place_kept } = gate;
    loop {
        let (stream, address, place) = tokio::select! {
            accepted = connections.accept(&listener) => accepted,
            () = sender.closed() => return,
        };
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(stream, address, tls)).await {
                Ok(Ok(connection)) => {
                    let connection =
                        if is_place_kept { connection.keeping(place) } else { connection };
                    // An error says that the server shuts down; the connection is closed then.
                    let _ = sender.send(Ok(connection)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "connection refused"),
                Err(_) => tracing::debug!(%address, "connection refused: handshake timed out"),
            }
        });
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> io::Result<Connection> {
    // RPCs are small writes that somebody waits for.
    stream.set_nodelay(true)?;
    notice_death(&stream)?;
    match tls {
        Some(tls) => Ok(Connection::tls(tls.accept(stream).await?, address)),
        None => {
            // HTTP/2 has no time limit of its own for a client that never says anything.
            stream.peek(&mut [0]).await?;
            Ok(Connection::plaintext(stream, address))
        }
    }
}

/// Has the kernel close the connection of a client that is gone without a word: its watches would
/// be kept for ever.
fn notice_death(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &PROBE_AFTER)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &PROBE_INTERVAL)?;
    setsockopt(stream, sockopt::TcpKeepCount, &PROBES)?;
    let longest = 1_000 * (PROBE_AFTER + PROBES * PROBE_INTERVAL);
    setsockopt(stream, sockopt::TcpUserTimeout, &longest)?;
    Ok(())
}
