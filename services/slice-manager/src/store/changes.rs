use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Scope, Store, StoreError, row::Row};
use crate::domain::{Meta, Resource, Stored};

/// A resource that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// What it was; its revision is that of its going.
    pub meta: Meta,
}

/// What happened to a resource.
#[derive(Clone, PartialEq, Debug)]
pub enum Change<R: Resource> {
    /// It exists, and is this now.
    Put(Box<Stored<R>>),
    /// It is gone.
    Gone(Gone),
}

/// What a watch can be resumed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Deletions up to this revision are forgotten.
    pub horizon: i64,
    /// The last revision there is: all up to it can be read.
    pub last: i64,
}

impl<R: Resource> Change<R> {
    /// Revision of the change.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put(stored) => stored.meta.revision,
            Self::Gone(gone) => gone.meta.revision,
        }
    }
}

#[derive(FromRow)]
struct ChangeRow {
    gone: bool,
    uid: Uuid,
    kind: String,
    slice: String,
    network: String,
    name: String,
    generation: i64,
    revision: i64,
    create_time: DateTime<Utc>,
    delete_time: Option<DateTime<Utc>>,
    managed_by: String,
    spec: String,
    status: String,
}

impl ChangeRow {
    fn parse<R: Resource>(self) -> Result<Change<R>, StoreError> {
        let row = Row {
            uid: self.uid,
            kind: self.kind,
            slice: self.slice,
            network: self.network,
            name: self.name,
            generation: self.generation,
            revision: self.revision,
            create_time: self.create_time,
            delete_time: self.delete_time,
            managed_by: self.managed_by,
            // Who watches does not carry it out.
            traceparent: String::new(),
            spec: self.spec,
            status: self.status,
        };
        if self.gone {
            Ok(Change::Gone(Gone { meta: row.meta()? }))
        } else {
            Ok(Change::Put(Box::new(row.parse()?)))
        }
    }
}

impl Store {
    /// Reads what a watch can be resumed from.
    ///
    /// # Errors
    /// The database fails.
    pub async fn bounds(&self) -> Result<Bounds, StoreError> {
        let (horizon, last) = sqlx::query_as(
            "select horizon.revision, greatest(horizon.revision, \
             (select max(revision) from resource), (select max(revision) from tombstone)) \
             from horizon",
        )
        .fetch_one(self.pool())
        .await?;
        Ok(Bounds { horizon, last })
    }

    /// Reads up to `limit` changes in their order: resources put after `put_after` and gone after
    /// `gone_after`. Of a resource, only the last change is seen.
    ///
    /// # Errors
    /// The database fails.
    pub async fn changes<R: Resource>(
        &self,
        scope: Scope<'_>,
        put_after: i64,
        gone_after: i64,
        limit: i64,
    ) -> Result<Vec<Change<R>>, StoreError> {
        let (low, high) = scope.bounds();
        let rows: Vec<ChangeRow> = sqlx::query_as(CHANGES)
            .bind(R::KIND.as_str())
            .bind(put_after)
            .bind(gone_after)
            .bind(low.0)
            .bind(low.1)
            .bind(high.0)
            .bind(high.1)
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.into_iter().map(ChangeRow::parse).collect()
    }
}

const CHANGES: &str = "
    select false as gone, uid, kind, slice, network, name, generation, revision, create_time,
           delete_time, managed_by, spec::text as spec, status::text as status
    from resource
    where kind = $1 and revision > $2
      and (slice, network) >= ($4, $5) and (slice, network) <= ($6, $7)
    union all
    select true, uid, kind, slice, network, name, generation, revision, create_time,
           delete_time, '', '', ''
    from tombstone
    where kind = $1 and revision > $3
      and (slice, network) >= ($4, $5) and (slice, network) <= ($6, $7)
    order by revision limit $8";
