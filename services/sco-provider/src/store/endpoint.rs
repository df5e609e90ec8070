use std::net::IpAddr;

use ipnet::IpNet;
use l2sces_model::{MacAddress, Name, Vni};
use sqlx::{FromRow, PgConnection};

use super::{
    Applied, Store, StoreError,
    error::violated,
    row::{EndpointKeyRow, EndpointRow, learned_mac, traceparent},
};
use crate::domain::{Endpoint, EndpointKey, Kind, NetworkKey, StoredEndpoint, addressing};

macro_rules! select_endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT slice.name AS slice, network.name AS network, endpoint.cluster, endpoint.port,
                    endpoint.learned_mac::text AS learned_mac, endpoint.mac::text AS mac,
                    endpoint.address, endpoint.alias, endpoint.named, endpoint.deleting,
                    endpoint.traceparent
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id ",
            $rest
        )
    };
}

/// Whose a MAC address of a network is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The endpoint that has it.
    pub holder: Option<EndpointKey>,
    /// Endpoints of the network that are on their way out, whatever their address: one that has had
    /// this may have taken another, and left it, in the meantime.
    pub leaving: Vec<EndpointKey>,
}

impl Store {
    /// Stores an endpoint, whole. If its MAC address was learned, the endpoint by which it is known
    /// is on its way out then.
    ///
    /// # Errors
    /// Its network is unknown, being deleted, or not its cluster's; its address is not leased to
    /// its cluster; another endpoint of the network has its MAC address, and did not learn it, or
    /// its IP address; the database failed.
    pub async fn apply_endpoint(&self, endpoint: &Endpoint) -> Result<Applied, StoreError> {
        let mut tx = self.pool.begin().await?;
        let network = lock_network(&mut tx, endpoint).await?;
        if let Some(address) = endpoint.address {
            check_address(&mut tx, &network, endpoint, address).await?;
        }
        take_over(&mut tx, &network, endpoint).await?;
        let stored = sqlx::query(
            "INSERT INTO endpoint (network_id, cluster, port, learned_mac, mac, address, named,
                                   traceparent, alias)
             VALUES ($1, $2, $3, $6::text::macaddr, $4::text::macaddr, $5, $5 IS NOT NULL, $7, $8)
             ON CONFLICT ON CONSTRAINT endpoint_key DO UPDATE
             SET mac = EXCLUDED.mac, address = EXCLUDED.address, alias = EXCLUDED.alias,
                 named = endpoint.named OR EXCLUDED.named, deleting = false,
                 traceparent = EXCLUDED.traceparent
             WHERE endpoint.deleting OR endpoint.mac <> EXCLUDED.mac
             OR endpoint.address IS DISTINCT FROM EXCLUDED.address
             OR endpoint.alias IS DISTINCT FROM EXCLUDED.alias",
        )
        .bind(network.id)
        .bind(endpoint.key.cluster.as_str())
        .bind(endpoint.key.port.as_str())
        .bind(endpoint.mac.to_string())
        .bind(endpoint.address)
        .bind(learned_mac(&endpoint.key))
        .bind(traceparent())
        .bind(endpoint.alias.as_ref().map(Name::as_str))
        .execute(&mut *tx)
        .await
        .map_err(|error| taken_or_failed(error, endpoint))?;
        tx.commit().await?;
        Ok(if stored.rows_affected() > 0 { Applied::Stored } else { Applied::Unchanged })
    }

    /// Asks for the removal of an endpoint, if there is one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_endpoint(&self, key: &EndpointKey) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE endpoint SET deleting = true, traceparent = $6
             FROM network JOIN slice ON slice.id = slice_id
             WHERE network.id = network_id AND slice.name = $1 AND network.name = $2
             AND endpoint.cluster = $3 AND port = $4 AND learned_mac = $5::text::macaddr
             AND NOT endpoint.deleting",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
        .bind(learned_mac(key))
        .bind(traceparent())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets an endpoint whose removal was asked for and is complete: the DNS has no record of it.
    /// False: it is wanted again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_endpoint(&self, key: &EndpointKey) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM endpoint USING network JOIN slice ON slice.id = slice_id
             WHERE network.id = network_id AND slice.name = $1 AND network.name = $2
             AND endpoint.cluster = $3 AND port = $4 AND learned_mac = $5::text::macaddr
             AND endpoint.deleting AND NOT named",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
        .bind(learned_mac(key))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that the DNS has no record of an endpoint, unless it is to have one again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unname_endpoint(&self, key: &EndpointKey) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE endpoint SET named = false
             FROM network JOIN slice ON slice.id = slice_id
             WHERE network.id = network_id AND slice.name = $1 AND network.name = $2
             AND endpoint.cluster = $3 AND port = $4 AND learned_mac = $5::text::macaddr
             AND (address IS NULL OR endpoint.deleting)",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
        .bind(learned_mac(key))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// The database failed.
    pub async fn endpoint(&self, key: &EndpointKey) -> Result<Option<StoredEndpoint>, StoreError> {
        let row: Option<EndpointRow> = sqlx::query_as(select_endpoints!(
            "WHERE slice.name = $1 AND network.name = $2 AND endpoint.cluster = $3 AND port = $4
             AND learned_mac = $5::text::macaddr"
        ))
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
        .bind(learned_mac(key))
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredEndpoint::try_from).transpose()
    }

    /// Reads every endpoint of every network.
    ///
    /// # Errors
    /// The database failed.
    pub async fn endpoints(&self) -> Result<Vec<StoredEndpoint>, StoreError> {
        let rows: Vec<EndpointRow> =
            sqlx::query_as(select_endpoints!("ORDER BY endpoint.id")).fetch_all(&self.pool).await?;
        rows.into_iter().map(StoredEndpoint::try_from).collect()
    }

    /// Names the endpoints of a network.
    ///
    /// # Errors
    /// The database failed.
    pub async fn endpoints_of(&self, key: &NetworkKey) -> Result<Vec<EndpointKey>, StoreError> {
        let rows: Vec<EndpointKeyRow> = sqlx::query_as(
            "SELECT slice.name AS slice, network.name AS network, endpoint.cluster, port,
                    learned_mac::text AS learned_mac
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id
             WHERE slice.name = $1 AND network.name = $2",
        )
        .bind(key.slice.as_str())
        .bind(key.name.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(EndpointKey::try_from).collect()
    }

    /// Names the endpoint that has a MAC address in the network with a VNI, and those of the network
    /// that are on their way out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claims(&self, vni: Vni, mac: MacAddress) -> Result<Claims, StoreError> {
        let rows: Vec<ClaimRow> = sqlx::query_as(
            "SELECT slice.name AS slice, network.name AS network, endpoint.cluster, port,
                    learned_mac::text AS learned_mac, endpoint.deleting
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id
             WHERE vni = $1 AND (mac = $2::text::macaddr OR endpoint.deleting)",
        )
        .bind(vni.get().cast_signed())
        .bind(mac.to_string())
        .fetch_all(&self.pool)
        .await?;
        let mut claims = Claims::default();
        for ClaimRow { key, deleting } in rows {
            let key = key.try_into()?;
            if deleting {
                claims.leaving.push(key);
            } else {
                claims.holder = Some(key);
            }
        }
        Ok(claims)
    }
}

