//! Blocks of addresses, and the choice of an address out of them.

use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::PgConnection;

use super::{Store, StoreError};
use crate::domain::{NetworkKey, reserved_addresses};

impl Store {
    /// Keeps a block that has been leased. Keeping it again is no change.
    ///
    /// # Errors
    /// The network is gone, or the database fails.
    pub(crate) async fn add_block(
        &self,
        network: &NetworkKey,
        block: IpNet,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO block (slice, network, cidr) VALUES ($1, $2, $3::cidr)
             ON CONFLICT DO NOTHING",
        )
        .bind(network.slice.as_str())
        .bind(network.name.as_str())
        .bind(block)
        .execute(&self.pool)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(cause) if cause.is_foreign_key_violation() => {
                StoreError::UnknownNetwork(network.clone())
            }
            _ => error.into(),
        })?;
        Ok(())
    }
}

/// The blocks that the cluster has of a network.
pub(super) async fn blocks(
    connection: &mut PgConnection,
    network: &NetworkKey,
) -> Result<Vec<IpNet>, sqlx::Error> {
    sqlx::query_scalar("SELECT cidr FROM block WHERE slice = $1 AND network = $2 ORDER BY cidr")
        .bind(network.slice.as_str())
        .bind(network.name.as_str())
        .fetch_all(connection)
        .await
}

/// The lowest address in the network's blocks that no port has.
///
/// It is the first of a block, or follows one that is reserved or in use, so only these are looked
/// at, whatever the size of the blocks.
pub(super) async fn lowest_free(
    connection: &mut PgConnection,
    network: &NetworkKey,
    cidr: &IpNet,
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
         ORDER BY candidate LIMIT 1",
    )
    .bind(network.slice.as_str())
    .bind(network.name.as_str())
    .bind(reserved_addresses(cidr))
    .bind(i32::from(cidr.max_prefix_len()))
    .bind(cidr.broadcast())
    .fetch_optional(connection)
    .await
}
