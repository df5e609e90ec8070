//! What is measured of a pool, whenever somebody scrapes.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use l2sces_telemetry::{Collector, Reading};
use metrics::{Unit, describe_gauge, gauge};
use sqlx::PgPool;
use tokio::time::timeout;

const CONNECTIONS: &str = "l2sces_database_connections";
const MOST: &str = "l2sces_database_connections_max";
const AVAILABLE: &str = "l2sces_database_available";
const ACQUIRE: &str = "l2sces_database_acquire_seconds";

/// Longest that the measurement waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at a pool, and has a connection given to itself as a request would.
pub(crate) struct Connections(pub(crate) PgPool);

#[async_trait]
impl Collector for Connections {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        let Self(pool) = self;
        let idle = u32::try_from(pool.num_idle())?;
        let used = pool.size().saturating_sub(idle);
        let most = pool.options().get_max_connections();
        let begin = Instant::now();
        let acquired = timeout(PATIENCE, pool.acquire()).await.is_ok_and(|result| result.is_ok());
        let acquire = begin.elapsed().as_secs_f64();
        Ok(Box::new(move || {
            describe_gauge!(CONNECTIONS, "Connections to the database, by whether they are used.");
            describe_gauge!(MOST, "Most connections to the database at a time.");
            describe_gauge!(
                AVAILABLE,
                "Whether this scrape got a connection to the database, in 2 seconds: 1 or 0."
            );
            describe_gauge!(
                ACQUIRE,
                Unit::Seconds,
                "How long this scrape waited for a connection to the database, in seconds."
            );
            gauge!(CONNECTIONS, "state" => "idle").set(idle);
            gauge!(CONNECTIONS, "state" => "used").set(used);
            gauge!(MOST).set(most);
            gauge!(AVAILABLE).set(if acquired { 1.0 } else { 0.0 });
            gauge!(ACQUIRE).set(acquire);
        }))
    }
}
