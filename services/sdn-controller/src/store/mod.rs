//! The desired state, in Postgres. All SQL of the service is here.
//!
//! Every write locks the rows that it depends on first, parents before children, and leaves what
//! must never happen (an address given twice) to constraints of the schema.

mod block;
mod error;
mod exchange_item;
mod former_link;
mod keys;
mod learned_mac;
mod network;
mod node;
mod port;
mod row;
mod slice;
mod wishes;

use l2sces_model::Name;
use sqlx::{PgPool, migrate::Migrator};

use self::wishes::Wishes;
use crate::domain::Version;

pub(crate) use block::BlockNeed;
pub(crate) use error::StoreError;
pub(crate) use exchange_item::ExchangeItems;
pub(crate) use learned_mac::UntoldMac;
pub(crate) use network::Existed;
pub(crate) use port::{PortApplied, PortCondition, PortFilter, PortStored};

/// The schema.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!();

/// The desired state.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: PgPool,
    cluster: Name,
    wishes: Wishes,
}

impl Store {
    /// The desired state of a cluster, in a schema that has been migrated.
    pub(crate) fn new(pool: PgPool, cluster: Name) -> Self {
        Self { pool, cluster, wishes: Wishes::default() }
    }
}

/// What to do with a description that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Write,
    /// It says nothing new.
    Keep,
}

/// A stored object's version, and whether it is being deleted.
struct Stored {
    version: Version,
    deleting: bool,
}

/// Decides between a description and what is stored under its name.
///
/// # Errors
/// What is stored is being deleted, and can be neither changed nor replaced before it is gone.
fn admit(
    stored: Option<&Stored>,
    applied: &Version,
    kind: &'static str,
    name: &dyn std::fmt::Display,
) -> Result<Admission, StoreError> {
    let Some(stored) = stored else { return Ok(Admission::Write) };
    let says_nothing_new = applied.is_older_than(&stored.version);
    match (stored.deleting, says_nothing_new) {
        (true, _) if !says_nothing_new && *applied != stored.version => {
            Err(StoreError::BeingDeleted { kind, name: name.to_string() })
        }
        (true, _) | (false, true) => Ok(Admission::Keep),
        (false, false) => Ok(Admission::Write),
    }
}

#[cfg(test)]
pub(crate) mod test_database;
#[cfg(test)]
mod tests;
