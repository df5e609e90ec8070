use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use sqlx::{FromRow, PgConnection};

use super::{
    Applied, Deletion, Description, Store, StoreError, is_newer, next_version,
    one_member_at_a_time,
    row::{name, texts},
    slice::{Locked, lock, lock_or_reserve, mark_deleted, put},
    topology::lock_gateways,
};
use crate::domain::{GatewayKey, Kind, SliceMember, Version, union};

impl Store {
    /// Stores a cluster's part of a slice, unless a newer version is known, and makes the slice what
    /// its members describe together, unless it is described whole. Answers with its version.
    ///
    /// # Errors
    /// A gateway is unknown, or the tunnels would mix IP versions; the slice is described whole and
    /// without the cluster; no ordinal is left; the database failed.
    pub async fn apply_slice_member(
        &self,
        member: &SliceMember,
    ) -> Result<(Applied, Version), StoreError> {
        let mut tx = self.pool.begin().await?;
        one_member_at_a_time(&mut tx).await?;
        let stored = lock_or_reserve(&mut tx, &member.slice).await?;
        let mut members = match &stored {
            Some(stored) => members_of(&mut tx, &member.slice, stored.id).await?,
            None => Vec::new(),
        };
        let own = members.iter().position(|other| other.cluster == member.cluster);
        if let (Some(stored), Some(own)) = (&stored, own.map(|index| members.remove(index)))
            && !is_newer(member.version.precedence(&own.version), false)
        {
            return Ok((Applied::Unchanged, stored.version.clone()));
        }
        let (id, version) = match stored {
            Some(stored) if stored.description == Description::Whole && !stored.deleting => {
                refuse_stranger(&mut tx, stored.id, member).await?;
                lock_gateways(&mut tx, &member.gateway_keys().collect::<Vec<_>>()).await?;
                (stored.id, stored.version)
            }
            stored => {
                members.push(member.clone());
                put_union(&mut tx, &member.slice, stored.as_ref(), members).await?
            }
        };
        put_member(&mut tx, id, member).await?;
        tx.commit().await?;
        Ok((Applied::Stored, version))
    }

    /// Removes a cluster's part of a slice, and with the last one asks for the removal of the slice,
    /// unless it is described whole.
    ///
    /// # Errors
    /// Its networks, or one of them that spans the cluster, would be left behind; the database failed.
    pub async fn delete_slice_member(
        &self,
        slice: &Name,
        cluster: &Name,
    ) -> Result<Deletion, StoreError> {
        let mut tx = self.pool.begin().await?;
        one_member_at_a_time(&mut tx).await?;
        let Some(stored) = lock(&mut tx, slice).await? else { return Ok(Deletion::Gone) };
        let deleted = sqlx::query("DELETE FROM slice_member WHERE slice_id = $1 AND cluster = $2")
            .bind(stored.id)
            .bind(cluster.as_str())
            .execute(&mut *tx)
            .await?;
        if stored.description == Description::Whole {
            tx.commit().await?;
            return Ok(Deletion::Gone);
        }
        let members = members_of(&mut tx, slice, stored.id).await?;
        let is_last = members.is_empty();
        if is_last {
            mark_deleted(&mut tx, slice, stored.id).await?;
        } else if deleted.rows_affected() > 0 {
            put_union(&mut tx, slice, Some(&stored), members).await?;
        }
        let has_gateways: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM slice_gateway JOIN gateway ON gateway.id = gateway_id
                            WHERE slice_id = $1 AND cluster = $2)",
        )
        .bind(stored.id)
        .bind(cluster.as_str())
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let is_underway = is_last || has_gateways;
        Ok(if is_underway { Deletion::Underway } else { Deletion::Gone })
    }

    /// Names the slices that their members describe, one of whom names this gateway.
    ///
    /// # Errors
    /// The database failed.
    pub async fn slices_by_members_of(
        &self,
        gateway: &GatewayKey,
    ) -> Result<Vec<Name>, StoreError> {
        slices_by_members_of(&mut *self.pool.acquire().await?, gateway).await
    }
}

