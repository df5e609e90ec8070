use l2sces_measurement::Policy;
use l2sces_model::Name;
use sqlx::PgConnection;

use super::{
    Applied, Deletion, Description, Store, StoreError, is_newer, one_at_a_time,
    row::{SliceRow, name, texts, traceparent},
    slice_member::{members_of, put_union},
    topology::{replace_gateways, replace_links},
};
use crate::domain::{GatewayKey, Kind, NetworkKey, Slice, StoredSlice, Topology, Version};

macro_rules! select_slices {
    ($rest:literal) => {
        concat!(
            "SELECT name, uid, generation, ordinal, clusters, topology_version, measurement,
                    deleting, traceparent,
                    ARRAY(SELECT gateway.cluster FROM slice_gateway
                          JOIN gateway ON gateway.id = gateway_id
                          WHERE slice_id = slice.id ORDER BY position) AS gateway_clusters,
                    ARRAY(SELECT gateway.node FROM slice_gateway
                          JOIN gateway ON gateway.id = gateway_id
                          WHERE slice_id = slice.id ORDER BY position) AS gateway_nodes,
                    ARRAY(SELECT leaving FROM slice_gateway
                          WHERE slice_id = slice.id ORDER BY position) AS gateways_leaving,
                    ARRAY(SELECT cluster_a FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS links_a,
                    ARRAY(SELECT node_a FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS nodes_a,
                    ARRAY(SELECT cluster_b FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS links_b,
                    ARRAY(SELECT node_b FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS nodes_b,
                    ARRAY(SELECT cost FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS costs,
                    ARRAY(SELECT leaving FROM slice_link WHERE slice_id = slice.id
                          ORDER BY cluster_a, cluster_b, node_a, node_b) AS links_leaving
             FROM slice ",
            $rest
        )
    };
}

impl Store {
    /// Stores a slice, unless a newer version is known. Members that describe it do so in vain from
    /// then on.
    ///
    /// # Errors
    /// A gateway is unknown, or the tunnels would mix IP versions; a network spans a cluster that
    /// the slice is to lose; no ordinal is left; the database failed.
    pub async fn apply_slice(&self, slice: &Slice) -> Result<Applied, StoreError> {
        let mut tx = self.pool.begin().await?;
        let stored = lock_or_reserve(&mut tx, &slice.name).await?;
        if let Some(stored) = &stored
            && stored.description == Description::Whole
            && !is_newer(slice.version.precedence(&stored.version), stored.deleting)
        {
            return Ok(Applied::Unchanged);
        }
        put(&mut tx, stored.as_ref(), slice, Description::Whole).await?;
        tx.commit().await?;
        Ok(Applied::Stored)
    }

    /// Asks for the removal of a slice that is described whole. One that has members is what they
    /// describe then.
    ///
    /// # Errors
    /// It has networks that it would leave behind; the database failed.
    pub async fn delete_slice(&self, name: &Name) -> Result<Deletion, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(stored) = lock(&mut tx, name).await? else { return Ok(Deletion::Gone) };
        if stored.description == Description::ByMembers {
            return Ok(Deletion::Gone);
        }
        let members = members_of(&mut tx, name, stored.id).await?;
        let deletion = if members.is_empty() {
            mark_deleted(&mut tx, name, stored.id).await?;
            Deletion::Underway
        } else {
            put_union(&mut tx, name, Some(&stored), members).await?;
            Deletion::Gone
        };
        tx.commit().await?;
        Ok(deletion)
    }

    /// Forgets a slice whose removal was asked for and is complete. False: it is wanted again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_slice(&self, name: &Name) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM slice WHERE name = $1 AND deleting")
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Reads a slice.
    ///
    /// # Errors
    /// The database failed.
    pub async fn slice(&self, name: &Name) -> Result<Option<StoredSlice>, StoreError> {
        let row: Option<SliceRow> = sqlx::query_as(select_slices!("WHERE name = $1"))
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(StoredSlice::try_from).transpose()
    }

    /// Reads every slice.
    ///
    /// # Errors
    /// The database failed.
    pub async fn slices(&self) -> Result<Vec<StoredSlice>, StoreError> {
        let rows: Vec<SliceRow> =
            sqlx::query_as(select_slices!("ORDER BY id")).fetch_all(&self.pool).await?;
        rows.into_iter().map(StoredSlice::try_from).collect()
    }

    /// Forgets the gateways and links that a slice has lost, if none of its networks goes by them any
    /// more: each has its plan for the slice as it is, and no other. Returns whether there were any.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_leaving(&self, name: &Name) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(Locked { id, .. }) = lock(&mut tx, name).await? else { return Ok(false) };
        let is_used: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                SELECT FROM network JOIN slice ON slice.id = slice_id
                WHERE slice.id = $1 AND NOT network.deleting AND cardinality(network.clusters) > 1
                AND (planned_for IS DISTINCT FROM topology_version OR former_epoch IS NOT NULL))",
        )
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        if is_used {
            return Ok(false);
        }
        let mut forgotten = 0;
        for statement in [
            "DELETE FROM slice_gateway WHERE slice_id = $1 AND leaving",
            "DELETE FROM slice_link WHERE slice_id = $1 AND leaving",
        ] {
            forgotten += sqlx::query(statement).bind(id).execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(forgotten > 0)
    }

    /// Reads the slices that have a gateway, are to stay, and have their links measured.
    ///
    /// # Errors
    /// The database failed.
    pub async fn measured_slices_of(
        &self,
        gateway: &GatewayKey,
    ) -> Result<Vec<StoredSlice>, StoreError> {
        let rows: Vec<SliceRow> = sqlx::query_as(select_slices!(
            "WHERE measurement IS NOT NULL AND NOT deleting AND id IN
                (SELECT slice_id FROM slice_gateway JOIN gateway ON gateway.id = gateway_id
                 WHERE gateway.cluster = $1 AND gateway.node = $2)
             ORDER BY id"
        ))
        .bind(gateway.cluster.as_str())
        .bind(gateway.node.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredSlice::try_from).collect()
    }

    /// Names the networks of a slice.
    ///
    /// # Errors
    /// The database failed.
    pub async fn networks_of(&self, slice: &Name) -> Result<Vec<NetworkKey>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT network.name FROM network JOIN slice ON slice.id = slice_id
             WHERE slice.name = $1",
        )
        .bind(slice.as_str())
        .fetch_all(&self.pool)
        .await?;
        names
            .iter()
            .map(|text| Ok(NetworkKey { slice: slice.clone(), name: name(text)? }))
            .collect()
    }
}

