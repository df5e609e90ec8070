//! DNS on the wire. The message types are hickory-server's. The sockets are not: its server takes
//! any number of TCP connections and, out of file descriptors, spins; and the end of one of its
//! listeners goes unnoticed while another lives.

mod measure;
mod message;
mod tcp;
mod udp;

use std::{io, net::SocketAddr, sync::Arc};

use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

pub use message::Responder;

/// A DNS server: its sockets are bound, but answer nothing until it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    sockets: Vec<(UdpSocket, TcpListener)>,
    responder: Arc<Responder>,
}

/// Why a DNS server cannot serve.
#[derive(Debug, Error)]
#[error("DNS on {address}: {source}")]
pub struct ServerError {
    /// Where.
    pub address: SocketAddr,
    /// What the operating system says.
    pub source: io::Error,
}

impl Server {
    /// Binds UDP and TCP on each address.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn bind(addresses: &[SocketAddr], responder: Responder) -> Result<Self, ServerError> {
        measure::describe();
        let mut sockets = Vec::new();
        for &address in addresses {
            let bound = bind(address).await.map_err(|source| ServerError { address, source })?;
            sockets.push(bound);
        }
        Ok(Self { sockets, responder: Arc::new(responder) })
    }

    /// The addresses that are bound, in the order given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|(_, tcp)| tcp.local_addr().ok()).collect()
    }

    /// Answers until dropped.
    pub async fn run(self) {
        let serve = self.sockets.into_iter().map(|(udp, tcp)| {
            let responder = self.responder.clone();
            async move {
                tokio::join!(udp::serve(udp, &responder), tcp::serve(tcp, responder.clone()));
            }
        });
        futures::future::join_all(serve).await;
    }
}

/// Both on one port, also where the operating system chooses it.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address).await?;
    let tcp = TcpListener::bind(udp.local_addr()?).await?;
    Ok((udp, tcp))
}
