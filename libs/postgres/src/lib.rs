//! Postgres as every storing service uses it: pool, migrations, notifications.
//!
//! Each service has a role and a schema of its own, and the role's `search_path` is that schema:
//! SQL never names one, and the table of migrations lies in it too.

mod args;
mod connect;
mod liveness;
mod measure;
mod notifications;

pub use args::PostgresArgs;
pub use connect::{PostgresError, connect};
pub use liveness::{PING_INTERVAL, ping};
pub use notifications::{Notification, notifications};

use std::time::Duration;

use backon::ExponentialBuilder;

/// Pauses between attempts to reach Postgres: 100 ms at first, doubled up to 5 s, with jitter.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
}
