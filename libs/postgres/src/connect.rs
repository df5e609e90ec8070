use std::{io, time::Duration};

use backon::Retryable;
use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use thiserror::Error;
use tokio::time::timeout;

use crate::{PostgresArgs, backoff, measure::Connections};

/// Longest that one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest that a request waits for a connection of the pool: less than a client's deadline, so
/// that the client gets an error that says why.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be idle before it is tested for whether it still works. One that is lost
/// within that time fails a request, which is answered with UNAVAILABLE.
const TRUSTED_IDLE: Duration = Duration::from_millis(100);

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// The URL is malformed.
    #[error("the database URL is malformed: {0}")]
    Url(#[source] sqlx::Error),
    /// Postgres answers, but refuses for a reason that waiting does not mend.
    #[error("cannot use the database: {0}")]
    Refused(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] MigrateError),
}

/// Connects to the database and brings the schema up to date. Waits, with growing pauses, until
/// Postgres answers: services are started in any order. Several replicas may do so at once.
///
/// # Errors
/// The URL is malformed, Postgres refuses the role or has no such database, or a migration fails.
pub async fn connect(args: &PostgresArgs, migrator: &Migrator) -> Result<PgPool, PostgresError> {
    let options: PgConnectOptions = args.database_url.parse().map_err(PostgresError::Url)?;
    (|| probe(&options))
        .retry(backoff())
        .when(is_transient)
        .notify(|error, pause| tracing::warn!(%error, ?pause, "waiting for the database"))
        .await
        .map_err(PostgresError::Refused)?;
    let pool = PgPoolOptions::new()
        .max_connections(args.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A round trip before every query would be as slow as most queries.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    migrator.run(&pool).await?;
    l2sces_telemetry::collect("database", Connections(pool.clone()));
    Ok(pool)
}

/// A pool hides why it cannot connect; a single connection says it.
async fn probe(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let connected = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await;
    let connection = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    connection.close().await
}

/// Whether waiting may help: Postgres is not there, starts, stops, or is full.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // Classes 53 (insufficient resources) and 57 (operator intervention).
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("53") || code.starts_with("57"))
        }
        _ => false,
    }
}
