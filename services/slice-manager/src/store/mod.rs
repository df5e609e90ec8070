//! Desired state, and what is known of it, in Postgres.
//!
//! Locks are taken in one order, so that no two transactions wait for each other: the request's
//! id, slices, networks, ports, clusters, and the lock of revisions last (`next_revision()`).

mod changes;
mod error;
mod leader;
mod placements;
mod queries;
mod requests;
mod row;
mod transaction;
mod upkeep;

use sqlx::PgPool;

pub use changes::{Bounds, Change, Gone};
pub use error::StoreError;
pub use leader::Leadership;
pub use placements::Placement;
pub use queries::{Page, PortPlace, Scope};
pub use requests::{Claim, Digest};
pub use row::AnyStored;
pub use transaction::{Conflict, InsertError, Lock, Transaction};

/// Migrations of the service's own schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// The channel on which the database tells of changes (see [`crate::signals`]).
pub const CHANNEL: &str = "slice_manager";

/// The service's tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// The tables behind a pool whose schema has been migrated.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The connections.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }
}
