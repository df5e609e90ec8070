use std::net::IpAddr;

use ipnet::IpNet;
use l2sces_model::{MacAddress, Vni};
use sqlx::PgConnection;

use super::{
    Applied, Store, StoreError,
    error::violated,
    row::{EndpointRow, name},
};
use crate::domain::{Endpoint, EndpointKey, Kind, NetworkKey, StoredEndpoint, addressing};

macro_rules! select_endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT slice.name AS slice, network.name AS network, endpoint.cluster, endpoint.port,
                    endpoint.mac::text AS mac, endpoint.address, endpoint.named, endpoint.deleting
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id ",
            $rest
        )
    };
}

impl Store {
    /// Stores an endpoint, whole.
    ///
    /// # Errors
    /// Its network is unknown, being deleted, or not its cluster's; its address is not leased to
    /// its cluster; another endpoint of the network has its MAC or IP address; the database failed.
    pub async fn apply_endpoint(&self, endpoint: &Endpoint) -> Result<Applied, StoreError> {
        let mut tx = self.pool.begin().await?;
        let network = lock_network(&mut tx, endpoint).await?;
        if let Some(address) = endpoint.address {
            check_address(&mut tx, &network, endpoint, address).await?;
        }
        let stored = sqlx::query(
            "INSERT INTO endpoint (network_id, cluster, port, mac, address, named)
             VALUES ($1, $2, $3, $4::text::macaddr, $5, $5 IS NOT NULL)
             ON CONFLICT ON CONSTRAINT endpoint_key DO UPDATE
             SET mac = EXCLUDED.mac, address = EXCLUDED.address,
                 named = endpoint.named OR EXCLUDED.named, deleting = false
             WHERE endpoint.deleting OR endpoint.mac <> EXCLUDED.mac
             OR endpoint.address IS DISTINCT FROM EXCLUDED.address",
        )
        .bind(network.id)
        .bind(endpoint.key.cluster.as_str())
        .bind(endpoint.key.port.as_str())
        .bind(endpoint.mac.to_string())
        .bind(endpoint.address)
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
            "UPDATE endpoint SET deleting = true
             FROM network JOIN slice ON slice.id = slice_id
             WHERE network.id = network_id AND slice.name = $1 AND network.name = $2
             AND endpoint.cluster = $3 AND port = $4 AND NOT endpoint.deleting",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
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
             AND endpoint.cluster = $3 AND port = $4 AND endpoint.deleting AND NOT named",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
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
             AND endpoint.cluster = $3 AND port = $4 AND (address IS NULL OR endpoint.deleting)",
        )
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
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
            "WHERE slice.name = $1 AND network.name = $2 AND endpoint.cluster = $3 AND port = $4"
        ))
        .bind(key.network.slice.as_str())
        .bind(key.network.name.as_str())
        .bind(key.cluster.as_str())
        .bind(key.port.as_str())
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
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT endpoint.cluster, port
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id
             WHERE slice.name = $1 AND network.name = $2",
        )
        .bind(key.slice.as_str())
        .bind(key.name.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|(cluster, port)| {
                Ok(EndpointKey { network: key.clone(), cluster: name(cluster)?, port: name(port)? })
            })
            .collect()
    }

    /// Names the endpoint that has a MAC address in the network with a VNI, and is to stay.
    ///
    /// # Errors
    /// The database failed.
    pub async fn endpoint_with(
        &self,
        vni: Vni,
        mac: MacAddress,
    ) -> Result<Option<EndpointKey>, StoreError> {
        let row: Option<(String, String, String, String)> = sqlx::query_as(
            "SELECT slice.name, network.name, endpoint.cluster, port
             FROM endpoint JOIN network ON network.id = network_id
             JOIN slice ON slice.id = slice_id
             WHERE vni = $1 AND mac = $2::text::macaddr AND NOT endpoint.deleting",
        )
        .bind(vni.get().cast_signed())
        .bind(mac.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some((slice, network, cluster, port)) = row else { return Ok(None) };
        Ok(Some(EndpointKey {
            network: NetworkKey { slice: name(&slice)?, name: name(&network)? },
            cluster: name(&cluster)?,
            port: name(&port)?,
        }))
    }
}

struct LockedNetwork {
    id: i64,
    cidr: Option<IpNet>,
}

/// Keeps an endpoint's network from being changed or deleted until the transaction ends.
async fn lock_network(
    tx: &mut PgConnection,
    endpoint: &Endpoint,
) -> Result<LockedNetwork, StoreError> {
    let key = &endpoint.key.network;
    let row: Option<(i64, Option<IpNet>, bool, bool)> = sqlx::query_as(
        "SELECT network.id, cidr, network.deleting, $3 = ANY (network.clusters)
         FROM network JOIN slice ON slice.id = slice_id
         WHERE slice.name = $1 AND network.name = $2 FOR KEY SHARE OF network",
    )
    .bind(key.slice.as_str())
    .bind(key.name.as_str())
    .bind(endpoint.key.cluster.as_str())
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

async fn check_address(
    tx: &mut PgConnection,
    network: &LockedNetwork,
    endpoint: &Endpoint,
    address: IpAddr,
) -> Result<(), StoreError> {
    let Some(cidr) = network.cidr else {
        return Err(StoreError::invalid("address", "must be empty: the network has no addresses"));
    };
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