#[derive(FromRow)]
struct ClaimRow {
    #[sqlx(flatten)]
    key: EndpointKeyRow,
    deleting: bool,
}

struct LockedNetwork {
    id: i64,
    cidr: Option<IpNet>,
}

/// Keeps an endpoint's network from being changed or deleted until the transaction ends, and lets one
/// at a time announce the endpoint's MAC address, so that of several that do one has it in the end.
async fn lock_network(
    tx: &mut PgConnection,
    endpoint: &Endpoint,
) -> Result<LockedNetwork, StoreError> {
    let key = &endpoint.key.network;
    let row: Option<(i64, Option<IpNet>, bool, bool)> = sqlx::query_as(
        "SELECT network.id, cidr, network.deleting, $3 = ANY (network.clusters),
                pg_advisory_xact_lock(hashtextextended($4::text::macaddr::text, network.id))
         FROM network JOIN slice ON slice.id = slice_id
         WHERE slice.name = $1 AND network.name = $2 FOR KEY SHARE OF network",
    )
    .bind(key.slice.as_str())
    .bind(key.name.as_str())
    .bind(endpoint.key.cluster.as_str())
    .bind(endpoint.mac.to_string())
    .fetch_optional(tx)
    .await?;
    let refused = |reason: &str| Err(StoreError::precondition(Kind::Network, key, reason));
    match row {
        None => refused("is unknown"),
        Some((_, _, true, _)) => refused("is being deleted"),
        Some((_, _, _, false)) => refused("does not span the cluster"),
        Some((id, cidr, ..)) => Ok(LockedNetwork { id, cidr }),
    }
}

