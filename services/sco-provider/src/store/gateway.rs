use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use sqlx::{PgConnection, Row};

use super::{
    Applied, Deletion, Store, StoreError,
    error::violated,
    is_newer, one_at_a_time, one_member_at_a_time,
    row::{GatewayRow, gateway_keys, name, traceparent},
    slice_member::readdress,
};
use crate::domain::{Gateway, GatewayKey, Kind, StoredGateway, Version};

macro_rules! select_gateways {
    ($rest:literal) => {
        concat!(
            "SELECT cluster, node, uid, generation, ordinal, agent_endpoint, underlay_address,
                    deleting, forced, traceparent
             FROM gateway ",
            $rest
        )
    };
}

/// What slices ask of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayLinks {
    /// The gateways to which it must have a tunnel, and where the tunnels end.
    pub peers: BTreeMap<GatewayKey, IpAddr>,
    /// The slices that wait for its tunnels to go.
    pub deleting_slices: Vec<Name>,
}

impl Store {
    /// Stores a gateway, unless a newer version is known.
    ///
    /// # Errors
    /// Its datapath id is another gateway's; no ordinal is left; its addresses change from one IP
    /// version to the other while a slice uses it; the database failed.
    pub async fn apply_gateway(&self, gateway: &Gateway) -> Result<Applied, StoreError> {
        let mut tx = self.pool.begin().await?;
        // What members say of slices may hang on its address.
        one_member_at_a_time(&mut tx).await?;
        let mut stored = lock(&mut tx, &gateway.key).await?;
        if stored.is_none() {
            one_at_a_time(&mut tx, Kind::Gateway).await?;
            stored = lock(&mut tx, &gateway.key).await?;
        }
        match stored {
            None => insert(&mut tx, gateway).await?,
            Some(stored) => {
                if !is_newer(gateway.version.precedence(&stored.version), stored.deleting) {
                    return Ok(Applied::Unchanged);
                }
                let changes_ip_version =
                    stored.underlay_address.is_ipv4() != gateway.underlay_address.is_ipv4();
                if changes_ip_version && let Some(slice) = a_slice_of(&mut tx, stored.id).await? {
                    return Err(StoreError::precondition(
                        Kind::Slice,
                        &slice,
                        "uses it, and all its tunnels must run over one IP version",
                    ));
                }
                update(&mut tx, stored.id, gateway).await?;
                if stored.underlay_address != gateway.underlay_address {
                    readdress(&mut tx, &gateway.key).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(Applied::Stored)
    }

    /// Asks for the removal of a gateway.
    ///
    /// # Errors
    /// A slice uses it; the database failed.
    pub async fn delete_gateway(&self, key: &GatewayKey) -> Result<Deletion, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(stored) = lock(&mut tx, key).await? else { return Ok(Deletion::Gone) };
        if let Some(slice) = a_slice_of(&mut tx, stored.id).await? {
            let reason = format!("is used by slice {slice}");
            return Err(StoreError::precondition(Kind::Gateway, key, reason));
        }
        sqlx::query(
            "UPDATE gateway SET deleting = true, forced = false, traceparent = $2
             WHERE id = $1 AND NOT deleting",
        )
        .bind(stored.id)
        .bind(traceparent())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Deletion::Underway)
    }

    /// Has the removal of a gateway that was asked for not wait for its agent.
    ///
    /// # Errors
    /// The database failed.
    pub async fn force_gateway(&self, key: &GatewayKey) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE gateway SET forced = true WHERE cluster = $1 AND node = $2 AND deleting",
        )
        .bind(key.cluster.as_str())
        .bind(key.node.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets a gateway whose removal was asked for and is complete. False: it is wanted again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_gateway(&self, key: &GatewayKey) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM gateway WHERE cluster = $1 AND node = $2 AND deleting")
            .bind(key.cluster.as_str())
            .bind(key.node.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Reads a gateway.
    ///
    /// # Errors
    /// The database failed.
    pub async fn gateway(&self, key: &GatewayKey) -> Result<Option<StoredGateway>, StoreError> {
        let row: Option<GatewayRow> =
            sqlx::query_as(select_gateways!("WHERE cluster = $1 AND node = $2"))
                .bind(key.cluster.as_str())
                .bind(key.node.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(StoredGateway::try_from).transpose()
    }

    /// Reads every gateway.
    ///
    /// # Errors
    /// The database failed.
    pub async fn gateways(&self) -> Result<Vec<StoredGateway>, StoreError> {
        let rows: Vec<GatewayRow> =
            sqlx::query_as(select_gateways!("ORDER BY id")).fetch_all(&self.pool).await?;
        rows.into_iter().map(StoredGateway::try_from).collect()
    }

    /// Reads what slices ask of a gateway: those that are to stay, a tunnel to every gateway that a
    /// link joins it to; those on their way out, word when it has none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn gateway_links(&self, key: &GatewayKey) -> Result<GatewayLinks, StoreError> {
        let rows = sqlx::query(
            "SELECT slice.name AS slice, slice.deleting, peer.cluster, peer.node,
                    peer.underlay_address
             FROM gateway
             JOIN slice_gateway mine ON mine.gateway_id = gateway.id
             JOIN slice ON slice.id = mine.slice_id
             LEFT JOIN (slice_gateway theirs JOIN gateway peer ON peer.id = theirs.gateway_id)
                ON theirs.slice_id = slice.id AND NOT slice.deleting
                AND EXISTS (SELECT FROM slice_link link
                            WHERE link.slice_id = slice.id
                            AND (cluster_a = gateway.cluster AND node_a IN ('', gateway.node)
                                 AND cluster_b = peer.cluster AND node_b IN ('', peer.node)
                                 OR cluster_b = gateway.cluster AND node_b IN ('', gateway.node)
                                 AND cluster_a = peer.cluster AND node_a IN ('', peer.node)))
             WHERE gateway.cluster = $1 AND gateway.node = $2",
        )
        .bind(key.cluster.as_str())
        .bind(key.node.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut links = GatewayLinks::default();
        for row in rows {
            if row.try_get("deleting")? {
                links.deleting_slices.push(name(row.try_get("slice")?)?);
            } else if let Some(cluster) = row.try_get::<Option<String>, _>("cluster")? {
                let node: String = row.try_get("node")?;
                let peers = gateway_keys(&[cluster], &[node])?;
                let address: IpAddr = row.try_get("underlay_address")?;
                links.peers.extend(peers.into_iter().map(|peer| (peer, address)));
            }
        }
        Ok(links)
    }
}

struct Locked {
    id: i64,
    version: Version,
    underlay_address: IpAddr,
    deleting: bool,
}

/// Keeps a gateway as it is until the transaction ends: nobody can begin to use it, or delete it.
async fn lock(tx: &mut PgConnection, key: &GatewayKey) -> Result<Option<Locked>, StoreError> {
    let row: Option<(i64, String, i64, IpAddr, bool)> = sqlx::query_as(
        "SELECT id, uid, generation, underlay_address, deleting FROM gateway
         WHERE cluster = $1 AND node = $2 FOR UPDATE",
    )
    .bind(key.cluster.as_str())
    .bind(key.node.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(id, uid, generation, underlay_address, deleting)| Locked {
        id,
        version: Version { uid, generation },
        underlay_address,
        deleting,
    }))
}

/// A slice that has the gateway, or whose members name it.
async fn a_slice_of(tx: &mut PgConnection, gateway: i64) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT slice.name FROM slice JOIN slice_gateway ON slice_id = slice.id
         WHERE gateway_id = $1
         UNION ALL
         SELECT slice.name FROM gateway
         JOIN slice_member member
            ON member.cluster = gateway.cluster AND gateway.node = ANY (member.gateways)
         JOIN slice ON slice.id = slice_id
         WHERE gateway.id = $1
         LIMIT 1",
    )
    .bind(gateway)
    .fetch_optional(tx)
    .await?)
}

