use l2sces_model::Vni;
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{
    Admission, Store, StoreError, Stored, admit,
    row::{number, origin, parsed, traceparent, unreadable},
};
use crate::domain::{Network, NetworkKey, NetworkSpec, PortKey, Version};

impl FromRow<'_, PgRow> for Network {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            spec: NetworkSpec {
                key: NetworkKey { slice: parsed(row, "slice")?, name: parsed(row, "name")? },
                version: Version::from_row(row)?,
                vni: vni(row)?,
                cidr: row.try_get("cidr")?,
                mtu: number(row, "mtu")?,
            },
            deleting: row.try_get("deleting")?,
            origin: origin(row)?,
        })
    }
}

/// The network identifier of a row.
pub(super) fn vni(row: &PgRow) -> sqlx::Result<Vni> {
    Vni::try_from(number::<u32>(row, "vni")?).map_err(|error| unreadable("vni", error))
}

/// Whether something was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Existed(pub(crate) bool);

impl Store {
    /// Stores a network; answers with what is stored, and whether it was there before.
    ///
    /// # Errors
    /// Its slice is unknown, it is being deleted, its VNI would change or is another's, its CIDR
    /// would change under its ports, or the database fails.
    pub(crate) async fn apply_network(
        &self,
        spec: &NetworkSpec,
    ) -> Result<(Network, Existed), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let slice: Option<bool> =
            sqlx::query_scalar("SELECT deleting FROM slice WHERE name = $1 FOR SHARE")
                .bind(spec.key.slice.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let unknown_slice = || StoreError::UnknownSlice(spec.key.slice.clone());
        let slice_deleting = slice.ok_or_else(unknown_slice)?;
        let existing = find(&mut transaction, &spec.key, Lock::Write).await?;
        let stored = existing.as_ref().map(|network| Stored {
            version: network.spec.version.clone(),
            deleting: network.deleting,
        });
        if admit(stored.as_ref(), &spec.version, "network", &spec.key)? == Admission::Write {
            if slice_deleting {
                return Err(unknown_slice());
            }
            if let Some(existing) = &existing {
                check_update(&mut transaction, existing, spec).await?;
            }
            let network = write(&mut transaction, spec).await?;
            transaction.commit().await?;
            return Ok((network, Existed(existing.is_some())));
        }
        let network = existing.ok_or(sqlx::Error::RowNotFound)?;
        Ok((network, Existed(true)))
    }

