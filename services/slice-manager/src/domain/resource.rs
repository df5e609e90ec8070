use std::fmt::Debug;

use chrono::{DateTime, Utc};
use l2sces_trace::TraceContext;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Condition, Key, Kind, Truth};

/// A kind of resource as a type: what is wanted of it, and what is known of it.
pub trait Resource: Debug + Send + Sync + 'static {
    /// The kind as a value.
    const KIND: Kind;
    /// What is wanted.
    type Spec: Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync;
    /// What is known beside the condition.
    type Detail: Clone + PartialEq + Debug + Default + Serialize + DeserializeOwned + Send + Sync;
}

/// Identity and versions of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// Unique over all time.
    pub uid: Uuid,
    /// Kind and names.
    pub key: Key,
    /// Grows by one with every change of the specification.
    pub generation: i64,
    /// Grows with every change; comparable within the database.
    pub revision: i64,
    /// When it was created.
    pub create_time: DateTime<Utc>,
    /// When its deletion was asked for.
    pub delete_time: Option<DateTime<Utc>>,
    /// Who manages it; empty: nobody in particular.
    #[serde(default)]
    pub managed_by: String,
    /// The span in which what is wanted of it was changed last.
    #[serde(skip)]
    pub origin: Option<TraceContext>,
}

impl Meta {
    /// Version of the specification, opaque to clients.
    pub fn etag(&self) -> String {
        format!("{}-{:x}", self.uid.simple(), self.generation)
    }

    /// Whether the resource is to go.
    pub const fn is_deleting(&self) -> bool {
        self.delete_time.is_some()
    }
}

/// What is known of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status<D> {
    /// The "Ready" condition.
    pub ready: Condition,
    /// The rest.
    pub detail: D,
}

/// A resource as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Stored<R: Resource> {
    /// Identity and versions.
    pub meta: Meta,
    /// What is wanted.
    pub spec: R::Spec,
    /// What is known.
    pub status: Status<R::Detail>,
}

impl<R: Resource> Stored<R> {
    /// Whether nothing has been found out about the present generation yet.
    pub fn has_changed(&self) -> bool {
        self.status.ready.observed_generation != self.meta.generation
    }

    /// Whether the present generation is known to be as wanted, so that nothing is left to do.
    pub fn is_settled(&self) -> bool {
        let ready = &self.status.ready;
        ready.status == Truth::True && ready.observed_generation == self.meta.generation
    }
}