/// A slice that nobody else can change until the transaction ends.
pub(super) struct Locked {
    pub(super) id: i64,
    pub(super) version: Version,
    pub(super) deleting: bool,
    pub(super) description: Description,
}

/// Keeps a slice as it is until the transaction ends: nobody can give it a network, or delete it.
pub(super) async fn lock(tx: &mut PgConnection, name: &Name) -> Result<Option<Locked>, StoreError> {
    let row: Option<(i64, String, i64, bool, bool)> = sqlx::query_as(
        "SELECT id, uid, generation, deleting, by_members FROM slice WHERE name = $1 FOR UPDATE",
    )
    .bind(name.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(id, uid, generation, deleting, by_members)| Locked {
        id,
        version: Version { uid, generation },
        deleting,
        description: Description::stored(by_members),
    }))
}

/// The same; if there is no such slice, nobody else can make one until the transaction ends.
pub(super) async fn lock_or_reserve(
    tx: &mut PgConnection,
    name: &Name,
) -> Result<Option<Locked>, StoreError> {
    let stored = lock(&mut *tx, name).await?;
    if stored.is_some() {
        return Ok(stored);
    }
    one_at_a_time(&mut *tx, Kind::Slice).await?;
    lock(tx, name).await
}

/// Makes a slice, or makes the stored one what `slice` says. Returns its id.
///
/// # Errors
/// As of [`Store::apply_slice`].
pub(super) async fn put(
    tx: &mut PgConnection,
    stored: Option<&Locked>,
    slice: &Slice,
    description: Description,
) -> Result<i64, StoreError> {
    let id = match stored {
        None => insert(tx, slice, description).await?,
        Some(stored) => {
            refuse_to_strand_networks(tx, stored.id, slice).await?;
            let changes_topology = !has_topology_of(tx, slice).await?;
            update(tx, stored.id, slice, changes_topology, description).await?;
            stored.id
        }
    };
    replace_gateways(tx, id, &slice.gateways).await?;
    replace_links(tx, id, &slice.links).await?;
    Ok(id)
}

