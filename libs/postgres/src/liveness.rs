//! Noticing that the database is gone without a word.

use std::{io, time::Duration};

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

/// How often a connection on which nothing is asked for long has to be asked for a sign of life, as
/// there is no way to have the kernel do so: sqlx does not let its sockets be set up.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long the sign may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for a sign of life; no statement is run.
///
/// # Errors
/// The connection is lost, or there is no answer within 5 s.
pub async fn ping(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let pinged = timeout(PING_TIMEOUT, connection.ping()).await;
    pinged.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}