/// Makes an endpoint's MAC address free for it: whoever has learned it has it no more.
async fn take_over(
    tx: &mut PgConnection,
    network: &LockedNetwork,
    endpoint: &Endpoint,
) -> Result<(), StoreError> {
    let key = &endpoint.key;
    let announced: Option<(String, String)> = sqlx::query_as(
        "WITH others AS (
            SELECT id, cluster, port, learned_mac = mac AS is_learned FROM endpoint
            WHERE network_id = $1 AND mac = $2::text::macaddr AND NOT deleting
            AND NOT (cluster = $3 AND port = $4 AND learned_mac = $5::text::macaddr)
         ), dismissed AS (
            UPDATE endpoint SET deleting = true, traceparent = $6
            FROM others WHERE endpoint.id = others.id AND is_learned
         )
         SELECT cluster, port FROM others WHERE NOT is_learned",
    )
    .bind(network.id)
    .bind(endpoint.mac.to_string())
    .bind(key.cluster.as_str())
    .bind(key.port.as_str())
    .bind(learned_mac(key))
    .bind(traceparent())
    .fetch_optional(tx)
    .await?;
    let Some((cluster, port)) = announced else { return Ok(()) };
    let (mac, network) = (endpoint.mac, &key.network);
    let place = format!("of port {port} in cluster {cluster}");
    let description = format!("{place} with MAC address {mac} in network {network}");
    Err(StoreError::taken(Kind::Endpoint, description))
}

async fn check_address(
    tx: &mut PgConnection,
    network: &LockedNetwork,
    endpoint: &Endpoint,
    address: IpAddr,
) -> Result<(), StoreError> {
    // Without addresses of its own, its ports choose theirs, and need only differ.
    let Some(cidr) = network.cidr else { return Ok(()) };
    let Some(block) = addressing::block_of(cidr, address) else {
        return Err(StoreError::invalid("address", format!("must be in {cidr}")));
    };
    if !addressing::is_assignable(cidr, address) {
        return Err(StoreError::invalid("address", "must not be the first or last of the network"));
    }
    let leased: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM block WHERE network_id = $1 AND block = $2 AND cluster = $3)
         OR EXISTS (SELECT FROM single_address
                    WHERE network_id = $1 AND address = $4 AND cluster = $3)",
    )
    .bind(network.id)
    .bind(block)
    .bind(endpoint.key.cluster.as_str())
    .bind(address)
    .fetch_one(tx)
    .await?;
    if leased {
        return Ok(());
    }
    Err(StoreError::precondition(
        Kind::Network,
        &endpoint.key.network,
        format!("has not leased {address} to cluster {}", endpoint.key.cluster),
    ))
}

fn taken_or_failed(error: sqlx::Error, endpoint: &Endpoint) -> StoreError {
    let network = &endpoint.key.network;
    match (violated(&error), endpoint.address) {
        (Some("endpoint_mac"), _) => StoreError::taken(
            Kind::Endpoint,
            format!("with MAC address {} in network {network}", endpoint.mac),
        ),
        (Some("endpoint_address"), Some(address)) => StoreError::taken(
            Kind::Endpoint,
            format!("with address {address} in network {network}"),
        ),
        _ => error.into(),
    }
}
