//! The cluster's resources, kept as they are by watches.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kube::{
    Client,
    runtime::{
        reflector,
        reflector::{ObjectRef, Store},
    },
};
use l2sces_custom_resources::{ProviderProfile, SliceNetwork, SliceOverlay};
use l2sces_kubernetes::{Reference, keep};

use crate::plan::Snapshot;

/// What is kept.
#[derive(Clone)]
pub(crate) struct Caches {
    /// Everything is known.
    ready: Arc<AtomicBool>,
    overlays: Store<SliceOverlay>,
    networks: Store<SliceNetwork>,
    profiles: Store<ProviderProfile>,
}

/// Which resource has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Any: all of a kind were listed.
    Listed,
    Overlay(Reference),
    Network(Reference),
    Profile(Reference),
}

impl Caches {
    /// Keeps all resources at what they are, and tells what changes, for as long as the future is
    /// polled.
    pub(crate) fn follow(
        client: &Client,
        tell: impl Fn(Changed),
    ) -> (Self, impl Future<Output = ()>) {
        let (overlays, overlays_writer) = reflector::store();
        let (networks, networks_writer) = reflector::store();
        let (profiles, profiles_writer) = reflector::store();
        let caches = Self { ready: Arc::default(), overlays, networks, profiles };
        let (client, complete) = (client.clone(), caches.clone());
        let following = async move {
            let tell = &tell;
            let telling = |kind: fn(Reference) -> Changed| {
                move |of: Option<Reference>| tell(of.map_or(Changed::Listed, kind))
            };
            let completing = async {
                // An error says that the watches have ended, and this with them.
                if complete.wait_until_ready().await.is_ok() {
                    complete.ready.store(true, Ordering::Release);
                    tell(Changed::Listed);
                }
            };
            tokio::join!(
                completing,
                keep(&client, overlays_writer, telling(Changed::Overlay)),
                keep(&client, networks_writer, telling(Changed::Network)),
                keep(&client, profiles_writer, telling(Changed::Profile)),
            );
        };
        (caches, following)
    }

    /// Whether everything is known.
    pub(crate) fn are_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    async fn wait_until_ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.overlays.wait_until_ready().await?;
        self.networks.wait_until_ready().await?;
        self.profiles.wait_until_ready().await
    }

    /// All resources as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            overlays: self.overlays.state(),
            networks: self.networks.state(),
            profiles: self.profiles.state(),
        }
    }

    pub(crate) fn overlay(&self, reference: &Reference) -> Option<Arc<SliceOverlay>> {
        self.overlays.get(&ObjectRef::new(&reference.name).within(&reference.namespace))
    }

    pub(crate) fn network(&self, reference: &Reference) -> Option<Arc<SliceNetwork>> {
        self.networks.get(&ObjectRef::new(&reference.name).within(&reference.namespace))
    }

    pub(crate) fn profile(&self, reference: &Reference) -> Option<Arc<ProviderProfile>> {
        self.profiles.get(&ObjectRef::new(&reference.name).within(&reference.namespace))
    }
}
