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

/// A cluster gives a block back.
#[derive(Clone, Debug)]
pub struct ReleaseRequest {
    /// The network.
    pub network: NetworkKey,
    /// The cluster.
    pub cluster: Name,
    /// The block, whole or of a single address.
    pub block: IpNet,
}

impl Store {
    /// Leases addresses of a network to a cluster: the one that it asks for, alone, or any: the
    /// highest block that nobody has and, when there is none, a single address of a shared block.
    /// Before a new block or address comes one that the cluster has and does not know of.
    ///
    /// # Errors
    /// The network is unknown, being deleted, without addresses, or not the cluster's; the address
    /// is not one for endpoints of the network, or another cluster's; no address is left; the
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

    /// Takes a block back from a cluster, if it has it. (If not, then another may have it.)
    ///
    /// # Errors
    /// An endpoint of the cluster has an address in it; the database failed.
    pub async fn release_block(&self, request: &ReleaseRequest) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(network) = lock_with_endpoints(&mut tx, &request.network).await? else {
            return Ok(());
        };
        let port: Option<String> = sqlx::query_scalar(
            "SELECT port FROM endpoint
             WHERE network_id = $1 AND cluster = $2 AND address <<= $3 AND NOT deleting LIMIT 1",
        )
        .bind(network)
        .bind(request.cluster.as_str())
        .bind(request.block)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(port) = port {
            let reason = format!(
                "has an endpoint with an address in {}: {port} in cluster {}",
                request.block, request.cluster
            );
            return Err(StoreError::precondition(Kind::Network, &request.network, reason));
        }
        if let Some(block) = remove(&mut tx, network, request).await? {
            // Of nothing and a block, the block is the greatest.
            sqlx::query("UPDATE network SET next_block = greatest(next_block, $2) WHERE id = $1")
                .bind(network)
                .bind(block)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

struct Locked {
    id: i64,
    cidr: IpNet,
    next_block: Option<IpNet>,
    /// What is leased to the cluster when it asks for any; none: out of all.
    address_range: Option<IpNet>,
}

impl Locked {
    /// Where addresses for the cluster are chosen.
    fn choice(&self) -> IpNet {
        self.address_range.unwrap_or(self.cidr)
    }
}

/// Lets one lease of a network be made at a time, so that each takes the highest block.
async fn lock(tx: &mut PgConnection, request: &LeaseRequest) -> Result<Locked, StoreError> {
    type Row = (i64, Option<IpNet>, Option<IpNet>, Option<IpNet>, bool, bool);
    let key = &request.network;
    let row: Option<Row> = sqlx::query_as(
        "SELECT network.id, cidr, next_block,
                (SELECT address_range FROM network_member
                 WHERE network_id = network.id AND cluster = $3),
                network.deleting, $3 = ANY (network.clusters)
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
        Some((.., true, _)) => refused("is being deleted"),
        Some((.., false)) => refused("does not span the cluster"),
        Some((_, None, ..)) => refused("has no addresses"),
        Some((id, Some(cidr), next_block, address_range, ..)) => {
            Ok(Locked { id, cidr, next_block, address_range })
        }
    }
}

/// Keeps leases from being made, and endpoints from getting addresses, until the transaction ends.
async fn lock_with_endpoints(
    tx: &mut PgConnection,
    key: &NetworkKey,
) -> Result<Option<i64>, StoreError> {
    let id = sqlx::query_scalar(
        "SELECT network.id FROM network JOIN slice ON slice.id = slice_id
         WHERE slice.name = $1 AND network.name = $2 FOR UPDATE OF network",
    )
    .bind(key.slice.as_str())
    .bind(key.name.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(id)
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
    let single = IpNet::from(address);
    let recorded: Option<Option<String>> =
        sqlx::query_scalar("SELECT cluster FROM block WHERE network_id = $1 AND block = $2")
            .bind(network.id)
            .bind(block)
            .fetch_optional(&mut *tx)
            .await?;
    match recorded {
        Some(Some(holder)) => return held(request, address, block, &holder),
        Some(None) => {}
        None if block == single => {
            insert(tx, network, block, Some(&request.cluster)).await?;
            return Ok(block);
        }
        None => insert(tx, network, block, None).await?,
    }
    let holder: Option<String> = sqlx::query_scalar(
        "SELECT cluster FROM single_address WHERE network_id = $1 AND address = $2",
    )
    .bind(network.id)
    .bind(single)
    .fetch_optional(&mut *tx)
    .await?;
    match holder {
        Some(holder) => held(request, address, single, &holder),
        None => insert_single(tx, network, block, single, &request.cluster).await,
    }
}

/// The answer to a request for an address in a block that somebody has.
fn held(
    request: &LeaseRequest,
    address: IpAddr,
    block: IpNet,
    holder: &str,
) -> Result<IpNet, StoreError> {
    if holder == request.cluster.as_str() {
        return Ok(block);
    }
    let reason = format!("has leased {address} to cluster {holder}, in block {block}");
    Err(StoreError::precondition(Kind::Network, &request.network, reason))
}

/// Single addresses come last, also those that the cluster does not know of: a port may be about to
/// get the one that it asked for.
async fn lease_any(
    tx: &mut PgConnection,
    network: &Locked,
    request: &LeaseRequest,
) -> Result<IpNet, StoreError> {
    let unknown: Option<IpNet> = sqlx::query_scalar(
        "SELECT block FROM block WHERE network_id = $1 AND cluster = $2 AND block <> ALL ($3)
         AND block <<= $4
         ORDER BY block DESC LIMIT 1",
    )
    .bind(network.id)
    .bind(request.cluster.as_str())
    .bind(&request.known_blocks)
    .bind(network.choice())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(block) = unknown {
        return Ok(block);
    }
    if let Some(block) = lease_last(tx, network, &request.cluster).await? {
        return Ok(block);
    }
    let unknown: Option<IpNet> = sqlx::query_scalar(
        "SELECT address FROM single_address
         WHERE network_id = $1 AND cluster = $2 AND address <> ALL ($3) AND address <<= $4
         ORDER BY address DESC LIMIT 1",
    )
    .bind(network.id)
    .bind(request.cluster.as_str())
    .bind(&request.known_blocks)
    .bind(network.choice())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(single) = unknown {
        return Ok(single);
    }
    share_block_of_range(tx, network).await?;
    let (block, single) =
        last_single(tx, network).await?.ok_or(StoreError::Exhausted("address of the network"))?;
    insert_single(tx, network, block, single, &request.cluster).await
}

/// Leases the highest block that nobody has, if there is one, out of those for the cluster.
async fn lease_last(
    tx: &mut PgConnection,
    network: &Locked,
    cluster: &Name,
) -> Result<Option<IpNet>, StoreError> {
    let from = match network.address_range {
        // Blocks above this one may be free, outside of the range.
        Some(range) => addressing::block_of(network.cidr, range.broadcast()),
        None => network.next_block,
    };
    let Some(from) = from else { return Ok(None) };
    // Few: of a range, or blocks in which addresses were asked for.
    let recorded: Vec<IpNet> = sqlx::query_scalar(
        "SELECT block FROM block WHERE network_id = $1 AND block <= $2 ORDER BY block DESC",
    )
    .bind(network.id)
    .bind(from)
    .fetch_all(&mut *tx)
    .await?;
    let block = addressing::last_free(network.cidr, from, recorded);
    let block = block.filter(|block| network.choice().contains(block));
    if network.address_range.is_none() {
        sqlx::query("UPDATE network SET next_block = $2 WHERE id = $1")
            .bind(network.id)
            .bind(block.and_then(|block| addressing::preceding(network.cidr, block)))
            .execute(&mut *tx)
            .await?;
    }
    if let Some(block) = block {
        insert(tx, network, block, Some(cluster)).await?;
    }
    Ok(block)
}

/// Has the addresses of a range that is smaller than a block leased one by one.
async fn share_block_of_range(tx: &mut PgConnection, network: &Locked) -> Result<(), StoreError> {
    let Some(range) = network.address_range else { return Ok(()) };
    let block = addressing::block_of(network.cidr, range.network());
    let Some(block) = block.filter(|block| !range.contains(block)) else { return Ok(()) };
    let is_recorded: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM block WHERE network_id = $1 AND block = $2)",
    )
    .bind(network.id)
    .bind(block)
    .fetch_one(&mut *tx)
    .await?;
    if is_recorded { Ok(()) } else { insert(tx, network, block, None).await }
}

/// The highest address in the network's shared blocks, out of those for the cluster, that nobody
/// has, with its block.
///
/// It is the last of a block or of the range, or precedes one that is reserved or leased, so only
/// these are looked at, whatever the size of the blocks.
async fn last_single(
    tx: &mut PgConnection,
    network: &Locked,
) -> Result<Option<(IpNet, IpNet)>, StoreError> {
    let pair = sqlx::query_as(
        "SELECT block, candidate FROM (
            SELECT set_masklen(broadcast(block), $3) FROM block WHERE network_id = $1 AND shared
            UNION ALL
            -- Never of the first of all addresses, of which there is no number below.
            SELECT address::inet - 1 FROM single_address WHERE network_id = $1
            UNION ALL
            SELECT $4::inet - 1
            UNION ALL
            SELECT set_masklen(broadcast($6), $3)
         ) AS possible (candidate)
         JOIN block ON network_id = $1 AND shared AND block = network(set_masklen(candidate, $2))
         WHERE candidate <> ALL ($5::inet[]) AND candidate <<= $6
           AND NOT EXISTS (SELECT FROM single_address
                           WHERE network_id = $1 AND address = candidate)
         ORDER BY candidate DESC LIMIT 1",
    )
    .bind(network.id)
    .bind(i32::from(addressing::block_prefix(network.cidr)))
    .bind(i32::from(network.cidr.max_prefix_len()))
    .bind(network.cidr.broadcast())
    .bind(addressing::reserved(network.cidr))
    .bind(network.choice())
    .fetch_optional(tx)
    .await?;
    Ok(pair)
}