/// Has a slice removed.
///
/// # Errors
/// It has networks; the database failed.
pub(super) async fn mark_deleted(
    tx: &mut PgConnection,
    name: &Name,
    id: i64,
) -> Result<(), StoreError> {
    let network: Option<String> =
        sqlx::query_scalar("SELECT name FROM network WHERE slice_id = $1 LIMIT 1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
    if let Some(network) = network {
        let reason = format!("has networks, such as {network}");
        return Err(StoreError::precondition(Kind::Slice, name, reason));
    }
    sqlx::query(
        "UPDATE slice SET deleting = true, traceparent = $2 WHERE id = $1 AND NOT deleting",
    )
    .bind(id)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a slice is stored with these gateways and links.
async fn has_topology_of(tx: &mut PgConnection, slice: &Slice) -> Result<bool, StoreError> {
    let row: SliceRow = sqlx::query_as(select_slices!("WHERE name = $1"))
        .bind(slice.name.as_str())
        .fetch_one(tx)
        .await?;
    let stored = StoredSlice::try_from(row)?.slice;
    Ok(Topology::from(&stored) == Topology::from(slice))
}

async fn refuse_to_strand_networks(
    tx: &mut PgConnection,
    id: i64,
    slice: &Slice,
) -> Result<(), StoreError> {
    let stranded: Option<String> = sqlx::query_scalar(
        "SELECT name FROM network WHERE slice_id = $1 AND NOT clusters <@ $2 LIMIT 1",
    )
    .bind(id)
    .bind(texts(&slice.clusters))
    .fetch_optional(tx)
    .await?;
    match stranded {
        Some(network) => Err(StoreError::precondition(
            Kind::Network,
            &format!("{}/{network}", slice.name),
            "spans a cluster that its slice is to lose",
        )),
        None => Ok(()),
    }
}

async fn insert(
    tx: &mut PgConnection,
    slice: &Slice,
    description: Description,
) -> Result<i64, StoreError> {
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO slice (name, uid, generation, ordinal, clusters, measurement, traceparent,
                            by_members)
         SELECT $1, $2, $3, min(candidate), $4, $5, $6, $7
         FROM (SELECT 1 AS candidate UNION ALL SELECT ordinal + 1 FROM slice) AS candidates
         WHERE candidate <= 32767
         AND NOT EXISTS (SELECT FROM slice WHERE ordinal = candidate)
         HAVING min(candidate) IS NOT NULL
         RETURNING id",
    )
    .bind(slice.name.as_str())
    .bind(&slice.version.uid)
    .bind(slice.version.generation)
    .bind(texts(&slice.clusters))
    .bind(slice.measurement.as_ref().map(Policy::encode))
    .bind(traceparent())
    .bind(description.is_by_members())
    .fetch_optional(tx)
    .await?;
    id.ok_or(StoreError::Exhausted("number for a slice"))
}

async fn update(
    tx: &mut PgConnection,
    id: i64,
    slice: &Slice,
    changes_topology: bool,
    description: Description,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE slice SET uid = $2, generation = $3, clusters = $4,
                topology_version = topology_version + $5::int, measurement = $6,
                deleting = false, traceparent = $7, by_members = $8
         WHERE id = $1",
    )
    .bind(id)
    .bind(&slice.version.uid)
    .bind(slice.version.generation)
    .bind(texts(&slice.clusters))
    .bind(i32::from(changes_topology))
    .bind(slice.measurement.as_ref().map(Policy::encode))
    .bind(traceparent())
    .bind(description.is_by_members())
    .execute(tx)
    .await?;
    Ok(())
}
