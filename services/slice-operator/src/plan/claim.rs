use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use l2sces_kubernetes::{Problem, Reference};
use l2sces_model::Name;

/// What a resource is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim<K, W> {
    /// The generation of the resource that says so.
    pub(crate) generation: Option<i64>,
    /// Which slice or network; or why that is not known, or is another resource.
    pub(crate) key: Result<K, Problem>,
    /// Why it is that still, though the resource says otherwise now.
    pub(crate) objection: Option<Problem>,
    /// What is wanted of it; or what is wrong with what the resource says: what is made stays as it is
    /// until that is right.
    pub(crate) wanted: Result<W, Problem>,
}

/// A claim on its way: of which resource, and whether what it claims is made already.
pub(super) struct Claimant<K, W> {
    pub(super) resource: Reference,
    pub(super) is_made: bool,
    pub(super) claim: Claim<K, W>,
}

/// The claims of resources of a kind, the oldest first. Of several that claim one thing, whoever has it
/// keeps it; else the oldest gets it.
pub(super) fn settle<K: Clone + Ord + fmt::Display, W>(
    kind: &str,
    what: &str,
    mut claimants: Vec<Claimant<K, W>>,
) -> BTreeMap<Reference, Claim<K, W>> {
    claimants.sort_by_key(|claimant| !claimant.is_made);
    let mut owners: BTreeMap<K, Reference> = BTreeMap::new();
    let settled = claimants.into_iter().map(|Claimant { resource, mut claim, .. }| {
        if let Ok(key) = claim.key.clone() {
            match owners.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(resource.clone());
                }
                Entry::Occupied(owner) => {
                    let message = format!("{what} {} is {kind} {}", owner.key(), owner.get());
                    claim.key = Err(Problem::new("NameTaken", message));
                }
            }
        }
        (resource, claim)
    });
    settled.collect()
}

/// The slice of a resource, and what is wrong with what the resource says of that. Where something is
/// made already it stays: it would lose its ports with any other.
pub(super) fn slice_of(
    recorded: Option<Name>,
    named: Result<Name, Problem>,
) -> (Result<Name, Problem>, Option<Problem>) {
    match (recorded, named) {
        (Some(slice), Ok(named)) if slice != named => {
            let message = format!(
                "it stays in slice {slice}: its provider cannot change; to have it in slice {named}, \
                 delete it and make it again"
            );
            (Ok(slice), Some(Problem::new("ProviderChanged", message)))
        }
        (Some(slice), named) => (Ok(slice), named.err()),
        (None, named) => (named, None),
    }
}
