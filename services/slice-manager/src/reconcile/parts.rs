//! What the functions for the kinds of resource have in common: parts in several services.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use l2sces_model::Name;
use uuid::Uuid;

use super::{Failure, Worker, finding::Part};
use crate::{
    domain::{Cluster, Key, Stored},
    downstream::{ClusterClient, ObjectKey, Remote, Service, Target, Trouble, Version},
    store::Placement,
};

/// Most calls for one resource at a time.
const CONCURRENCY: usize = 64;

/// An object that a service is to have.
pub(super) struct Wanted<S: Service> {
    /// Where it is, for people.
    pub(super) place: String,
    /// The service; or why there is none.
    pub(super) remote: Result<Remote<S>, Trouble>,
    pub(super) key: ObjectKey,
    pub(super) version: Version,
    pub(super) body: S::Body,
    /// Objects that the service must have first.
    pub(super) needs: Vec<ObjectKey>,
}

impl Worker {
    /// Makes sure that the services have these objects; how each fares, in the same order.
    pub(super) async fn apply<S: Service>(&self, wanted: Vec<Wanted<S>>) -> Vec<Part> {
        stream::iter(wanted)
            .map(|wanted| async move {
                let place = wanted.place.clone();
                Part { place, result: apply_one(wanted).await }
            })
            .buffered(CONCURRENCY)
            .collect()
            .await
    }

    /// Has what is no longer wanted removed, and forgets what is gone; what is left.
    pub(super) async fn clear(
        &self,
        owner: Uuid,
        places: Vec<Placement>,
    ) -> Result<Vec<Part>, Failure> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let forced = &self.store.forced_placements(owner).await?;
        let results: Vec<_> = stream::iter(places)
            .map(|place| async move {
                let result = self.clear_one(&place, forced.contains(&place)).await;
                (place, result)
            })
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let mut gone = Vec::new();
        let mut left = Vec::new();
        let mut waiting = BTreeSet::new();
        for (place, result) in results {
            match result? {
                None => {
                    // A cluster, or the removal of its nodes, may have waited for this.
                    if let Ok(Target::Cluster(name)) = place.target.parse() {
                        waiting.insert(Key::Cluster(name));
                    }
                    gone.push(place);
                }
                Some(part) => left.push(part),
            }
        }
        if !gone.is_empty() {
            self.store.forget(owner, &gone).await?;
            self.signals.wake(waiting);
        }
        Ok(left)
    }

    /// What is left in one place; nothing: it is gone there.
    async fn clear_one(&self, place: &Placement, force: bool) -> Result<Option<Part>, Failure> {
        // What is stored was written by this service; what it cannot read, no service has.
        let (Ok(target), Ok(object)) = (place.target.parse(), place.object.parse::<ObjectKey>())
        else {
            tracing::error!(?place, "a stored place that names nothing");
            return Ok(None);
        };
        let result = match &target {
            Target::Sco => self.remotes.sco().delete(&object, force).await,
            Target::Cluster(name) => match self.carrier(name).await? {
                // With its cluster everything in it is gone.
                None => Ok(true),
                Some(Err(trouble)) => Err(trouble),
                Some(Ok(remote)) => remote.delete(&object, force).await,
            },
        };
        let trouble = match result {
            Ok(true) => return Ok(None),
            Ok(false) => Trouble::Waiting(format!("{} is still there", object.describe())),
            Err(trouble) => trouble,
        };
        Ok(Some(Part { place: target.describe(), result: Err(trouble) }))
    }

    /// Who carries out what is wanted in a cluster; nothing: there is no such cluster.
    pub(super) async fn carrier(
        &self,
        name: &Name,
    ) -> Result<Option<Result<Remote<ClusterClient>, Trouble>>, Failure> {
        if let Some(remote) = self.remotes.known(name) {
            return Ok(Some(Ok(remote)));
        }
        let cluster: Option<Stored<Cluster>> = self.store.get(&Key::Cluster(name.clone())).await?;
        Ok(cluster.map(|cluster| self.remotes.cluster(name, &cluster.spec.driver)))
    }

    /// Makes sure that every place is remembered before anything is made there. The transaction
    /// that called for them did so already, but for places that follow from another resource's
    /// change.
    pub(super) async fn remember(
        &self,
        owner: Uuid,
        known: &BTreeSet<Placement>,
        wanted: &[Placement],
    ) -> Result<(), Failure> {
        let missing: Vec<Placement> =
            wanted.iter().filter(|place| !known.contains(place)).cloned().collect();
        if !missing.is_empty() {
            self.store.place(owner, &missing).await?;
        }
        Ok(())
    }
}

async fn apply_one<S: Service>(wanted: Wanted<S>) -> Result<crate::downstream::Applied, Trouble> {
    let remote = wanted.remote?;
    // The service would refuse, and nobody but a timer would try again. Whoever brings what is
    // missing wakes those that need it.
    if let Some(missing) = wanted.needs.iter().find(|need| remote.state(need).is_none()) {
        remote.check_health_for(&wanted.key)?;
        return Err(Trouble::Waiting(format!("{} is not there yet", missing.describe())));
    }
    remote.apply(wanted.key, &wanted.version, wanted.body).await
}

/// Places that are remembered and no longer wanted.
pub(super) fn obsolete(known: &BTreeSet<Placement>, wanted: &[Placement]) -> Vec<Placement> {
    let wanted: BTreeSet<&Placement> = wanted.iter().collect();
    known.iter().filter(|place| !wanted.contains(place)).cloned().collect()
}
