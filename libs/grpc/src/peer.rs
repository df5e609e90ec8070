use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use l2sces_pki::{Identity, peer_identity};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;
use tonic::{Request, transport::server::Connected};

use crate::Place;

/// Who is at the other end of a connection. Every request of it has this among its extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    address: Option<SocketAddr>,
    authentication: Authentication,
}

#[derive(Clone, Debug)]
enum Authentication {
    /// By the permissions of the socket.
    Local,
    Plaintext,
    /// By nothing, on a connection that asks for nothing.
    Open,
    Certificate(Option<Arc<Identity>>),
}

impl Peer {
    /// Its address; `None` on a local socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its identity; `None` on a plaintext connection or a local socket, or if its certificate has none.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.authentication {
            Authentication::Certificate(identity) => identity.as_deref(),
            Authentication::Local | Authentication::Plaintext | Authentication::Open => None,
        }
    }

    /// Whether it has shown a certificate of the authority.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.authentication, Authentication::Certificate(_))
    }
}

/// Who sent the request, if it came over a connection that [`serve`](crate::serve) accepted.
pub fn peer<T>(request: &Request<T>) -> Option<&Peer> {
    request.extensions().get()
}

pin_project! {
    /// An accepted connection, ready for HTTP/2.
    pub(crate) struct Connection {
        peer: Peer,
        #[pin]
        stream: Stream,
        // Kept for as long as the connection lasts, if it has one.
        _place: Option<Place>,
    }
}

pin_project! {
    #[project = StreamProjection]
    enum Stream {
        Plaintext { #[pin] stream: TcpStream },
        Tls { #[pin] stream: Box<TlsStream<TcpStream>> },
        Local { #[pin] stream: UnixStream },
    }
}

impl Connection {
    pub(crate) fn plaintext(stream: TcpStream, address: SocketAddr) -> Self {
        let peer = Peer { address: Some(address), authentication: Authentication::Plaintext };
        Self { peer, stream: Stream::Plaintext { stream }, _place: None }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let authentication = match certificate {
            Some(certificate) => {
                Authentication::Certificate(peer_identity(certificate).map(Arc::new))
            }
            None => Authentication::Open,
        };
        let stream = Stream::Tls { stream: Box::new(stream) };
        Self { peer: Peer { address: Some(address), authentication }, stream, _place: None }
    }

    pub(crate) fn local(stream: UnixStream) -> Self {
        let peer = Peer { address: None, authentication: Authentication::Local };
        Self { peer, stream: Stream::Local { stream }, _place: None }
    }

    /// The same connection, which keeps its place until it ends.
    pub(crate) fn keeping(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.project().stream.project() {
            StreamProjection::Plaintext { stream } => stream.poll_read(cx, buf),
            StreamProjection::Tls { stream } => stream.poll_read(cx, buf),
            StreamProjection::Local { stream } => stream.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.project().stream.project() {
            StreamProjection::Plaintext { stream } => stream.poll_write(cx, buf),
            StreamProjection::Tls { stream } => stream.poll_write(cx, buf),
            StreamProjection::Local { stream } => stream.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project().stream.project() {
            StreamProjection::Plaintext { stream } => stream.poll_flush(cx),
            StreamProjection::Tls { stream } => stream.poll_flush(cx),
            StreamProjection::Local { stream } => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project().stream.project() {
            StreamProjection::Plaintext { stream } => stream.poll_shutdown(cx),
            StreamProjection::Tls { stream } => stream.poll_shutdown(cx),
            StreamProjection::Local { stream } => stream.poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.project().stream.project() {
            StreamProjection::Plaintext { stream } => stream.poll_write_vectored(cx, bufs),
            StreamProjection::Tls { stream } => stream.poll_write_vectored(cx, bufs),
            StreamProjection::Local { stream } => stream.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plaintext { stream } => stream.is_write_vectored(),
            Stream::Tls { stream } => stream.is_write_vectored(),
            Stream::Local { stream } => stream.is_write_vectored(),
        }
    }
}