/// Records a block, leased to a cluster or shared.
async fn insert(
    tx: &mut PgConnection,
    network: &Locked,
    block: IpNet,
    cluster: Option<&Name>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO block (network_id, network_cidr, prefix, block, cluster)
         VALUES ($1, $2, masklen($3), $3, $4)",
    )
    .bind(network.id)
    .bind(network.cidr)
    .bind(block)
    .bind(cluster.map(Name::as_str))
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_single(
    tx: &mut PgConnection,
    network: &Locked,
    block: IpNet,
    single: IpNet,
    cluster: &Name,
) -> Result<IpNet, StoreError> {
    sqlx::query(
        "INSERT INTO single_address (network_id, block, address, cluster) VALUES ($1, $2, $3, $4)",
    )
    .bind(network.id)
    .bind(block)
    .bind(single)
    .bind(cluster.as_str())
    .execute(tx)
    .await?;
    Ok(single)
}

/// Removes a cluster's lease; answers with the block that can be leased as a whole now, if one can.
async fn remove(
    tx: &mut PgConnection,
    network: i64,
    request: &ReleaseRequest,
) -> Result<Option<IpNet>, StoreError> {
    let whole = sqlx::query_scalar(
        "DELETE FROM block WHERE network_id = $1 AND block = $2 AND cluster = $3 RETURNING block",
    )
    .bind(network)
    .bind(request.block)
    .bind(request.cluster.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    if whole.is_some() {
        return Ok(whole);
    }
    let shared: Option<IpNet> = sqlx::query_scalar(
        "DELETE FROM single_address WHERE network_id = $1 AND address = $2 AND cluster = $3
         RETURNING block",
    )
    .bind(network)
    .bind(request.block)
    .bind(request.cluster.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(shared) = shared else { return Ok(None) };
    let emptied = sqlx::query_scalar(
        "DELETE FROM block WHERE network_id = $1 AND block = $2 AND shared
         AND NOT EXISTS (SELECT FROM single_address WHERE network_id = $1 AND block = $2)
         RETURNING block",
    )
    .bind(network)
    .bind(shared)
    .fetch_optional(tx)
    .await?;
    Ok(emptied)
}
