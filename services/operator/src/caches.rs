//! The cluster's resources, kept as they are by watches.

use std::{
    fmt::Debug,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt, reflector,
        reflector::{Store, store::Writer},
        watcher,
        watcher::Event,
    },
};
use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay};
use serde::de::DeserializeOwned;

use crate::plan::{Reference, Snapshot};

/// What is kept.
#[derive(Clone)]
pub(crate) struct Caches {
    /// Everything is known.
    ready: Arc<AtomicBool>,
    pub(crate) nodes: Store<Node>,
    pub(crate) overlays: Store<Overlay>,
    pub(crate) devices: Store<NetworkEdgeDevice>,
    pub(crate) networks: Store<L2Network>,
}

/// Which resource has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Any: all of a kind were listed.
    Listed,
    Node,
    Overlay(Reference),
    Device(Reference),
    Network(Reference),
}

impl Caches {
    /// Keeps all resources at what they are, and tells what changes, for as long as the future is
    /// polled.
    pub(crate) fn follow(
        client: &Client,
        tell: impl Fn(Changed),
    ) -> (Self, impl Future<Output = ()>) {
        let (nodes, nodes_writer) = reflector::store();
        let (overlays, overlays_writer) = reflector::store();
        let (devices, devices_writer) = reflector::store();
        let (networks, networks_writer) = reflector::store();
        let ready = Arc::default();
        let caches = Self { ready, nodes, overlays, devices, networks };
        let (client, complete) = (client.clone(), caches.clone());
        let following = async move {
            let completing = async {
                // An error says that the watches have ended, and this with them.
                if complete.wait_until_ready().await.is_ok() {
                    complete.ready.store(true, Ordering::Release);
                    tell(Changed::Listed);
                }
            };
            tokio::join!(
                completing,
                follow(&client, nodes_writer, |_| Changed::Node, &tell),
                follow(&client, overlays_writer, Changed::Overlay, &tell),
                follow(&client, devices_writer, Changed::Device, &tell),
                follow(&client, networks_writer, Changed::Network, &tell),
            );
        };
        (caches, following)
    }

    /// Whether everything is known.
    pub(crate) fn are_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    async fn wait_until_ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.nodes.wait_until_ready().await?;
        self.overlays.wait_until_ready().await?;
        self.devices.wait_until_ready().await?;
        self.networks.wait_until_ready().await
    }

    /// All resources as they are now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            nodes: self.nodes.state(),
            overlays: self.overlays.state(),
            devices: self.devices.state(),
            networks: self.networks.state(),
        }
    }
}

async fn follow<K>(
    client: &Client,
    writer: Writer<K>,
    changed: impl Fn(Reference) -> Changed,
    tell: &impl Fn(Changed),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash,
{
    let kind = K::kind(&()).into_owned();
    let changes = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        // Large, and of no interest.
        .modify(|resource| resource.managed_fields_mut().clear())
        .reflect(writer);
    let mut changes = std::pin::pin!(changes.into_stream());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Event::Apply(resource) | Event::Delete(resource) | Event::InitApply(resource)) => {
                tell(changed(Reference::to(&resource)));
            }
            Ok(Event::Init) => {}
            // What is not among them has gone, which nothing else tells of.
            Ok(Event::InitDone) => tell(Changed::Listed),
            Err(error) => tracing::warn!(kind, %error, "cannot watch"),
        }
    }
}
