//! The operator of the control cluster.
//!
//! ```text
//!   resources --watch--> caches --> plan --wakes--> reconcile --> slice-manager
//!       ^                                              |                |
//!       +--- finalizers, statuses, events -------------+<---- boards <--+ watches
//! ```
//!
//! Everything is derived from the resources and from what the slice-manager says: nothing is kept here.

mod caches;
mod config;
mod manager;
mod plan;
mod reconcile;

use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use l2sces_custom_resources::{COMPONENT_LABEL, CONTROL_COMPONENT, PART_OF_LABEL, PART_OF_US};
use l2sces_grpc::{Access, Channel, Dialer, shutdown_signal};
use l2sces_kubernetes::{Candidate, Publisher, connect};
use l2sces_reconcile::Queue;
use tonic::service::Routes;

use crate::{
    caches::Caches,
    manager::SliceManager,
    reconcile::{Parts, Reconciler, keys_of},
};

pub use config::Config;

/// Name of its Lease, and of whom its statuses and events are.
const NAME: &str = "l2sces-slice-operator";

/// Labels of the Lease.
const LABELS: [(&str, &str); 2] =
    [(PART_OF_LABEL, PART_OF_US), (COMPONENT_LABEL, CONTROL_COMPONENT)];

/// Runs the operator until the process is asked to end. What it has made stays.
///
/// # Errors
/// The configuration is wrong, the address cannot be listened on, or there is no API server.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let dialer = Dialer::new(&config.server.tls)?;
    let manager = dialer.channel(&config.slice_manager).context("--slice-manager")?;
    let client = connect().await.context("find the API server")?;
    let candidate =
        Candidate::new(client.clone(), &config.namespace, NAME, &LABELS, &config.replica);
    let leading = candidate.lead(async || Box::pin(reconcile(&config, &client, &manager)).await);
    let serving =
        l2sces_grpc::serve(&config.server, Routes::default(), Access::new(), shutdown_signal());
    tokio::select! {
        served = serving => {
            candidate.release().await;
            served.context("serving health")
        }
        ended = leading => ended.context("reconciling"),
    }
}

/// Brings the slice-manager to what the resources ask for, for ever: the work of the leader.
///
/// # Errors
/// The watches have ended, which they do not by themselves.
async fn reconcile(config: &Config, client: &Client, manager: &Channel) -> anyhow::Result<()> {
    let queue = Queue::new("resources");
    let woken = queue.clone();
    let (caches, caching) = Caches::follow(client, move |changed| {
        keys_of(changed).for_each(|key| woken.wake(key));
    });
    let reconciler = Arc::new(Reconciler::new(Parts {
        publisher: Publisher::new(client.clone(), NAME, &config.replica),
        client: client.clone(),
        caches,
        manager: SliceManager::new(manager.clone()),
        queue,
    }));
    // None of these ends by itself.
    tokio::select! {
        () = caching => anyhow::bail!("the watches of resources ended"),
        () = reconciler.follow() => anyhow::bail!("the watches of the slice-manager ended"),
        () = Arc::clone(&reconciler).run() => anyhow::bail!("the workers ended"),
    }
}
