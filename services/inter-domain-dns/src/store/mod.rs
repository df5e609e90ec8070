//! Records in Postgres.

use std::{collections::BTreeSet, net::IpAddr};

use l2sces_model::{Name, NameError};
use sqlx::{FromRow, PgPool, Postgres, Transaction, migrate::Migrator};
use thiserror::Error;

use crate::zone::{AddressesError, Contents, Record, RecordKey};

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Where a change is announced; the payload is the record's key, see [`parse_payload`].
pub const CHANNEL: &str = "inter_domain_dns_records";

/// Why the store cannot do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Postgres is away or refuses.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A row holds what no request could have put there.
    #[error("a row is damaged: {0}")]
    Row(String),
}

/// Records in Postgres. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

/// Some records, all as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the state that was read. Grows with every change of any record.
    pub revision: i64,
    /// Each key that was asked for, and what its record says if there is one.
    pub records: Vec<(RecordKey, Option<Contents>)>,
}

/// Which records to list. Empty text: no restriction.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only this slice's.
    pub slice: String,
    /// Only this network's.
    pub network: String,
    /// Only what comes after this record.
    pub after: Option<RecordKey>,
    /// At most so many.
    pub limit: u16,
}

#[derive(FromRow)]
struct Row {
    slice: String,
    network: String,
    cluster: String,
    host: String,
    addresses: Vec<IpAddr>,
    aliases: Vec<String>,
}

/// A row of a [`Snapshot`]: of a record that may not exist.
#[derive(FromRow)]
struct SnapshotRow {
    number: i64,
    slice: Option<String>,
    network: Option<String>,
    cluster: Option<String>,
    host: Option<String>,
    addresses: Option<Vec<IpAddr>>,
    aliases: Option<Vec<String>>,
}

