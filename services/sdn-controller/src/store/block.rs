//! Blocks of addresses, and the choice of an address out of them.

use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::PgConnection;

use super::{Store, StoreError};
use crate::domain::{NetworkKey, PortKey, reserved_addresses};

/// What the cluster has of a network when it needs more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockNeed {
    /// The blocks that it has.
    pub(crate) known: Vec<IpNet>,
    /// How many it has given back.
    pub(crate) releases: i64,
    /// The addresses of the network.
    pub(crate) cidr: IpNet,
}

impl Store {
    /// Keeps a block that has been leased, unless the network is gone or more blocks than
    /// `releases` have been given back: it may be one of them. Keeping it again is no change.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_block(
        &self,
        network: &NetworkKey,
        block: IpNet,
        releases: i64,
    ) -> Result<(), StoreError> {
        // The lock waits for a release that is being stored, and then sees its number.
        sqlx::query(
            "INSERT INTO block (slice, network, cidr)
             SELECT slice, name, $3::cidr FROM network
             WHERE slice = $1 AND name = $2 AND releases = $4 FOR SHARE
             ON CONFLICT DO NOTHING",
        )
        .bind(network.slice.as_str())
        .bind(network.name.as_str())
        .bind(block)
        .bind(releases)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The block that a port's address makes up alone, if it does.
    pub(crate) async fn single_block(&self, port: &PortKey) -> Result<Option<IpNet>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT cidr FROM block JOIN port USING (slice, network)
             WHERE slice = $1 AND network = $2 AND port.name = $3 AND cidr = address",
        )
        .bind(port.slice.as_str())
        .bind(port.network.as_str())
        .bind(port.name.as_str())
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Forgets the block that the address of a port on its way out makes up alone, if it does. The
/// network's row is locked, so that nobody keeps a block meanwhile.
pub(super) async fn forget_single(
    connection: &mut PgConnection,
    port: &PortKey,
) -> Result<(), sqlx::Error> {
    let forgotten = sqlx::query(
        "DELETE FROM block USING port
         WHERE block.slice = $1 AND block.network = $2 AND cidr = address
           AND port.slice = $1 AND port.network = $2 AND port.name = $3 AND deleting",
    )
    .bind(port.slice.as_str())
    .bind(port.network.as_str())
    .bind(port.name.as_str())
    .execute(&mut *connection)
    .await?;
    if forgotten.rows_affected() > 0 {
        sqlx::query("UPDATE network SET releases = releases + 1 WHERE slice = $1 AND name = $2")
            .bind(port.slice.as_str())
            .bind(port.network.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The blocks that the cluster has of a network whose row is locked.
pub(super) async fn need(
    connection: &mut PgConnection,
    network: &NetworkKey,
    cidr: IpNet,
) -> Result<BlockNeed, sqlx::Error> {
    let (releases, known) = sqlx::query_as(
        "SELECT releases, ARRAY(SELECT block.cidr FROM block
                                WHERE block.slice = $1 AND network = $2 ORDER BY block.cidr)
         FROM network WHERE slice = $1 AND name = $2",
    )
    .bind(network.slice.as_str())
    .bind(network.name.as_str())
    .fetch_one(connection)
    .await?;
    Ok(BlockNeed { known, releases, cidr })
}

/// The lowest address in the network's blocks that no port has or has asked for (`wished`). Single
/// addresses come last: they were leased because somebody chose them, and are given back with their ports.
///
/// It is the first of a block, or follows one that is reserved or in use, so only these are looked
/// at, whatever the size of the blocks.
pub(super) async fn lowest_free(
    connection: &mut PgConnection,
    network: &NetworkKey,
    cidr: &IpNet,
    wished: &[IpAddr],
) -> Result<Option<IpAddr>, sqlx::Error> {
    sqlx::query_scalar(
        "WITH ours AS (SELECT cidr FROM block WHERE slice = $1 AND network = $2),
              taken AS (SELECT address FROM port WHERE slice = $1 AND network = $2
                        UNION ALL SELECT unnest($3::inet[]))
         SELECT candidate FROM (
            SELECT set_masklen(cidr::inet, $4) FROM ours
            UNION ALL
            -- Nothing follows the last address, and of all addresses not even a number.
            SELECT address + 1 FROM taken WHERE address <> $5
         ) AS possible (candidate)
         WHERE EXISTS (SELECT FROM ours WHERE cidr >>= candidate)
           AND candidate <> ALL ($3)
           AND NOT EXISTS (SELECT FROM port
                           WHERE slice = $1 AND network = $2 AND address = candidate)
         ORDER BY EXISTS (SELECT FROM ours WHERE cidr = candidate), candidate LIMIT 1",
    )
    .bind(network.slice.as_str())
    .bind(network.name.as_str())
    .bind([&reserved_addresses(cidr), wished].concat())
    .bind(i32::from(cidr.max_prefix_len()))
    .bind(cidr.broadcast())
    .fetch_optional(connection)
    .await
}
