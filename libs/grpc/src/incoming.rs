use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::peer::Connection;

/// Connections that have not finished TLS yet: at most this many hold a socket at a time.
const MOST_HANDSHAKES: usize = 512;

/// A client that has not finished TLS by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// After how many seconds of silence the kernel asks a client's kernel for a sign of life, how often
/// it asks again, and how many times: who is dead is noticed within half a minute, as is who does not
/// take what is sent. A client of ours never is silent for so long, because it pings.
const PROBE_AFTER: u32 = 20;
const PROBE_INTERVAL: u32 = 5;
const PROBES: u32 = 2;

/// How long to wait when the process or the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for ever, each handshake in a task of its own, so that a slow or malicious
/// client delays nobody. The stream ends the accepting when it is dropped.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(accept_all(listener, tls.map(TlsAcceptor::from), sender));
    ReceiverStream::new(receiver)
}

type Sender = mpsc::Sender<io::Result<Connection>>;

async fn accept_all(listener: TcpListener, tls: Option<TlsAcceptor>, sender: Sender) {
    let slots = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, handshake(stream, address, tls)).await {
                Ok(Ok(connection)) => {
                    // An error says that the server shuts down; the connection is closed then.
                    let _ = sender.send(Ok(connection)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "connection refused"),
                Err(_) => tracing::debug!(%address, "connection refused: handshake timed out"),
            }
            drop(slot);
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
