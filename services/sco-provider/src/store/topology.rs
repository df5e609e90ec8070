//! The gateways and links of slices.

use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use sqlx::PgConnection;

use super::{StoreError, row::texts};
use crate::domain::{ClusterEnd, ClusterLink, GatewayKey, Kind};

/// A gateway that is there until the transaction ends.
pub(super) struct LockedGateway {
    id: i64,
    /// Where its tunnels end.
    pub(super) underlay_address: IpAddr,
}

/// Locks gateways against deletion in the order of their ids, so that two transactions that share
/// some do not wait for each other.
///
/// # Errors
/// One is unknown; the database failed.
pub(super) async fn lock_gateways<'keys>(
    tx: &mut PgConnection,
    keys: &'keys [GatewayKey],
) -> Result<BTreeMap<&'keys GatewayKey, LockedGateway>, StoreError> {
    let found: Vec<(i64, String, String, IpAddr)> = sqlx::query_as(
        "SELECT id, cluster, node, underlay_address FROM gateway
         WHERE (cluster, node) IN (SELECT * FROM unnest($1, $2)) AND NOT deleting
         ORDER BY id FOR SHARE",
    )
    .bind(texts(keys.iter().map(|key| &key.cluster)))
    .bind(texts(keys.iter().map(|key| &key.node)))
    .fetch_all(tx)
    .await?;
    let of_key = |key: &'keys GatewayKey| {
        let row = found.iter().find(|(_, cluster, node, _)| {
            cluster == key.cluster.as_str() && node == key.node.as_str()
        });
        let (id, .., underlay_address) =
            row.ok_or_else(|| StoreError::precondition(Kind::Gateway, key, "is unknown"))?;
        Ok((key, LockedGateway { id: *id, underlay_address: *underlay_address }))
    };
    keys.iter().map(of_key).collect()
}

/// Makes these the gateways of a slice, in the order of preference.
///
/// # Errors
/// One is unknown; their tunnels would mix IP versions; the database failed.
pub(super) async fn replace_gateways(
    tx: &mut PgConnection,
    slice: i64,
    gateways: &[GatewayKey],
) -> Result<(), StoreError> {
    let locked = lock_gateways(tx, gateways).await?;
    let has = |is_of_version: fn(&IpAddr) -> bool| {
        locked.iter().find(|(_, gateway)| is_of_version(&gateway.underlay_address))
    };
    if has(IpAddr::is_ipv4).is_some()
        && let Some((key, _)) = has(IpAddr::is_ipv6)
    {
        return Err(StoreError::precondition(
            Kind::Gateway,
            key,
            "has an IPv6 underlay address and others of the slice IPv4 ones",
        ));
    }
    let ids: Vec<i64> = gateways.iter().map(|key| locked[key].id).collect();
    // Those by which networks may go, as gates or between them, are left first: see forget_leaving.
    sqlx::query(
        "DELETE FROM slice_gateway WHERE slice_id = $1 AND gateway_id <> ALL ($2)
         AND NOT EXISTS (
            SELECT FROM network JOIN gate ON network_id = network.id
            WHERE network.slice_id = $1 AND NOT network.deleting)",
    )
    .bind(slice)
    .bind(&ids)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE slice_gateway SET leaving = true, position = position + cardinality($2)
         WHERE slice_id = $1 AND gateway_id <> ALL ($2)",
    )
    .bind(slice)
    .bind(&ids)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO slice_gateway (slice_id, gateway_id, position)
         SELECT $1, id, position FROM unnest($2) WITH ORDINALITY AS listed (id, position)
         ON CONFLICT (slice_id, gateway_id)
         DO UPDATE SET position = excluded.position, leaving = false",
    )
    .bind(slice)
    .bind(&ids)
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes these the links of a slice.
///
/// # Errors
/// The database failed.
pub(super) async fn replace_links(
    tx: &mut PgConnection,
    slice: i64,
    links: &[ClusterLink],
) -> Result<(), StoreError> {
    let clusters =
        |end: fn(&ClusterLink) -> &ClusterEnd| texts(links.iter().map(|link| &end(link).cluster));
    let nodes = |end: fn(&ClusterLink) -> &ClusterEnd| -> Vec<&str> {
        links.iter().map(|link| end(link).node.as_ref().map_or("", Name::as_str)).collect()
    };
    // Those that networks may go by are left first: see forget_leaving.
    sqlx::query(
        "DELETE FROM slice_link WHERE slice_id = $1 AND NOT EXISTS (
            SELECT FROM network JOIN gate ON network_id = network.id
            WHERE network.slice_id = $1 AND NOT network.deleting)",
    )
    .bind(slice)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE slice_link SET leaving = true WHERE slice_id = $1")
        .bind(slice)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO slice_link (slice_id, cluster_a, node_a, cluster_b, node_b, cost)
         SELECT $1, * FROM unnest($2, $3, $4, $5, $6)
         ON CONFLICT (slice_id, cluster_a, node_a, cluster_b, node_b)
         DO UPDATE SET cost = excluded.cost, leaving = false",
    )
    .bind(slice)
    .bind(clusters(ClusterLink::a))
    .bind(nodes(ClusterLink::a))
    .bind(clusters(ClusterLink::b))
    .bind(nodes(ClusterLink::b))
    .bind(links.iter().map(|link| i64::from(link.cost().get())).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
