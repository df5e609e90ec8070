//! Tells how objects fare, from watches of three kinds of custom resources.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    pin::Pin,
};

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Event, watcher};
use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay};
use l2sces_trace::Caused;
use tonic::Status;

use super::{
    KubernetesClient,
    manifests::{Custom, selector},
    observation::{Observation, ResourceId},
};
use crate::downstream::{
    ObjectKey,
    remote::{StateChange, StateStream},
};

/// Longest that a watch lasts, in seconds, before it is asked for again: one that the server does not
/// end by then is dead.
const WATCH_SECONDS: u32 = 30;

/// Kinds of custom resources that are watched.
const KINDS: usize = 3;

/// What the watch of one kind tells.
enum News {
    /// A resource is like this, and was made of this object.
    Seen(Option<ObjectKey>, Box<Observation>),
    /// A resource is gone.
    Gone(ResourceId),
    /// All that are there are told again from here on.
    Begun,
    /// All that are there have been told.
    Told,
}

type NewsStream = Pin<Box<dyn Stream<Item = Result<News, Status>> + Send>>;

/// How objects fare, until one of the watches breaks.
pub(super) fn states(client: &KubernetesClient) -> StateStream {
    let news = stream::select_all([
        news::<Overlay>(client),
        news::<NetworkEdgeDevice>(client),
        news::<L2Network>(client),
    ]);
    let told = Told::new(client.clone());
    let changes =
        stream::try_unfold((news, told, VecDeque::new()), |(mut news, mut told, mut due)| async {
            loop {
                if let Some(what) = due.pop_front() {
                    return Ok(Some((Caused { what, cause: None }, (news, told, due))));
                }
                match news.next().await {
                    Some(Ok(event)) => due.extend(told.hear(event)?),
                    Some(Err(status)) => return Err(status),
                    None => return Ok(None),
                }
            }
        });
    Box::pin(changes)
}

fn news<K: Custom>(client: &KubernetesClient) -> NewsStream {
    let config = watcher::Config::default().labels(&selector(None)).timeout(WATCH_SECONDS);
    let events = watcher(client.api::<K>(), config).map(|event| match event {
        Ok(Event::Init) => Ok(News::Begun),
        Ok(Event::InitDone) => Ok(News::Told),
        Ok(Event::InitApply(resource) | Event::Apply(resource)) => {
            let (object, observation) = Observation::of(&resource);
            Ok(News::Seen(object, Box::new(observation)))
        }
        Ok(Event::Delete(resource)) => Ok(News::Gone(ResourceId::of(&resource))),
        Err(error) => Err(failure(&error)),
    });
    Box::pin(events)
}

fn failure(error: &watcher::Error) -> Status {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            super::refusal(error)
        }
        WatchError(status) => Status::unavailable(status.message.clone()),
        watcher::Error::NoResourceVersion => Status::unavailable(error.to_string()),
    }
}

/// What was told of the resources so far.
struct Told {
    client: KubernetesClient,
    /// The resources that are there.
    ids: HashSet<ResourceId>,
    /// The object of each resource.
    objects: HashMap<ResourceId, ObjectKey>,
    /// The resources of each object.
    seen: HashMap<ObjectKey, BTreeMap<ResourceId, Observation>>,
    /// Kinds whose resources have all been told.
    complete: usize,
    begun: usize,
}

impl Told {
    fn new(client: KubernetesClient) -> Self {
        let (ids, objects, seen) = (HashSet::new(), HashMap::new(), HashMap::new());
        Self { client, ids, objects, seen, complete: 0, begun: 0 }
    }

    /// What follows from news.
    ///
    /// # Errors
    /// The watch of one kind has lost track, and begins anew: so must the whole.
    fn hear(&mut self, news: News) -> Result<Vec<StateChange>, Status> {
        let concerned = match news {
            News::Begun => {
                self.begun += 1;
                if self.begun > KINDS {
                    return Err(Status::unavailable("a watch has lost track"));
                }
                return Ok(Vec::new());
            }
            News::Told => {
                self.complete += 1;
                if self.complete < KINDS {
                    return Ok(Vec::new());
                }
                self.client.acknowledged.forget_untold(&self.ids);
                let all: Vec<_> = self.seen.keys().cloned().collect();
                let states = all.into_iter().map(|key| self.state(key));
                return Ok(states.chain([StateChange::Synced]).collect());
            }
            News::Seen(object, observation) => {
                let id = observation.id.clone();
                self.client.acknowledged.see(&observation);
                self.ids.insert(id.clone());
                let former = match &object {
                    Some(object) => self.objects.insert(id.clone(), object.clone()),
                    None => self.objects.remove(&id),
                };
                let moved = former.filter(|former| Some(former) != object.as_ref());
                if let Some(former) = &moved {
                    self.drop_from(former, &id);
                }
                if let Some(object) = &object {
                    self.seen.entry(object.clone()).or_default().insert(id, *observation);
                }
                moved.into_iter().chain(object).collect::<Vec<_>>()
            }
            News::Gone(id) => {
                self.client.acknowledged.forget(&id);
                self.ids.remove(&id);
                let object = self.objects.remove(&id);
                if let Some(object) = &object {
                    self.drop_from(object, &id);
                }
                object.into_iter().collect()
            }
        };
        if self.complete < KINDS {
            return Ok(Vec::new());
        }
        Ok(concerned.into_iter().map(|key| self.state(key)).collect())
    }

    fn drop_from(&mut self, object: &ObjectKey, id: &ResourceId) {
        if let Some(resources) = self.seen.get_mut(object) {
            resources.remove(id);
            if resources.is_empty() {
                self.seen.remove(object);
            }
        }
    }

    fn state(&self, key: ObjectKey) -> StateChange {
        match self.seen.get(&key) {
            Some(resources) => {
                let state = self.client.acknowledged.state(resources.values());
                StateChange::Put(key, Box::new(state))
            }
            None => StateChange::Gone(key),
        }
    }
}
