use std::{fmt, sync::Arc};

use kube::{Resource, core::NamespaceResourceScope};
use l2sces_model::Name;
use serde::{Serialize, de::DeserializeOwned};

use crate::finalizer;

/// A resource that lies in a namespace.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<R> Namespaced for R where
    R: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

/// Names a resource among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Its namespace.
    pub namespace: String,
    /// Its name in that.
    pub name: String,
}

impl Reference {
    /// The reference to a resource.
    pub fn to<R: Resource>(resource: &R) -> Self {
        Self {
            namespace: resource.meta().namespace.clone().unwrap_or_default(),
            name: resource.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Names a network among those of all slices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey {
    /// Its slice.
    pub slice: Name,
    /// Its name in that.
    pub name: Name,
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slice, self.name)
    }
}

/// Whether a resource counts: it has the finalizer and is not being deleted. What is made for it is
/// removed before it goes away.
pub fn is_active<R: Resource>(finalizer: &str, resource: &R) -> bool {
    resource.meta().deletion_timestamp.is_none() && finalizer::is_on(finalizer, resource)
}

/// The resources that count, the oldest first.
pub fn by_age<'a, R: Resource>(finalizer: &str, resources: &'a [Arc<R>]) -> Vec<&'a Arc<R>> {
    let mut active = held_by_age(finalizer, resources);
    active.retain(|resource| is_active(finalizer, &***resource));
    active
}

/// The resources that have the finalizer, those too that are being deleted, the oldest first.
pub fn held_by_age<'a, R: Resource>(finalizer: &str, resources: &'a [Arc<R>]) -> Vec<&'a Arc<R>> {
    let held = resources.iter().filter(|resource| finalizer::is_on(finalizer, &***resource));
    let mut held: Vec<_> = held.collect();
    held.sort_by_cached_key(|resource| {
        let created = resource.meta().creation_timestamp.as_ref().map(|time| time.0);
        (created, Reference::to(&***resource))
    });
    held
}
