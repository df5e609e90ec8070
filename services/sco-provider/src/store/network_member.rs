use ipnet::IpNet;
use l2sces_model::Name;
use sqlx::PgConnection;

use super::{
    Applied, Deletion, Description, Store, StoreError, is_newer,
    network::{Locked, lock, lock_slice, mark_deleted},
    next_version,
    row::traceparent,
};
use crate::domain::{Identity, Kind, Network, NetworkKey, NetworkMember, Version};

impl Store {
    /// Stores a cluster's part of a network, unless a newer version is known, and makes the network
    /// what its members describe together, unless it is described whole. Answers with its version and
    /// identity.
    ///
    /// # Errors
    /// Its slice is unknown, or lacks the cluster; the network is described whole and without the
    /// cluster, or with another CIDR, or is being deleted; no VNI is left; the database failed.
    pub async fn apply_network_member(
        &self,
        member: &NetworkMember,
    ) -> Result<(Applied, Version, Identity), StoreError> {
        let key = &member.network;
        let mut tx = self.pool.begin().await?;
        let slice = lock_slice(&mut tx, key).await?;
        if !slice.clusters.iter().any(|cluster| cluster == member.cluster.as_str()) {
            let reason = format!("lacks cluster {}", member.cluster);
            return Err(StoreError::precondition(Kind::Slice, &key.slice, reason));
        }
        let network = Network {
            key: key.clone(),
            version: next_version(None),
            clusters: vec![member.cluster.clone()],
            cidr: member.cidr,
        };
        let (stored, is_new) =
            self.lock_or_insert(&mut tx, &slice, &network, Description::ByMembers).await?;
        if stored.deleting {
            return Err(StoreError::precondition(Kind::Network, key, "is being deleted"));
        }
        let own = member_version(&mut tx, stored.id, &member.cluster).await?;
        if own.is_some_and(|own| !is_newer(member.version.precedence(&own), false)) {
            return Ok((Applied::Unchanged, stored.version, stored.identity));
        }
        check_cidr(&mut tx, &stored, key, Some(&member.cluster), member.cidr).await?;
        let version = match stored.description {
            _ if is_new => stored.version.clone(),
            Description::Whole => {
                refuse_stranger(&mut tx, &stored, member).await?;
                stored.version.clone()
            }
            Description::ByMembers => next_version(Some((&stored.version, stored.description))),
        };
        put_member(&mut tx, stored.id, member).await?;
        if stored.description == Description::ByMembers && !is_new {
            put_union(&mut tx, stored.id, &version).await?;
        }
        tx.commit().await?;
        Ok((Applied::Stored, version, stored.identity))
    }

    /// Removes a cluster's part of a network, and with the last one asks for the removal of the
    /// network, unless it is described whole.
    ///
    /// # Errors
    /// It has endpoints in the cluster that are to stay; the database failed.
    pub async fn delete_network_member(
        &self,
        key: &NetworkKey,
        cluster: &Name,
    ) -> Result<Deletion, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(stored) = lock(&mut tx, key).await? else { return Ok(Deletion::Gone) };
        let deleted =
            sqlx::query("DELETE FROM network_member WHERE network_id = $1 AND cluster = $2")
                .bind(stored.id)
                .bind(cluster.as_str())
                .execute(&mut *tx)
                .await?;
        if stored.description == Description::Whole {
            tx.commit().await?;
            return Ok(Deletion::Gone);
        }
        if deleted.rows_affected() > 0 && !has_members(&mut tx, stored.id).await? {
            mark_deleted(&mut tx, &stored, key).await?;
            tx.commit().await?;
            return Ok(Deletion::Underway);
        }
        if deleted.rows_affected() > 0 {
            refuse_to_strand_endpoints(&mut tx, stored.id, key).await?;
            let version = next_version(Some((&stored.version, stored.description)));
            put_union(&mut tx, stored.id, &version).await?;
        }
        let has_endpoints: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM endpoint WHERE network_id = $1 AND cluster = $2)",
        )
        .bind(stored.id)
        .bind(cluster.as_str())
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let is_underway = stored.deleting || has_endpoints;
        Ok(if is_underway { Deletion::Underway } else { Deletion::Gone })
    }
}

/// Whether clusters describe a network.
///
/// # Errors
/// The database failed.
pub(super) async fn has_members(tx: &mut PgConnection, network: i64) -> Result<bool, StoreError> {
    let has =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM network_member WHERE network_id = $1)")
            .bind(network)
            .fetch_one(tx)
            .await?;
    Ok(has)
}

