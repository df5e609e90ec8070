use l2sces_grpc::Channel;
use l2sces_kubernetes::{Problem, Trouble, conditions::WAITING};
use l2sces_proto::resource::v1::{Condition, ConditionStatus, Metadata};
use l2sces_watch::{Board, ChangeStream};
use prost::Message;
use tonic::{Code, Status};

use super::{SERVICE, kind::Kind, settled::Settled};

/// The objects of a kind that the slice-manager has.
pub(crate) struct Objects<K: Kind> {
    channel: Channel,
    pub(crate) board: Board<K::Key, K::Object>,
    settled: Settled<K::Key>,
}

impl<K: Kind> Objects<K> {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, board: Board::new(), settled: Settled::new() }
    }

    /// Begins to tell of them.
    pub(crate) async fn watch(&self) -> Result<ChangeStream<K::Key, K::Object>, Status> {
        K::watch(self.channel.clone()).await
    }

    /// Whether an object may be made or changed in the name of whoever manages it.
    ///
    /// # Errors
    /// It is somebody else's, or is being deleted.
    pub(crate) fn check(&self, key: &K::Key, managed_by: &str) -> Result<(), Trouble> {
        let Some(known) = self.board.state(key) else { return Ok(()) };
        let metadata = K::metadata(&known);
        if metadata.delete_time.is_some() {
            let message =
                format!("{} {key} is being deleted, and made anew when it is gone", K::WHAT);
            return Err(Trouble::waiting(message));
        }
        if metadata.managed_by == managed_by {
            return Ok(());
        }
        let other = match metadata.managed_by.as_str() {
            "" => "was made by somebody else".to_owned(),
            other => format!("is managed by {other}"),
        };
        let message = format!("{} {key} exists, and {other}: it is left alone", K::WHAT);
        Err(Problem::new("AlreadyExists", message).into())
    }

    /// Makes sure that the slice-manager has an object, which has passed [`check`](Self::check). Calls
    /// it only if it is not known to have it.
    pub(crate) async fn keep(
        &self,
        key: &K::Key,
        mut metadata: Metadata,
        mut object: K::Object,
    ) -> Result<(), Trouble> {
        let content = object.encode_to_vec();
        let answer = match self.board.state(key).map(|known| K::metadata(&known)) {
            Some(known) if self.settled.is_as_sent(key, &content, &known) => return Ok(()),
            Some(known) => {
                // Somebody who was faster is not overwritten unseen.
                metadata.etag = known.etag;
                K::set_metadata(&mut object, metadata);
                K::update(self.channel.clone(), object).await
            }
            None => {
                K::set_metadata(&mut object, metadata);
                K::create(self.channel.clone(), object).await
            }
        };
        let answer = answer.map_err(|status| trouble(&status))?;
        self.settled.note(key, content, K::metadata(&answer));
        Ok(())
    }

    /// Has an object removed, if it is that of whoever manages it. It is gone if there is no trouble.
    pub(crate) async fn remove(&self, key: &K::Key, managed_by: &str) -> Result<(), Trouble> {
        // Not what is known by the watch, which may not have told yet of what was just made.
        let object = match K::get(self.channel.clone(), key).await {
            Ok(object) => object,
            Err(status) if status.code() == Code::NotFound => {
                self.settled.forget(key);
                return Ok(());
            }
            Err(status) => return Err(trouble(&status)),
        };
        let metadata = K::metadata(&object);
        if metadata.managed_by != managed_by {
            return Ok(());
        }
        if metadata.delete_time.is_none() {
            K::delete(self.channel.clone(), key, metadata.etag)
                .await
                .map_err(|status| trouble(&status))?;
        }
        let message = ready(K::conditions(&object))
            .filter(|_| metadata.delete_time.is_some())
            .map(|ready| ready.message.clone())
            .filter(|message| !message.is_empty());
        let waits = message.map(|message| format!(": {message}")).unwrap_or_default();
        Err(Trouble::waiting(format!("{} {key} is being deleted{waits}", K::WHAT)))
    }

    /// Why an object is not as it was sent last.
    pub(crate) fn problem(&self, key: &K::Key) -> Option<Problem> {
        let waiting = || {
            let message = format!("{SERVICE} has not carried out {} {key} yet", K::WHAT);
            Some(Problem::new(WAITING, message))
        };
        let Some(object) = self.board.state(key) else { return waiting() };
        let metadata = K::metadata(&object);
        let Some(ready) = ready(K::conditions(&object)) else { return waiting() };
        if self.settled.is_newer_than(key, &metadata)
            || ready.observed_generation < metadata.generation
        {
            return waiting();
        }
        match ready.status() {
            ConditionStatus::True => None,
            ConditionStatus::False if ready.reason == WAITING => {
                Some(Problem::new(WAITING, ready.message.clone()))
            }
            ConditionStatus::False => Some(Problem::new("NotReady", ready.message.clone())),
            ConditionStatus::Unknown | ConditionStatus::Unspecified => {
                Some(Problem::new("Unknown", ready.message.clone()))
            }
        }
    }
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.r#type == "Ready")
}

/// What is wrong when the slice-manager answers a call with this.
fn trouble(status: &Status) -> Trouble {
    let trouble = Trouble::of_call(SERVICE, status);
    match status.code() {
        // Trying again does not help before something that is watched has changed.
        Code::InvalidArgument => Trouble { is_waiting: true, ..trouble },
        // It is about to be told of, or has just gone.
        Code::AlreadyExists | Code::NotFound => Trouble::waiting(trouble.message),
        _ => trouble,
    }
}
