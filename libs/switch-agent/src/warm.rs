use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::UdpSocket;
use tracing::debug;

/// The port of the discard protocol (RFC 863): whatever is sent there is of no consequence.
const DISCARD: u16 = 9;

/// Sends one datagram to the far end of a new tunnel, so that the underlay's address is resolved
/// before the first frame: a cold tunnel holds or loses frames for about a second. In the userspace
/// datapath too, which snoops on the ARP of the kernel.
pub(crate) async fn warm(local: IpAddr, remote: IpAddr) {
    if let Err(error) = send(local, remote).await {
        debug!(%local, %remote, %error, "could not warm the tunnel");
    }
}

async fn send(local: IpAddr, remote: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
    socket.send_to(&[0], SocketAddr::new(remote, DISCARD)).await?;
    Ok(())
}
