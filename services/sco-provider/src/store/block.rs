use std::net::IpAddr;

use ipnet::IpNet;
use l2sces_model::Name;
use sqlx::PgConnection;

use super::{Store, StoreError};
use crate::domain::{Kind, NetworkKey, addressing};

/// A cluster asks for a block of a network's addresses.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The network.
    pub network: NetworkKey,
    /// The cluster.
    pub cluster: Name,
    /// The blocks that the cluster knows it has.
    pub known_blocks: Vec<IpNet>,
    /// An address that the block must contain.
    pub address: Option<IpAddr>,
}

impl Store {
    /// Leases a block of a network's addresses to a cluster: one that it has and does not know of,
    /// the one with the address that it asks for, or else the lowest that nobody has.
    ///
    /// # Errors
    /// The network is unknown, being deleted, without addresses, or not the cluster's; the address
    /// is not one for endpoints of the network, or another cluster's; no block is left; the
    /// database failed.
    pub async fn lease_block(&self, request: &LeaseRequest) -> Result<IpNet, StoreError> {
        let mut tx = self.pool.begin().await?;
        let network = lock(&mut tx, request).await?;
        let block = match request.address {
            Some(address) => lease_address(&mut tx, &network, request, address).await?,
            None => lease_any(&mut tx, &network, request).await?,
        };
        tx.commit().await?;
        Ok(block)
    }
}

struct Locked {
    id: i64,
    cidr: IpNet,
    next_block: Option<IpNet>,
}

/// Lets one lease of a network be made at a time, so that each takes the lowest block.
async fn lock(tx: &mut PgConnection, request: &LeaseRequest) -> Result<Locked, StoreError> {
    type Row = (i64, Option<IpNet>, Option<IpNet>, bool, bool);
    let key = &request.network;
    let row: Option<Row> = sqlx::query_as(
        "SELECT network.id, cidr, next_block, network.deleting, $3 = ANY (network.clusters)
         FROM network JOIN slice ON slice.id = slice_id
         WHERE slice.name = $1 AND network.name = $2 FOR NO KEY UPDATE OF network",
    )
    .bind(key.slice.as_str())
    .bind(key.name.as_str())
    .bind(request.cluster.as_str())
    .fetch_optional(tx)
    .await?;
    let refused = |reason: &str| Err(StoreError::precondition(Kind::Network, key, reason));
    match row {
        None => Err(StoreError::not_found(Kind::Network, key)),
        Some((_, _, _, true, _)) => refused("is being deleted"),
        Some((_, _, _, _, false)) => refused("does not span the cluster"),
        Some((_, None, ..)) => refused("has no addresses"),
        Some((id, Some(cidr), next_block, ..)) => Ok(Locked { id, cidr, next_block }),
    }
}

async fn lease_address(
    tx: &mut PgConnection,
    network: &Locked,
    request: &LeaseRequest,
    address: IpAddr,
) -> Result<IpNet, StoreError> {
    let outside = || StoreError::invalid("address", format!("must be in {}", network.cidr));
    let block = addressing::block_of(network.cidr, address).ok_or_else(outside)?;
    if !addressing::is_assignable(network.cidr, address) {
        return Err(StoreError::invalid("address", "must not be the first or last of the network"));
    }
    let holder: Option<String> =
        sqlx::query_scalar("SELECT cluster FROM block WHERE network_id = $1 AND block = $2")
            .bind(network.id)
            .bind(block)
            .fetch_optional(&mut *tx)
            .await?;
    match holder {
        None => insert(tx, network, block, &request.cluster).await,
        Some(holder) if holder == request.cluster.as_str() => Ok(block),
        Some(holder) => Err(StoreError::precondition(
            Kind::Network,
            &request.network,
            format!("has leased {address} to cluster {holder}, in block {block}"),
        )),
    }
}

async fn lease_any(
    tx: &mut PgConnection,
    network: &Locked,
    request: &LeaseRequest,
) -> Result<IpNet, StoreError> {
    let unknown: Option<IpNet> = sqlx::query_scalar(
        "SELECT block FROM block WHERE network_id = $1 AND cluster = $2 AND block <> ALL ($3)
         ORDER BY block LIMIT 1",
    )
    .bind(network.id)
    .bind(request.cluster.as_str())
    .bind(&request.known_blocks)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(block) = unknown {
        return Ok(block);
    }
    let exhausted = || StoreError::Exhausted("address block of the network");
    let from = network.next_block.ok_or_else(exhausted)?;
    // Few: blocks at or above this one were asked for by an address in them.
    let leased: Vec<IpNet> = sqlx::query_scalar(
        "SELECT block FROM block WHERE network_id = $1 AND block >= $2 ORDER BY block",
    )
    .bind(network.id)
    .bind(from)
    .fetch_all(&mut *tx)
    .await?;
    let block = addressing::first_free(network.cidr, from, leased).ok_or_else(exhausted)?;
    sqlx::query("UPDATE network SET next_block = $2 WHERE id = $1")
        .bind(network.id)
        .bind(addressing::following(network.cidr, block))
        .execute(&mut *tx)
        .await?;
    insert(tx, network, block, &request.cluster).await
}

async fn insert(
    tx: &mut PgConnection,
    network: &Locked,
    block: IpNet,
    cluster: &Name,
) -> Result<IpNet, StoreError> {
    sqlx::query(
        "INSERT INTO block (network_id, network_cidr, prefix, block, cluster)
         VALUES ($1, $2, masklen($3), $3, $4)",
    )
    .bind(network.id)
    .bind(network.cidr)
    .bind(block)
    .bind(cluster.as_str())
    .execute(tx)
    .await?;
    Ok(block)
}