impl Store {
    /// A store in the schema that the pool's connections use.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Stores a record, whole. Durable on return. Changes nothing if it is so already.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn apply(&self, record: &Record) -> Result<(), StoreError> {
        let RecordKey { slice, network, cluster, host } = &record.key;
        let Contents { addresses, aliases } = &record.contents;
        let mut transaction = self.pool.begin().await?;
        let changed = sqlx::query(
            "INSERT INTO records (slice, network, cluster, host, addresses, aliases)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (slice, network, cluster, host) DO UPDATE
             SET addresses = excluded.addresses, aliases = excluded.aliases
             WHERE (records.addresses, records.aliases)
                   IS DISTINCT FROM (excluded.addresses, excluded.aliases)",
        )
        .bind(slice.as_str())
        .bind(network.as_str())
        .bind(cluster.as_str())
        .bind(host.as_str())
        .bind(addresses.as_slice())
        .bind(aliases.iter().map(Name::as_str).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() > 0 {
            announce(&mut transaction, &record.key).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Removes a record, if there is one. Durable on return.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn delete(&self, key: &RecordKey) -> Result<(), StoreError> {
        let RecordKey { slice, network, cluster, host } = key;
        let mut transaction = self.pool.begin().await?;
        let changed = sqlx::query(
            "DELETE FROM records
             WHERE slice = $1 AND network = $2 AND cluster = $3 AND host = $4",
        )
        .bind(slice.as_str())
        .bind(network.as_str())
        .bind(cluster.as_str())
        .bind(host.as_str())
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() > 0 {
            announce(&mut transaction, key).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Records in the order of their keys.
    ///
    /// # Errors
    /// Postgres is away, or a row is damaged.
    pub async fn list(&self, listing: &Listing) -> Result<Vec<Record>, StoreError> {
        let after = listing.after.as_ref();
        let part = |part: fn(&RecordKey) -> &Name| after.map_or("", |key| part(key).as_str());
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT slice, network, cluster, host, addresses, aliases FROM records
             WHERE ($1 = '' OR slice = $1) AND ($2 = '' OR network = $2)
               AND (slice, network, cluster, host) > ($3, $4, $5, $6)
             ORDER BY slice, network, cluster, host LIMIT $7",
        )
        .bind(&listing.slice)
        .bind(&listing.network)
        .bind(part(|key| &key.slice))
        .bind(part(|key| &key.network))
        .bind(part(|key| &key.cluster))
        .bind(part(|key| &key.host))
        .bind(i64::from(listing.limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Record::try_from).collect()
    }

    /// The records with these keys.
    ///
    /// # Errors
    /// Postgres is away, or a row is damaged.
    pub async fn read(&self, keys: &[RecordKey]) -> Result<Snapshot, StoreError> {
        let column = |part: fn(&RecordKey) -> &Name| {
            keys.iter().map(|key| part(key).as_str().to_owned()).collect::<Vec<_>>()
        };
        // One statement, hence one moment.
        let rows = sqlx::query_as(
            "SELECT number, slice, network, cluster, host, addresses, aliases
             FROM revision
             LEFT JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[])
               AS keys (slice, network, cluster, host) ON true
             LEFT JOIN records USING (slice, network, cluster, host)",
        )
        .bind(column(|key| &key.slice))
        .bind(column(|key| &key.network))
        .bind(column(|key| &key.cluster))
        .bind(column(|key| &key.host))
        .fetch_all(&self.pool)
        .await?;
        snapshot(rows)
    }

    /// All records.
    ///
    /// # Errors
    /// Postgres is away, or a row is damaged.
    pub async fn read_all(&self) -> Result<Snapshot, StoreError> {
        let rows = sqlx::query_as(
            "SELECT number, slice, network, cluster, host, addresses, aliases
             FROM revision LEFT JOIN records ON true",
        )
        .fetch_all(&self.pool)
        .await?;
        snapshot(rows)
    }
}

/// Numbers the change that the transaction makes, and tells the replicas. Last in a transaction:
/// the next change waits for the number.
async fn announce(
    transaction: &mut Transaction<'_, Postgres>,
    key: &RecordKey,
) -> Result<(), sqlx::Error> {
    let RecordKey { slice, network, cluster, host } = key;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(format!("{slice} {network} {cluster} {host}"))
        .execute(&mut **transaction)
        .await?;
    sqlx::query("UPDATE revision SET number = number + 1").execute(&mut **transaction).await?;
    Ok(())
}

/// The key of the record that a notification announces; `None` if nothing of ours wrote it.
pub fn parse_payload(payload: &str) -> Option<RecordKey> {
    let names: Result<Vec<Name>, _> = payload.split(' ').map(str::parse).collect();
    let [slice, network, cluster, host] = names.ok()?.try_into().ok()?;
    Some(RecordKey { slice, network, cluster, host })
}

fn snapshot(rows: Vec<SnapshotRow>) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot { revision: 0, records: Vec::with_capacity(rows.len()) };
    for row in rows {
        snapshot.revision = row.number;
        // Without any record, the revision is alone in its row.
        let (Some(slice), Some(network), Some(cluster), Some(host)) =
            (row.slice, row.network, row.cluster, row.host)
        else {
            continue;
        };
        let key = key(&slice, &network, &cluster, &host)?;
        let contents = row.addresses.zip(row.aliases);
        let contents = contents.map(|(addresses, aliases)| contents_of(addresses, &aliases));
        snapshot.records.push((key, contents.transpose()?));
    }
    Ok(snapshot)
}

fn key(slice: &str, network: &str, cluster: &str, host: &str) -> Result<RecordKey, NameError> {
    Ok(RecordKey {
        slice: slice.parse()?,
        network: network.parse()?,
        cluster: cluster.parse()?,
        host: host.parse()?,
    })
}

fn contents_of(addresses: Vec<IpAddr>, aliases: &[String]) -> Result<Contents, StoreError> {
    let aliases = aliases.iter().map(|alias| alias.parse()).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(Contents { addresses: addresses.try_into()?, aliases })
}

impl TryFrom<Row> for Record {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: key(&row.slice, &row.network, &row.cluster, &row.host)?,
            contents: contents_of(row.addresses, &row.aliases)?,
        })
    }
}

impl From<NameError> for StoreError {
    fn from(error: NameError) -> Self {
        Self::Row(error.to_string())
    }
}

impl From<AddressesError> for StoreError {
    fn from(error: AddressesError) -> Self {
        Self::Row(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_payloads_that_are_keys() {
        let key = parse_payload("s n c h").unwrap();
        assert_eq!(key.canonical_name(), "h.c.n.s");
        for payload in ["", "s n c", "s n c h x", "s n c H", "s  n c h"] {
            assert_eq!(parse_payload(payload), None, "{payload:?}");
        }
    }
}
