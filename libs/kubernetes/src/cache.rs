use std::{fmt::Debug, hash::Hash};

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector::store::Writer, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;

use crate::{Reference, watch_config};

/// Keeps a store at what the cluster's resources of a kind are, for ever, and tells which one has
/// changed; nothing: any may have, as all were listed.
pub async fn keep<K>(client: &Client, writer: Writer<K>, tell: impl Fn(Option<Reference>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash,
{
    let kind = K::kind(&()).into_owned();
    let changes = watcher(Api::<K>::all(client.clone()), watch_config())
        .default_backoff()
        // Large, and of no interest.
        .modify(|resource| resource.managed_fields_mut().clear())
        .reflect(writer);
    let mut changes = std::pin::pin!(changes.into_stream());
    let mut listed = Vec::new();
    while let Some(change) = changes.next().await {
        match change {
            Ok(Event::Apply(resource) | Event::Delete(resource)) => {
                tell(Some(Reference::to(&resource)));
            }
            Ok(Event::Init) => listed.clear(),
            // They get into the store together, page by page: nobody would find this one there yet.
            Ok(Event::InitApply(resource)) => listed.push(Reference::to(&resource)),
            Ok(Event::InitDone) => {
                listed.drain(..).for_each(|reference| tell(Some(reference)));
                // What is not among them has gone, which nothing else tells of.
                tell(None);
            }
            Err(error) => tracing::warn!(kind, %error, "cannot watch"),
        }
    }
}
