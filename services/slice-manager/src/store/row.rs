use chrono::{DateTime, Utc};
use l2sces_trace::TraceContext;
use sqlx::FromRow;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Key, Meta, Resource, Stored};

/// A `select` of whole resources, followed by the given clauses.
macro_rules! select {
    ($($clause:literal),* $(,)?) => {
        concat!(
            "select resource.uid, resource.kind, resource.slice, resource.network, resource.name, \
             generation, revision, create_time, delete_time, managed_by, traceparent, \
             spec::text as spec, status::text as status from resource ",
            $($clause),*
        )
    };
}
pub(super) use select;

/// What an `insert` or `update` of one resource returns.
macro_rules! returning {
    () => {
        " returning resource.uid, resource.kind, resource.slice, resource.network, resource.name, \
         generation, revision, create_time, delete_time, managed_by, traceparent, \
         spec::text as spec, status::text as status"
    };
}
pub(super) use returning;

/// A resource as the database has it.
#[derive(Debug, FromRow)]
pub(super) struct Row {
    pub(super) uid: Uuid,
    pub(super) kind: String,
    pub(super) slice: String,
    pub(super) network: String,
    pub(super) name: String,
    pub(super) generation: i64,
    pub(super) revision: i64,
    pub(super) create_time: DateTime<Utc>,
    pub(super) delete_time: Option<DateTime<Utc>>,
    pub(super) managed_by: String,
    pub(super) traceparent: String,
    pub(super) spec: String,
    pub(super) status: String,
}

impl Row {
    pub(super) fn meta(&self) -> Result<Meta, StoreError> {
        Ok(Meta {
            uid: self.uid,
            key: Key::from_parts(&self.kind, &self.slice, &self.network, &self.name)?,
            generation: self.generation,
            revision: self.revision,
            create_time: self.create_time,
            delete_time: self.delete_time,
            managed_by: self.managed_by.clone(),
            origin: TraceContext::received(&self.traceparent),
        })
    }

    pub(super) fn parse<R: Resource>(&self) -> Result<Stored<R>, StoreError> {
        Ok(Stored {
            meta: self.meta()?,
            spec: serde_json::from_str(&self.spec)?,
            status: serde_json::from_str(&self.status)?,
        })
    }
}

/// Resources of several kinds, read together.
#[derive(Debug, Default)]
pub struct AnyStored {
    rows: Vec<(Key, Row)>,
}

impl AnyStored {
    pub(super) fn new(rows: Vec<Row>) -> Result<Self, StoreError> {
        let keyed = |row: Row| row.meta().map(|meta| (meta.key, row));
        Ok(Self { rows: rows.into_iter().map(keyed).collect::<Result<_, _>>()? })
    }

    /// The resource with this key, if it was there.
    ///
    /// # Errors
    /// What is stored is unreadable, as another kind for example.
    pub fn get<R: Resource>(&self, key: &Key) -> Result<Option<Stored<R>>, StoreError> {
        let found = self.rows.iter().find(|(found, _)| found == key);
        found.map(|(_, row)| row.parse()).transpose()
    }
}
