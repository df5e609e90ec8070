use super::{Intents, Refusal};
use crate::{
    domain::{Key, Meta, Resource, Stored},
    signals::{Aspect, Changed, Signals},
    store::{Claim, Digest, Transaction},
    validate::Report,
};

/// Most bytes of a request's id.
const MAX_REQUEST_ID: usize = 128;

/// How a write is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Chosen by the client, so that it can repeat the request; empty: none.
    pub request_id: String,
    /// Fingerprint of the request.
    pub digest: Digest,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

/// How a write begins.
pub(super) enum Begun<R: Resource> {
    /// It is to be done.
    Fresh(Write),
    /// It has been done.
    Answered(Stored<R>),
}

/// A write on its way.
pub(super) struct Write {
    pub(super) transaction: Transaction,
    options: Options,
    signals: Signals,
}

impl Intents {
    pub(super) async fn write<R: Resource>(&self, options: Options) -> Result<Begun<R>, Refusal> {
        check_request_id(&options.request_id)?;
        let mut transaction = self.store.begin().await?;
        if !options.request_id.is_empty() && !options.validate_only {
            match transaction.claim_request(&options.request_id, options.digest).await? {
                Claim::New => {}
                Claim::Answered(stored) => return Ok(Begun::Answered(*stored)),
                Claim::Other => {
                    return Err(Report::of("request_id", "another request had it").into());
                }
            }
        }
        Ok(Begun::Fresh(Write { transaction, options, signals: self.signals.clone() }))
    }
}

impl Write {
    /// Makes the write durable and tells of what changed; or undoes it, if it was only a rehearsal.
    pub(super) async fn finish<R: Resource>(
        mut self,
        answer: Stored<R>,
        changed: &[Changed],
    ) -> Result<Stored<R>, Refusal> {
        if self.options.validate_only {
            return Ok(answer);
        }
        if !self.options.request_id.is_empty() {
            self.transaction.answer_request(&self.options.request_id, &answer).await?;
        }
        self.transaction.commit().await?;
        for changed in changed {
            self.signals.changed(changed, Aspect::Intent);
        }
        Ok(answer)
    }
}

fn check_request_id(id: &str) -> Result<(), Report> {
    if id.len() > MAX_REQUEST_ID {
        let description = format!("must have at most {MAX_REQUEST_ID} bytes, not {}", id.len());
        return Err(Report::of("request_id", description));
    }
    // Postgres has no NUL in a text.
    if id.chars().any(char::is_control) {
        return Err(Report::of("request_id", "must have no control characters"));
    }
    Ok(())
}

/// Refuses the request of a client that has seen another version; an empty etag is no check.
pub(super) fn check_etag(meta: &Meta, etag: &str) -> Result<(), Refusal> {
    if etag.is_empty() || etag == meta.etag() {
        Ok(())
    } else {
        Err(Refusal::Changed(meta.key.clone()))
    }
}

/// Refuses a reference to a resource that is to go.
pub(super) fn check_lasting(meta: &Meta) -> Result<(), Refusal> {
    if meta.is_deleting() { Err(Refusal::Deleting(meta.key.clone())) } else { Ok(()) }
}

/// The resource, or the refusal that there is none.
pub(super) fn found<R: Resource>(
    stored: Option<Stored<R>>,
    key: &Key,
) -> Result<Stored<R>, Refusal> {
    stored.ok_or_else(|| Refusal::NotFound(key.clone()))
}
