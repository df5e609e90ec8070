//! The cluster's resources, kept as they are by watches.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Client,
    runtime::{reflector, reflector::Store},
};
use l2sces_custom_resources::{L2Network, NetworkEdgeDevice, Overlay};
use l2sces_kubernetes::keep;

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
                keep(&client, nodes_writer, |of| tell(changed(of, |_| Changed::Node))),
                keep(&client, overlays_writer, |of| tell(changed(of, Changed::Overlay))),
                keep(&client, devices_writer, |of| tell(changed(of, Changed::Device))),
                keep(&client, networks_writer, |of| tell(changed(of, Changed::Network))),
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

/// What has changed, by the resource, if it is known which.
fn changed(reference: Option<Reference>, kind: impl FnOnce(Reference) -> Changed) -> Changed {
    reference.map_or(Changed::Listed, kind)
}
