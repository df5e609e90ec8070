use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use tokio::{net::UdpSocket, time::sleep};
use tracing::{debug, warn};

use super::Responder;

/// Largest request read, in bytes. A question has a few hundred; what is longer is cut, and then
/// no message.
const MOST_BYTES: usize = 4096;

/// Pause after an error of the socket, so that a lasting one does not fill the log.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers datagrams, one by one: an answer takes microseconds, and the socket's buffer is the
/// only queue.
pub(super) async fn serve(socket: UdpSocket, responder: &Responder) {
    let mut buffer = vec![0; MOST_BYTES];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive a DNS message");
                sleep(PAUSE).await;
                continue;
            }
        };
        let request = buffer[..length].to_vec();
        let Some(response) = responder.respond(request, from, Protocol::Udp) else { continue };
        if let Err(error) = socket.send_to(&response, from).await {
            debug!(%from, %error, "cannot send a DNS answer");
        }
    }
}
