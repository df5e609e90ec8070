use l2sces_model::Name;
use l2sces_trace::TraceContext;
use sqlx::{PgConnection, Postgres};
use thiserror::Error;
use uuid::Uuid;

use super::{
    AnyStored, PortPlace, Scope, Store, StoreError, queries,
    row::{Row, returning, select},
};
use crate::domain::{Condition, Key, Meta, Network, Resource, Slice, Status, Stored};

/// A change of desired state. Dropped without [`commit`](Self::commit), it never was.
///
/// `next_revision()` locks out every other writer until the end, so a transaction first locks the
/// rows that it is going to write, then writes, then commits at once.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
}

/// What others may do with a resource until the transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Read it and refer to it.
    Shared,
    /// Only read it. Not so strong as to hold up a row that merely refers to it, such as a place
    /// that is being remembered.
    Exclusive,
}

/// What a new resource has that only one can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// Its name.
    Name,
    /// The MAC address of a port.
    Mac,
    /// The IP address of a port.
    Address,
    /// The interface that a port is to be.
    Interface,
    /// The interface in a namespace that a port is to have.
    Namespace,
}

/// Why a resource could not be inserted.
#[derive(Debug, Error)]
pub enum InsertError {
    /// Another has what only one can have.
    #[error("another resource has the same {0:?}")]
    Conflict(Conflict),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Begins a change.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(Transaction { inner: self.pool().begin().await? })
    }
}

impl Transaction {
    /// Makes the change durable and visible.
    ///
    /// # Errors
    /// The database fails; whether the change was made is not known if the connection was lost.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// Reads and locks one resource, as it is once whoever holds it has let go.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lock<R: Resource>(
        &mut self,
        key: &Key,
        lock: Lock,
    ) -> Result<Option<Stored<R>>, StoreError> {
        self.lock_any(std::slice::from_ref(key), lock).await?.get(key)
    }

    /// Reads and locks resources in the common order: slices, networks, clusters.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lock_any(&mut self, keys: &[Key], lock: Lock) -> Result<AnyStored, StoreError> {
        let sql = match lock {
            Lock::Shared => LOCK_SHARED,
            Lock::Exclusive => LOCK_EXCLUSIVE,
        };
        AnyStored::new(queries::fetch_keys(sql, self.connection(), keys).await?)
    }

    /// Stores a new resource.
    ///
    /// # Errors
    /// It conflicts with another, or the database fails. Nothing more can be done with the
    /// transaction then.
    pub async fn insert<R: Resource>(
        &mut self,
        key: &Key,
        parent: Option<Uuid>,
        managed_by: &str,
        spec: &R::Spec,
    ) -> Result<Stored<R>, InsertError> {
        let ready = Condition::pending(chrono::Utc::now());
        let status = Status { ready, detail: R::Detail::default() };
        let inserted = sqlx::query_as(INSERT)
            .bind(Uuid::now_v7())
            .bind(key.kind().as_str())
            .bind(key.slice())
            .bind(key.network())
            .bind(key.name().as_str())
            .bind(parent)
            .bind(serde_json::to_string(spec).map_err(StoreError::from)?)
            .bind(serde_json::to_string(&status).map_err(StoreError::from)?)
            .bind(traceparent())
            .bind(managed_by)
            .fetch_one(self.connection())
            .await;
        let row: Row = inserted.map_err(insert_error)?;
        Ok(row.parse()?)
    }

    /// Stores another specification of a resource that is locked exclusively.
    ///
    /// # Errors
    /// The database fails.
    pub async fn replace<R: Resource>(
        &mut self,
        meta: &Meta,
        spec: &R::Spec,
    ) -> Result<Stored<R>, StoreError> {
        let row: Row = sqlx::query_as(REPLACE)
            .bind(meta.uid)
            .bind(serde_json::to_string(spec)?)
            .bind(traceparent())
            .fetch_one(self.connection())
            .await?;
        row.parse()
    }

    /// Asks for the deletion of a resource that is locked exclusively.
    ///
    /// # Errors
    /// The database fails.
    pub async fn mark_deleting<R: Resource>(
        &mut self,
        meta: &Meta,
    ) -> Result<Stored<R>, StoreError> {
        let row: Row = sqlx::query_as(MARK)
            .bind(meta.uid)
            .bind(traceparent())
            .fetch_one(self.connection())
            .await?;
        row.parse()
    }

    /// Asks for the deletion of everything below a slice or network that is locked exclusively, so
    /// that nothing is added; answers with what was not being deleted before.
    ///
    /// # Errors
    /// The database fails.
    pub async fn mark_children_deleting(
        &mut self,
        scope: Scope<'_>,
    ) -> Result<Vec<Key>, StoreError> {
        let locked: Vec<Row> = sqlx::query_as(LOCK_CHILDREN)
            .bind(scope.slice)
            .bind(scope.network)
            .fetch_all(self.connection())
            .await?;
        let uids: Vec<Uuid> = locked.iter().map(|row| row.uid).collect();
        sqlx::query(
            "update resource set delete_time = now(), revision = next_revision(), \
             traceparent = $2 where uid = any($1)",
        )
        .bind(uids)
        .bind(traceparent())
        .execute(self.connection())
        .await?;
        locked.iter().map(|row| row.meta().map(|meta| meta.key)).collect()
    }

    /// How many children, of those that nobody has asked to delete, a slice or network has.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count_lasting_children(&mut self, scope: Scope<'_>) -> Result<i64, StoreError> {
        let sql = if scope.network.is_empty() {
            "select count(*) from resource where kind = 'network' and slice = $1 and $2 = '' \
             and delete_time is null"
        } else {
            "select count(*) from resource where kind = 'port' and slice = $1 and network = $2 \
             and delete_time is null"
        };
        let count = sqlx::query_scalar(sql).bind(scope.slice).bind(scope.network);
        Ok(count.fetch_one(self.connection()).await?)
    }

    /// The slices that name a cluster.
    ///
    /// # Errors
    /// The database fails.
    pub async fn slices_naming(
        &mut self,
        cluster: &Name,
    ) -> Result<Vec<Stored<Slice>>, StoreError> {
        queries::slices_naming(self.connection(), cluster).await
    }

    /// The networks of a slice.
    ///
    /// # Errors
    /// The database fails.
    pub async fn networks_of(&mut self, slice: &Name) -> Result<Vec<Stored<Network>>, StoreError> {
        queries::networks_of(self.connection(), slice).await
    }

    /// The nodes of a cluster (empty: of any) that have ports of a scope.
    ///
    /// # Errors
    /// The database fails.
    pub async fn port_places(
        &mut self,
        scope: Scope<'_>,
        cluster: &str,
    ) -> Result<Vec<PortPlace>, StoreError> {
        queries::port_places(self.connection(), scope, cluster).await
    }
}

