//! The sco-provider's tables. Every method is one transaction: durable when it returns, without
//! effect when it fails.

mod block;
mod endpoint;
mod error;
mod gateway;
mod network;
mod network_member;
mod plan;
mod row;
mod slice;
mod slice_member;
mod topology;

use std::ops::RangeInclusive;

use l2sces_model::Vni;
use sqlx::{PgConnection, PgPool, migrate::Migrator};
use uuid::Uuid;

pub use block::{LeaseRequest, ReleaseRequest};
pub use endpoint::Claims;
pub use error::StoreError;
pub use gateway::GatewayLinks;
pub use network::NetworkRemoval;

use crate::domain::{Kind, Precedence, Version};

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The sco-provider's tables.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    vnis: RangeInclusive<u32>,
    underlay_mtu: u32,
}

/// What became of an applied object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was stored.
    Stored,
    /// It was stored already, or a newer version was.
    Unchanged,
}

/// Who describes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Description {
    /// One call describes the whole, and prevails over members.
    Whole,
    /// The clusters do, each its own part.
    ByMembers,
}

impl Description {
    fn stored(by_members: bool) -> Self {
        if by_members { Self::ByMembers } else { Self::Whole }
    }

    fn is_by_members(self) -> bool {
        self == Self::ByMembers
    }
}

/// What became of a request to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There is nothing left.
    Gone,
    /// It is asked for, durably.
    Underway,
}

impl Store {
    /// The tables behind `pool`, already migrated. Networks get identifiers out of `vnis` and an
    /// MTU that fits an underlay of `underlay_mtu` bytes.
    pub fn new(pool: PgPool, vnis: RangeInclusive<u32>, underlay_mtu: u32) -> Self {
        Self { pool, vnis, underlay_mtu }
    }

    /// Every identifier that a network can have.
    pub fn all_vnis() -> RangeInclusive<u32> {
        1..=Vni::MAX.get()
    }

    /// The key that authenticates link discovery.
    ///
    /// # Errors
    /// The database failed.
    pub async fn discovery_key(&self) -> Result<[u8; 32], StoreError> {
        let key: Vec<u8> =
            sqlx::query_scalar("SELECT key FROM discovery_key").fetch_one(&self.pool).await?;
        key.try_into().map_err(|_| StoreError::Corrupt("the discovery key has not 32 bytes"))
    }
}

/// Whether a version that arrives for a stored object is to be stored. `deleting` objects are not
/// brought back by a call that was made before their deletion.
fn is_newer(precedence: Precedence, deleting: bool) -> bool {
    match precedence {
        Precedence::Older | Precedence::Same => false,
        Precedence::Newer => !deleting,
        Precedence::Replaces => true,
    }
}

/// Lets one transaction at a time make objects of a kind, so that two neither make the same object
/// nor choose the same number for theirs.
async fn one_at_a_time(tx: &mut PgConnection, kind: Kind) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('sco-provider ' || $1))")
        .bind(kind.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// Lets one transaction at a time change what members describe, so that each sees all of the others.
async fn one_member_at_a_time(tx: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('sco-provider members'))")
        .execute(tx)
        .await?;
    Ok(())
}

/// The version of what members describe together, after what is stored. Another life when it has been
/// described whole.
fn next_version(stored: Option<(&Version, Description)>) -> Version {
    match stored {
        Some((version, Description::ByMembers)) => {
            Version { uid: version.uid.clone(), generation: version.generation + 1 }
        }
        _ => Version { uid: Uuid::new_v4().to_string(), generation: 1 },
    }
}
