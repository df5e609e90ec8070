use std::time::Duration;

use l2sces_postgres::{PING_INTERVAL, ping};
use sqlx::{PgConnection, error::DatabaseError, raw_sql};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Store, StoreError};

/// Frees the lead of a holder that is gone without a word: its host no longer answers the probes of
/// the database's kernel, for 15 s, or it is stuck and does not ping any more. Who waits for the lead
/// is told after 30 s that there is none to be had, which shows that the database is still there.
const SESSION: &str = "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 5; \
                       set tcp_keepalives_count = 2; set tcp_user_timeout = '15s'; \
                       set idle_in_transaction_session_timeout = '75s'; \
                       set lock_timeout = '30s'";

/// How long Postgres may take to say that there is no lead to be had.
const WAIT_TIMEOUT: Duration = Duration::from_secs(35);

/// In a transaction that does not end. It reads nothing, so it keeps no dead row alive.
const TAKE: &str = "begin; lock table leadership in exclusive mode";

/// The error code `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

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
        raw_sql(SESSION).execute(&mut connection).await?;
        loop {
            let taken = timeout(WAIT_TIMEOUT, raw_sql(TAKE).execute(&mut connection)).await;
            match taken {
                Ok(Ok(_)) => return Ok(Self { connection }),
                Ok(Err(error)) if is_lock_timeout(&error) => {
                    raw_sql("rollback").execute(&mut connection).await?;
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                    return Err(sqlx::Error::Io(late).into());
                }
            }
        }
    }

    /// Resolves when the lead is lost, at once if there is reason for suspicion.
    pub async fn lost(&mut self, suspicion: &Notify) -> StoreError {
        loop {
            tokio::select! {
                () = sleep(PING_INTERVAL) => {}
                () = suspicion.notified() => {}
            }
            if let Err(error) = ping(&mut self.connection).await {
                return error.into();
            }
        }
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.as_deref() == Some(LOCK_NOT_AVAILABLE)
}
