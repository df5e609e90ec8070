use std::{path::Path, time::Duration};

use l2sces_openflow::SessionConfig;
use tokio::{net::UnixStream, time::timeout};

use crate::{HandshakeError, SwitchConnection, connection};

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Connects to the management socket of a bridge (`<run directory>/<bridge>.mgmt`), which takes
/// OpenFlow sessions beside those of the bridge's controllers.
///
/// # Errors
/// There is no such socket, or what answers is no OpenFlow 1.3 switch.
pub async fn connect_unix(
    path: impl AsRef<Path>,
    session: SessionConfig,
) -> Result<SwitchConnection, HandshakeError> {
    let handshake = async {
        let stream = UnixStream::connect(path).await?;
        connection::establish(stream, session).await
    };
    timeout(HANDSHAKE, handshake).await.map_err(|_| HandshakeError::Timeout(HANDSHAKE))?
}
