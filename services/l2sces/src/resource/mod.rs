//! The four kinds of resources, as commands that do the same for each see them.

mod cluster;
mod network;
mod port;
mod readiness;
mod slice;

use std::{fmt, pin::Pin, time::SystemTime};

use l2sces_proto::resource::v1::{ChangeKind, Condition, Metadata};
use prost_types::Timestamp;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    manifest::{Kind, Manifest},
    session::Api,
};

/// Which resource: its parents' names and its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) slice: String,
    pub(crate) network: String,
    pub(crate) name: String,
}

impl Key {
    /// The names that there are, parents first.
    pub(crate) fn parts(&self) -> Vec<String> {
        let parts = [&self.slice, &self.network, &self.name];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts().join("/"))
    }
}

/// Which resources: all whose parents are these; an empty name is every parent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) slice: String,
    pub(crate) network: String,
}

/// How a resource is written.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) request_id: String,
    pub(crate) validate_only: bool,
    /// Of an update: what is taken away is not waited for, and pods do not stand against it.
    pub(crate) force: bool,
}

/// How a resource is deleted.
#[derive(Clone, Debug)]
pub(crate) struct DeleteOptions {
    pub(crate) etag: String,
    pub(crate) force: bool,
    pub(crate) write: WriteOptions,
}

/// What a watch reports.
#[derive(Clone, Debug)]
pub(crate) enum Change<R> {
    /// It exists, and is so.
    Put(R),
    /// It is gone.
    Deleted(R),
    /// All that existed has been reported.
    Synced,
}

/// Changes, each with the revision to resume after.
pub(crate) type Changes<R> = Pin<Box<dyn Stream<Item = Result<(Change<R>, i64), Status>>>>;

/// A page of a list, and the token of the next.
pub(crate) type Page<R> = (Vec<R>, String);

/// Most resources in a page.
const PAGE_SIZE: i32 = 1_000;

/// A kind of resource.
pub(crate) trait Resource: Clone + 'static {
    const KIND: Kind;
    /// Headings of the parts of its key.
    const NAME_COLUMNS: &'static [&'static str];
    /// Headings of its own columns.
    const COLUMNS: &'static [&'static str];

    fn key(&self) -> Key;
    fn metadata(&self) -> &Metadata;
    fn metadata_mut(&mut self) -> &mut Metadata;
    fn conditions(&self) -> &[Condition];
    /// What stands in its own columns.
    fn cells(&self) -> Vec<String>;
    fn manifest(&self) -> Manifest;

    /// Whether what is wanted is the same as of `stored`, which is how the server has it.
    fn wants_the_same_as(&self, stored: &Self) -> bool;

    async fn create(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status>;
    async fn get(api: &Api, key: &Key) -> Result<Self, Status>;
    async fn list(api: &Api, scope: &Scope, page_token: String) -> Result<Page<Self>, Status>;
    async fn update(api: &Api, resource: Self, options: WriteOptions) -> Result<Self, Status>;
    async fn delete(api: &Api, key: &Key, options: DeleteOptions) -> Result<Self, Status>;
    async fn watch(api: &Api, scope: &Scope, after_revision: i64) -> Result<Changes<Self>, Status>;

    /// Whether it is ready, in a word.
    fn readiness(&self) -> &'static str {
        readiness::word(self.metadata(), self.conditions())
    }

    /// Why it is not ready as this generation wants it; `None`: it is.
    fn why_not_ready(&self, generation: i64) -> Option<String> {
        readiness::why_not(self.metadata(), self.conditions(), generation)
    }
}

/// That of a resource for which the server gave none.
static NO_METADATA: Metadata = Metadata {
    name: String::new(),
    uid: String::new(),
    generation: 0,
    revision: 0,
    etag: String::new(),
    create_time: None,
    delete_time: None,
    managed_by: String::new(),
};

/// The resource of a response, which always has one.
fn present<R>(resource: Option<R>) -> Result<R, Status> {
    resource.ok_or_else(|| Status::internal("the answer lacks the resource"))
}

/// What a watch's response says.
fn change<R>(
    kind: ChangeKind,
    resource: Option<R>,
    revision: i64,
) -> Result<(Change<R>, i64), Status> {
    let change = match kind {
        ChangeKind::Put => Change::Put(present(resource)?),
        ChangeKind::Deleted => Change::Deleted(present(resource)?),
        ChangeKind::Synced => Change::Synced,
        ChangeKind::Unspecified => {
            return Err(Status::internal("the answer has no kind of change"));
        }
    };
    Ok((change, revision))
}

/// The time that ages are told against, in seconds since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Now(i64);

impl Now {
    pub(crate) fn from_clock() -> Self {
        Self(Timestamp::from(SystemTime::now()).seconds)
    }

    #[cfg(test)]
    pub(crate) fn at(seconds: i64) -> Self {
        Self(seconds)
    }

    /// How long ago something was made, in one unit that leaves two digits or more.
    pub(crate) fn age(self, created: Option<&Timestamp>) -> String {
        let Some(created) = created else { return String::new() };
        // The server's clock may be ahead.
        let seconds = (self.0 - created.seconds).max(0);
        match seconds {
            0..120 => format!("{seconds}s"),
            120..7_200 => format!("{}m", seconds / 60),
            7_200..172_800 => format!("{}h", seconds / 3_600),
            _ => format!("{}d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let created = Timestamp { seconds: 1_000, nanos: 0 };
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_800, "2d"),
            (-5, "0s"),
        ];
        for (passed, age) in cases {
            assert_eq!(Now::at(1_000 + passed).age(Some(&created)), age);
        }
        assert_eq!(Now::at(0).age(None), "");
    }

    #[test]
    fn a_key_is_a_path() {
        let key = Key { slice: "s1".into(), network: "blue".into(), name: "p1".into() };
        assert_eq!(key.to_string(), "s1/blue/p1");
        assert_eq!(Key { name: "a".into(), ..Key::default() }.to_string(), "a");
    }
}
