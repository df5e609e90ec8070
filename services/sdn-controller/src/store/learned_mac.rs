//! Addresses that were learned behind ports.

use std::collections::{BTreeMap, BTreeSet};

use l2sces_model::MacAddress;
use sqlx::{FromRow, Row, postgres::PgRow};

use super::{Store, StoreError, row::parsed};
use crate::domain::PortKey;

/// What the sco-provider is yet to be told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UntoldMac {
    pub(crate) mac: MacAddress,
    /// Whether it is there no more.
    pub(crate) forgotten: bool,
}

impl FromRow<'_, PgRow> for UntoldMac {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { mac: parsed(row, "mac")?, forgotten: row.try_get("forgotten")? })
    }
}

impl Store {
    /// Keeps which addresses are now known behind a port: all others are forgotten.
    ///
    /// # Errors
    /// The port has gone, or the database fails.
    pub(crate) async fn keep_learned(
        &self,
        key: &PortKey,
        learned: &BTreeSet<MacAddress>,
    ) -> Result<(), StoreError> {
        let macs: Vec<String> = learned.iter().map(ToString::to_string).collect();
        let mut transaction = self.pool.begin().await?;
        // One that was forgotten and comes back has to be told again.
        sqlx::query(
            "INSERT INTO learned_mac (slice, network, port, mac)
             SELECT $1, $2, $3, mac FROM unnest($4::text[]) AS known (mac)
             ON CONFLICT (slice, network, port, mac)
             DO UPDATE SET announced = false, forgotten = false WHERE learned_mac.forgotten",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(&macs)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE learned_mac SET forgotten = true
             WHERE slice = $1 AND network = $2 AND port = $3 AND NOT forgotten
             AND mac <> ALL ($4)",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(&macs)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// An address is behind a port no more.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn forget_learned(
        &self,
        key: &PortKey,
        mac: MacAddress,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE learned_mac SET forgotten = true
             WHERE slice = $1 AND network = $2 AND port = $3 AND mac = $4",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(mac.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The sco-provider may not know of an address, though it has been told.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_doubt(
        &self,
        key: &PortKey,
        mac: MacAddress,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE learned_mac SET announced = false
             WHERE slice = $1 AND network = $2 AND port = $3 AND mac = $4",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .bind(mac.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What the sco-provider is yet to be told of the addresses behind a port.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn untold_macs(&self, key: &PortKey) -> Result<Vec<UntoldMac>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT mac, forgotten FROM learned_mac
             WHERE slice = $1 AND network = $2 AND port = $3 AND (forgotten OR NOT announced)
             ORDER BY mac",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// Every address that the sco-provider may have been told of behind a port.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn all_macs(&self, key: &PortKey) -> Result<Vec<MacAddress>, StoreError> {
        let rows: Vec<UntoldMac> = sqlx::query_as(
            "SELECT mac, forgotten FROM learned_mac
             WHERE slice = $1 AND network = $2 AND port = $3",
        )
        .bind(key.slice.as_str())
        .bind(key.network.as_str())
        .bind(key.name.as_str())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| row.mac).collect())
    }

    /// The sco-provider has been told of an address, or that it is there no more.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_told(&self, key: &PortKey, told: UntoldMac) -> Result<(), StoreError> {
        let statement = if told.forgotten {
            "DELETE FROM learned_mac
             WHERE slice = $1 AND network = $2 AND port = $3 AND mac = $4 AND forgotten"
        } else {
            "UPDATE learned_mac SET announced = true
             WHERE slice = $1 AND network = $2 AND port = $3 AND mac = $4 AND NOT forgotten"
        };
        sqlx::query(statement)
            .bind(key.slice.as_str())
            .bind(key.network.as_str())
            .bind(key.name.as_str())
            .bind(told.mac.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The addresses that are known behind ports that are to stay: those that the sco-provider has
    /// been told of, or the others.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn learned_macs(
        &self,
        announced: bool,
    ) -> Result<BTreeMap<PortKey, BTreeSet<MacAddress>>, StoreError> {
        let rows: Vec<LearnedRow> = sqlx::query_as(
            "SELECT slice, network, learned_mac.port, learned_mac.mac
             FROM learned_mac JOIN port USING (slice, network)
             WHERE port.name = learned_mac.port AND NOT port.deleting
             AND NOT forgotten AND announced = $1",
        )
        .bind(announced)
        .fetch_all(&self.pool)
        .await?;
        let mut learned: BTreeMap<PortKey, BTreeSet<MacAddress>> = BTreeMap::new();
        for LearnedRow { port, mac } in rows {
            learned.entry(port).or_default().insert(mac);
        }
        Ok(learned)
    }
}

struct LearnedRow {
    port: PortKey,
    mac: MacAddress,
}

impl FromRow<'_, PgRow> for LearnedRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let port = PortKey {
            slice: parsed(row, "slice")?,
            network: parsed(row, "network")?,
            name: parsed(row, "port")?,
        };
        Ok(Self { port, mac: parsed(row, "mac")? })
    }
}
