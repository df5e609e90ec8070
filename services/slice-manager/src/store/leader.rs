use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::{Store, StoreError};

/// How often a leader asks whether it still leads, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses of a stand-by: short at first, because a process that was killed and started again only
/// waits for Postgres to notice that the old one is gone.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The right to carry out what is desired, which one replica has at a time: a lock of a database
/// session, so that it is free the moment its holder's connection is gone.
///
/// Two replicas could both believe to lead for as long as the old one's connection takes to fail.
/// Nothing is broken then: calls downstream carry versions and may be repeated.
#[derive(Debug)]
pub struct Leadership {
    connection: PgConnection,
}

impl Leadership {
    /// Waits until nobody has the lead, and takes it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn win(store: &Store) -> Result<Self, StoreError> {
        let mut connection = store.pool().acquire().await?.detach();
        // A holder whose host is gone, or that is stuck, says nothing any more.
        sqlx::query("set idle_session_timeout = '15s'").execute(&mut connection).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            // Trying again and again, rather than waiting in the database: a statement that waits
            // keeps its snapshot, and with it every dead row of the database, alive.
            let taken: bool = sqlx::query_scalar(
                "select pg_try_advisory_lock(2, 'resource'::regclass::oid::int)",
            )
            .fetch_one(&mut connection)
            .await?;
            if taken {
                return Ok(Self { connection });
            }
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Resolves when the lead is lost.
    pub async fn lost(&mut self) -> StoreError {
        loop {
            sleep(PING_INTERVAL).await;
            match timeout(PING_TIMEOUT, self.connection.ping()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => {
                    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                    return sqlx::Error::Io(late).into();
                }
            }
        }
    }
}