/// Makes slices what their members describe together, now that a gateway has another address.
///
/// # Errors
/// The database failed.
pub(super) async fn readdress(tx: &mut PgConnection, key: &GatewayKey) -> Result<(), StoreError> {
    for slice in slices_by_members_of(tx, key).await? {
        if let Some(stored) = lock(tx, &slice).await? {
            let members = members_of(tx, &slice, stored.id).await?;
            put_union(tx, &slice, Some(&stored), members).await?;
        }
    }
    Ok(())
}

/// Makes a slice what its members describe together, of whom there is one at least. Returns its id
/// and version.
///
/// # Errors
/// As of [`Store::apply_slice`].
pub(super) async fn put_union(
    tx: &mut PgConnection,
    slice: &Name,
    stored: Option<&Locked>,
    members: Vec<SliceMember>,
) -> Result<(i64, Version), StoreError> {
    let keys: Vec<_> = members.iter().flat_map(SliceMember::gateway_keys).collect();
    let gateways = lock_gateways(tx, &keys).await?;
    let underlay_addresses: BTreeMap<_, _> = gateways
        .into_iter()
        .map(|(key, gateway)| (key.clone(), gateway.underlay_address))
        .collect();
    let version = next_version(stored.map(|stored| (&stored.version, stored.description)));
    let slice = union(slice.clone(), version.clone(), members, &underlay_addresses);
    let id = put(tx, stored, &slice, Description::ByMembers).await?;
    Ok((id, version))
}

#[derive(FromRow)]
struct MemberRow {
    cluster: String,
    uid: String,
    generation: i64,
    gateways: Vec<String>,
    neighbors: Vec<IpAddr>,
}

/// Reads what clusters describe of a slice.
///
/// # Errors
/// The database failed.
pub(super) async fn members_of(
    tx: &mut PgConnection,
    slice: &Name,
    id: i64,
) -> Result<Vec<SliceMember>, StoreError> {
    let rows: Vec<MemberRow> = sqlx::query_as(
        "SELECT cluster, uid, generation, gateways, neighbors FROM slice_member
         WHERE slice_id = $1",
    )
    .bind(id)
    .fetch_all(tx)
    .await?;
    let member = |row: MemberRow| {
        Ok(SliceMember {
            slice: slice.clone(),
            cluster: name(&row.cluster)?,
            version: Version { uid: row.uid, generation: row.generation },
            gateways: row.gateways.iter().map(|node| name(node)).collect::<Result<_, _>>()?,
            neighbors: row.neighbors.into_iter().collect(),
        })
    };
    rows.into_iter().map(member).collect()
}

async fn put_member(
    tx: &mut PgConnection,
    slice: i64,
    member: &SliceMember,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO slice_member (slice_id, cluster, uid, generation, gateways, neighbors)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (slice_id, cluster) DO UPDATE
         SET uid = excluded.uid, generation = excluded.generation, gateways = excluded.gateways,
             neighbors = excluded.neighbors",
    )
    .bind(slice)
    .bind(member.cluster.as_str())
    .bind(&member.version.uid)
    .bind(member.version.generation)
    .bind(texts(&member.gateways))
    .bind(member.neighbors.iter().copied().collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

async fn refuse_stranger(
    tx: &mut PgConnection,
    slice: i64,
    member: &SliceMember,
) -> Result<(), StoreError> {
    let is_cluster: bool =
        sqlx::query_scalar("SELECT $2 = ANY (clusters) FROM slice WHERE id = $1")
            .bind(slice)
            .bind(member.cluster.as_str())
            .fetch_one(tx)
            .await?;
    if is_cluster {
        return Ok(());
    }
    let reason = format!("is described whole, without cluster {}", member.cluster);
    Err(StoreError::precondition(Kind::Slice, &member.slice, reason))
}

async fn slices_by_members_of(
    tx: &mut PgConnection,
    gateway: &GatewayKey,
) -> Result<Vec<Name>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM slice JOIN slice_member ON slice_id = slice.id
         WHERE by_members AND NOT deleting AND cluster = $1 AND $2 = ANY (gateways)
         ORDER BY name",
    )
    .bind(gateway.cluster.as_str())
    .bind(gateway.node.as_str())
    .fetch_all(tx)
    .await?;
    names.iter().map(|text| name(text)).collect()
}
