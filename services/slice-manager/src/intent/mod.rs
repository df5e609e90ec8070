//! What the API does to desired state: each request is one transaction, which checks a resource
//! against those it refers to while they are locked, writes it, and then wakes whoever cares.

mod clusters;
mod networks;
mod ports;
mod refusal;
mod slices;
mod write;

pub use refusal::{InUse, Refusal};
pub use write::Options;

use std::sync::Arc;

use crate::{
    domain::{Key, Resource, Stored},
    signals::Signals,
    store::{Page, Scope, Store},
    validate::Rules,
    vault::Vault,
};

/// Desired state, as the API changes and reads it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intents {
    store: Store,
    signals: Signals,
    rules: Rules,
    vault: Arc<Vault>,
}

impl Intents {
    /// Desired state in these tables, secrets sealed by this vault.
    pub const fn new(store: Store, signals: Signals, rules: Rules, vault: Arc<Vault>) -> Self {
        Self { store, signals, rules, vault }
    }

    /// The tables.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Who is told of changes.
    pub const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// What requests must keep to.
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// There is none, or the database fails.
    pub async fn get<R: Resource>(&self, key: &Key) -> Result<Stored<R>, Refusal> {
        self.store.get(key).await?.ok_or_else(|| Refusal::NotFound(key.clone()))
    }

    /// Reads one page of a list.
    ///
    /// # Errors
    /// The slice or network that narrows it does not exist, or the database fails.
    pub async fn list<R: Resource>(
        &self,
        scope: Scope<'_>,
        parents: &[Key],
        after: Option<&Key>,
        size: usize,
    ) -> Result<Page<R>, Refusal> {
        let page = self.store.list(scope, after, size).await?;
        if page.resources.is_empty() && !parents.is_empty() {
            // Only an empty list needs the question whether there is nothing or no such parent.
            for parent in parents {
                if !self.store.exists(parent).await? {
                    return Err(Refusal::NotFound(parent.clone()));
                }
            }
        }
        Ok(page)
    }
}