async fn insert(tx: &mut PgConnection, gateway: &Gateway) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO gateway (cluster, node, uid, generation, ordinal, datapath_id,
                              agent_endpoint, underlay_address, traceparent)
         SELECT $1, $2, $3, $4, min(candidate), $5, $6, $7, $8
         FROM (SELECT 1 AS candidate UNION ALL SELECT ordinal + 1 FROM gateway) AS candidates
         WHERE candidate <= 65535
         AND NOT EXISTS (SELECT FROM gateway WHERE ordinal = candidate)
         HAVING min(candidate) IS NOT NULL",
    )
    .bind(gateway.key.cluster.as_str())
    .bind(gateway.key.node.as_str())
    .bind(&gateway.version.uid)
    .bind(gateway.version.generation)
    .bind(gateway.key.datapath_id().get().cast_signed())
    .bind(&gateway.agent_endpoint)
    .bind(gateway.underlay_address)
    .bind(traceparent())
    .execute(&mut *tx)
    .await;
    match inserted {
        Ok(done) if done.rows_affected() > 0 => Ok(()),
        Ok(_) => Err(StoreError::Exhausted("number for a gateway")),
        Err(error) if violated(&error) == Some("gateway_datapath_id") => Err(StoreError::taken(
            Kind::Gateway,
            format!("with the datapath id {} of {}", gateway.key.datapath_id(), gateway.key),
        )),
        Err(error) => Err(error.into()),
    }
}

async fn update(tx: &mut PgConnection, id: i64, gateway: &Gateway) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE gateway SET uid = $2, generation = $3, agent_endpoint = $4, underlay_address = $5,
                deleting = false, traceparent = $6
         WHERE id = $1",
    )
    .bind(id)
    .bind(&gateway.version.uid)
    .bind(gateway.version.generation)
    .bind(&gateway.agent_endpoint)
    .bind(gateway.underlay_address)
    .bind(traceparent())
    .execute(tx)
    .await?;
    Ok(())
}