const LOCK_SHARED: &str = select!(
    "join unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
     as wanted (kind, slice, network, name) using (kind, slice, network, name) \
     order by kind desc, slice, network, name for share of resource"
);

const LOCK_EXCLUSIVE: &str = select!(
    "join unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
     as wanted (kind, slice, network, name) using (kind, slice, network, name) \
     order by kind desc, slice, network, name for no key update of resource"
);

const LOCK_CHILDREN: &str = select!(
    "where kind in ('network', 'port') and slice = $1 \
     and ($2 = '' or kind = 'port' and network = $2) and delete_time is null \
     order by kind, slice, network, name for no key update"
);

const INSERT: &str = concat!(
    "insert into resource (uid, kind, slice, network, name, parent, generation, revision, \
     create_time, spec, status, traceparent, managed_by) \
     values ($1, $2, $3, $4, $5, $6, 1, next_revision(), now(), $7::jsonb, $8::jsonb, $9, $10)",
    returning!()
);

const REPLACE: &str = concat!(
    "update resource set spec = $2::jsonb, generation = generation + 1, \
     revision = next_revision(), settled = false, traceparent = $3 where uid = $1",
    returning!()
);

const MARK: &str = concat!(
    "update resource set delete_time = now(), revision = next_revision(), traceparent = $2 \
     where uid = $1",
    returning!()
);

/// The span in which somebody changes what is wanted.
fn traceparent() -> String {
    TraceContext::traceparent(TraceContext::current())
}

fn insert_error(error: sqlx::Error) -> InsertError {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    let conflict = match constraint {
        Some("resource_name") => Conflict::Name,
        Some("port_mac") => Conflict::Mac,
        Some("port_address") => Conflict::Address,
        Some("port_interface") => Conflict::Interface,
        Some("port_namespace") => Conflict::Namespace,
        _ => return InsertError::Store(error.into()),
    };
    InsertError::Conflict(conflict)
}

#[cfg(test)]
mod tests {
    use super::{super::queries::GET_ANY, *};

    #[test]
    fn the_locking_read_is_the_plain_read_in_order() {
        assert!(LOCK_SHARED.starts_with(GET_ANY));
        assert!(LOCK_EXCLUSIVE.starts_with(GET_ANY));
    }
}
