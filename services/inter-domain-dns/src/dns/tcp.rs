use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use hickory_server::net::xfer::Protocol;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::Responder;

/// Most connections at once. One more takes the place of the oldest, so connections that only
/// sit there keep nobody out.
const MOST_CONNECTIONS: usize = 256;

/// How long a connection may take for a request, and for taking the answer (RFC 7766, section
/// 6.2.3: a few seconds).
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers on connections.
pub(super) async fn serve(listener: TcpListener, responder: Arc<Responder>) {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => connections.add(converse(stream, from, responder.clone())),
            Err(error) => {
                warn!(%error, "cannot accept a DNS connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// The running connections, the oldest first. They end when this is dropped.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        if self.by_age.len() >= MOST_CONNECTIONS {
            self.by_age.retain(|connection| !connection.is_finished());
        }
        if self.by_age.len() >= MOST_CONNECTIONS
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }
}

async fn converse(mut stream: TcpStream, from: SocketAddr, responder: Arc<Responder>) {
    let end = loop {
        let request = match timeout(PATIENCE, read(&mut stream)).await {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => break error,
            Err(elapsed) => break elapsed.into(),
        };
        // Over a connection every request is answered or the last.
        let Some(response) = responder.respond(request, from, Protocol::Tcp) else { return };
        match timeout(PATIENCE, write(&mut stream, &response)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => break error,
            Err(elapsed) => break elapsed.into(),
        }
    };
    if end.kind() != io::ErrorKind::UnexpectedEof {
        debug!(%from, error = %end, "a DNS connection ended");
    }
}

/// One message behind its length (RFC 1035, section 4.2.2).
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    // In one piece, lest the length goes out as a packet of its own (RFC 7766, section 8).
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}