/// Makes a network what its members describe together, in place of a whole description.
///
/// # Errors
/// It has endpoints in a cluster that is no member; the database failed.
pub(super) async fn leave_to_members(
    tx: &mut PgConnection,
    stored: &Locked,
    key: &NetworkKey,
) -> Result<(), StoreError> {
    refuse_to_strand_endpoints(tx, stored.id, key).await?;
    let version = next_version(Some((&stored.version, stored.description)));
    put_union(tx, stored.id, &version).await
}

/// Refuses another CIDR than the network has, as a cluster describes it, or a whole description.
///
/// # Errors
/// It is another; the database failed.
pub(super) async fn check_cidr(
    tx: &mut PgConnection,
    stored: &Locked,
    key: &NetworkKey,
    cluster: Option<&Name>,
    cidr: Option<IpNet>,
) -> Result<(), StoreError> {
    if stored.cidr == cidr {
        return Ok(());
    }
    let addresses = stored.cidr.map_or_else(|| "no addresses".to_owned(), |cidr| cidr.to_string());
    if stored.description == Description::Whole && cluster.is_some() {
        let reason = format!("is described whole, with {addresses}");
        return Err(StoreError::precondition(Kind::Network, key, reason));
    }
    let other: Option<String> = sqlx::query_scalar(
        "SELECT cluster FROM network_member
         WHERE network_id = $1 AND cluster IS DISTINCT FROM $2 LIMIT 1",
    )
    .bind(stored.id)
    .bind(cluster.map(Name::as_str))
    .fetch_optional(tx)
    .await?;
    match other {
        Some(other) if stored.description == Description::ByMembers => {
            let reason = format!("is described by cluster {other} with {addresses}");
            Err(StoreError::precondition(Kind::Network, key, reason))
        }
        _ => Err(StoreError::invalid("cidr", "cannot be changed")),
    }
}

async fn refuse_to_strand_endpoints(
    tx: &mut PgConnection,
    network: i64,
    key: &NetworkKey,
) -> Result<(), StoreError> {
    let stranded: Option<(String, String)> = sqlx::query_as(
        "SELECT cluster, port FROM endpoint
         WHERE network_id = $1 AND NOT deleting
         AND cluster NOT IN (SELECT cluster FROM network_member WHERE network_id = $1) LIMIT 1",
    )
    .bind(network)
    .fetch_optional(tx)
    .await?;
    match stranded {
        Some((cluster, port)) => {
            let reason = format!("has endpoints, such as {port} in cluster {cluster}");
            Err(StoreError::precondition(Kind::Network, key, reason))
        }
        None => Ok(()),
    }
}

async fn member_version(
    tx: &mut PgConnection,
    network: i64,
    cluster: &Name,
) -> Result<Option<Version>, StoreError> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "SELECT uid, generation FROM network_member WHERE network_id = $1 AND cluster = $2",
    )
    .bind(network)
    .bind(cluster.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(uid, generation)| Version { uid, generation }))
}

async fn put_member(
    tx: &mut PgConnection,
    network: i64,
    member: &NetworkMember,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO network_member (network_id, cluster, uid, generation, address_range)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (network_id, cluster) DO UPDATE
         SET uid = excluded.uid, generation = excluded.generation,
             address_range = excluded.address_range",
    )
    .bind(network)
    .bind(member.cluster.as_str())
    .bind(&member.version.uid)
    .bind(member.version.generation)
    .bind(member.address_range)
    .execute(tx)
    .await?;
    Ok(())
}

/// Has a network span the clusters of its members.
async fn put_union(
    tx: &mut PgConnection,
    network: i64,
    version: &Version,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE network SET uid = $2, generation = $3, traceparent = $4, by_members = true,
                clusters = ARRAY(SELECT cluster FROM network_member WHERE network_id = $1
                                 ORDER BY cluster)
         WHERE id = $1",
    )
    .bind(network)
    .bind(&version.uid)
    .bind(version.generation)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(())
}

async fn refuse_stranger(
    tx: &mut PgConnection,
    stored: &Locked,
    member: &NetworkMember,
) -> Result<(), StoreError> {
    let is_spanned: bool =
        sqlx::query_scalar("SELECT $2 = ANY (clusters) FROM network WHERE id = $1")
            .bind(stored.id)
            .bind(member.cluster.as_str())
            .fetch_one(tx)
            .await?;
    if is_spanned {
        return Ok(());
    }
    let reason = format!("is described whole, without cluster {}", member.cluster);
    Err(StoreError::precondition(Kind::Network, &member.network, reason))
}