    /// A network, if there is one.
    pub(crate) async fn network(&self, key: &NetworkKey) -> Result<Option<Network>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM network WHERE slice = $1 AND name = $2")
            .bind(key.slice.as_str())
            .bind(key.name.as_str())
            .fetch_optional(&self.pool)
            .await?)
    }

    /// All networks, by name.
    pub(crate) async fn networks(&self) -> Result<Vec<Network>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM network ORDER BY slice, name")
            .fetch_all(&self.pool)
            .await?)
    }

    /// Names of a network's ports.
    pub(crate) async fn port_keys(&self, key: &NetworkKey) -> Result<Vec<PortKey>, StoreError> {
        let rows = sqlx::query("SELECT name FROM port WHERE slice = $1 AND network = $2")
            .bind(key.slice.as_str())
            .bind(key.name.as_str())
            .fetch_all(&self.pool)
            .await?;
        let keys = rows.iter().map(|row| {
            let (slice, network) = (key.slice.clone(), key.name.clone());
            Ok(PortKey { slice, network, name: parsed(row, "name")? })
        });
        Ok(keys.collect::<sqlx::Result<_>>()?)
    }

    /// Marks a network for deletion; answers with it, or none if there is none.
    ///
    /// # Errors
    /// It has ports, or the database fails.
    pub(crate) async fn mark_network(
        &self,
        key: &NetworkKey,
    ) -> Result<Option<Network>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if find(&mut transaction, key, Lock::Write).await?.is_none() {
            return Ok(None);
        }
        if has_ports(&mut transaction, key).await? {
            let name = key.to_string();
            return Err(StoreError::InUse { kind: "network", name, what: "ports" });
        }
        let network = sqlx::query_as(
            "UPDATE network SET deleting = true,
                traceparent = CASE WHEN deleting THEN traceparent ELSE $3 END
             WHERE slice = $1 AND name = $2 RETURNING *",
        )
        .bind(key.slice.as_str())
        .bind(key.name.as_str())
        .bind(traceparent())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(network))
    }

    /// Forgets a network whose deletion is complete, with its blocks.
    pub(crate) async fn remove_network(&self, key: &NetworkKey) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM network WHERE slice = $1 AND name = $2 AND deleting")
            .bind(key.slice.as_str())
            .bind(key.name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// How a network's row is locked until the transaction ends.
#[derive(Clone, Copy)]
pub(super) enum Lock {
    /// Nobody else changes it, or stores a port of it.
    Write,
    /// Nobody else changes it.
    Keep,
    /// Nobody else stores a port of it with this lock: those that choose an address take turns,
    /// and do not all choose the same.
    Choose,
}

/// Reads and locks a network.
pub(super) async fn find(
    connection: &mut PgConnection,
    key: &NetworkKey,
    lock: Lock,
) -> Result<Option<Network>, sqlx::Error> {
    let query = match lock {
        Lock::Write => "SELECT * FROM network WHERE slice = $1 AND name = $2 FOR UPDATE",
        Lock::Keep => "SELECT * FROM network WHERE slice = $1 AND name = $2 FOR KEY SHARE",
        Lock::Choose => "SELECT * FROM network WHERE slice = $1 AND name = $2 FOR NO KEY UPDATE",
    };
    sqlx::query_as(query)
        .bind(key.slice.as_str())
        .bind(key.name.as_str())
        .fetch_optional(connection)
        .await
}

async fn has_ports(connection: &mut PgConnection, key: &NetworkKey) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM port WHERE slice = $1 AND network = $2)")
        .bind(key.slice.as_str())
        .bind(key.name.as_str())
        .fetch_one(connection)
        .await
}

/// Refuses what cannot change; gives up the blocks of a CIDR that does.
async fn check_update(
    connection: &mut PgConnection,
    stored: &Network,
    spec: &NetworkSpec,
) -> Result<(), StoreError> {
    if stored.spec.vni != spec.vni {
        return Err(StoreError::VniFixed { network: spec.key.clone(), vni: stored.spec.vni });
    }
    if stored.spec.cidr == spec.cidr {
        return Ok(());
    }
    if has_ports(connection, &spec.key).await? {
        let name = spec.key.to_string();
        return Err(StoreError::InUse { kind: "network", name, what: "ports, so its CIDR stays" });
    }
    sqlx::query("DELETE FROM block WHERE slice = $1 AND network = $2")
        .bind(spec.key.slice.as_str())
        .bind(spec.key.name.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write(connection: &mut PgConnection, spec: &NetworkSpec) -> Result<Network, StoreError> {
    sqlx::query_as(
        "INSERT INTO network (slice, name, uid, generation, vni, cidr, mtu, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6::cidr, $7, $8)
         ON CONFLICT (slice, name) DO UPDATE SET
            uid = excluded.uid, generation = excluded.generation, cidr = excluded.cidr,
            mtu = excluded.mtu, traceparent = excluded.traceparent
         RETURNING *",
    )
    .bind(spec.key.slice.as_str())
    .bind(spec.key.name.as_str())
    .bind(&spec.version.uid)
    .bind(spec.version.generation)
    .bind(spec.vni.get().cast_signed())
    .bind(spec.cidr)
    .bind(i32::from(spec.mtu))
    .bind(traceparent())
    .fetch_one(connection)
    .await
    .map_err(|error| match StoreError::broken_constraint(&error) {
        Some("network_vni") => StoreError::VniTaken(spec.vni),
        _ => error.into(),
    })
}
