use sqlx::{FromRow, Row, postgres::PgRow};

use super::{Store, StoreError, row::parsed};
use crate::domain::{Key, NetworkKey, PortKey};

impl FromRow<'_, PgRow> for Key {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(match row.try_get::<i32, _>("kind")? {
            0 => Self::Node(parsed(row, "name")?),
            1 => Self::Slice(parsed(row, "name")?),
            2 => Self::Network(NetworkKey {
                slice: parsed(row, "slice")?,
                name: parsed(row, "name")?,
            }),
            _ => Self::Port(PortKey {
                slice: parsed(row, "slice")?,
                network: parsed(row, "network")?,
                name: parsed(row, "name")?,
            }),
        })
    }
}

impl Store {
    /// Names of all objects.
    pub(crate) async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT 0 AS kind, '' AS slice, '' AS network, name FROM node
             UNION ALL SELECT 1, '', '', name FROM slice
             UNION ALL SELECT 2, slice, '', name FROM network
             UNION ALL SELECT 3, slice, network, name FROM port",
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
