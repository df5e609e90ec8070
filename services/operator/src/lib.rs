//! The operator of one Kubernetes cluster.
//!
//! ```text
//!   resources --watch--> caches --> plan --wakes--> reconcile --> sdn-controller, sco-provider
//!       ^                                              |                    |
//!       +--- finalizers, statuses, events, labels -----+<---- boards <------+ Watch
//! ```
//!
//! Everything is derived from the resources and from what the services say: nothing is kept here.

mod caches;
mod config;
mod leader;
mod measurement;
mod plan;
mod reconcile;
mod services;
mod stub_zone;

use std::{future::pending, sync::Arc};

use anyhow::Context;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use l2sces_grpc::{Access, Channel, Dialer, shutdown_signal};
use l2sces_reconcile::Queue;
use tonic::service::Routes;

use crate::{
    caches::Caches,
    leader::Candidate,
    reconcile::{AgentEndpoints, Parts, Reconciler, keys_of},
    services::{Fabric, Sco, follow},
    stub_zone::StubZones,
};

pub use config::Config;

/// Runs the operator until the process is asked to end. What it has made stays.
///
/// # Errors
/// The configuration is wrong, an address cannot be listened on, or there is no API server.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let dialer = Dialer::new(&config.server.tls)?;
    let fabric = dialer.channel(&config.sdn_controller).context("--sdn-controller")?;
    let sco = dialer.channel(&config.sco_provider).context("--sco-provider")?;
    let client = Client::try_default().await.context("find the API server")?;
    let candidate = Candidate::new(client.clone(), &config.namespace, &config.replica);
    let leading =
        candidate.lead(async || Box::pin(reconcile(&config, &client, &fabric, &sco)).await);
    let serving =
        l2sces_grpc::serve(&config.server, Routes::default(), Access::new(), shutdown_signal());
    tokio::select! {
        served = serving => {
            candidate.release().await;
            served.context("serving the API")
        }
        ended = leading => ended.context("reconciling"),
    }
}

/// Brings the services to what the resources ask for, for ever: the work of the leader.
///
/// # Errors
/// The watches have ended, which they do not by themselves.
async fn reconcile(
    config: &Config,
    client: &Client,
    fabric: &Channel,
    sco: &Channel,
) -> anyhow::Result<()> {
    let queue = Queue::new("resources");
    let woken = queue.clone();
    let (caches, caching) = Caches::follow(client, move |changed| {
        keys_of(changed).for_each(|key| woken.wake(key));
    });
    let reporter = Reporter {
        controller: "l2sces-operator".to_owned(),
        instance: Some(config.replica.clone()),
    };
    let reconciler = Arc::new(Reconciler::new(Parts {
        cluster: config.cluster.clone(),
        agents: AgentEndpoints {
            sps_agent: config.sps_agent_port,
            ned_agent: config.ned_agent_port,
            plaintext: config.server.tls.insecure_plaintext,
        },
        recorder: Recorder::new(client.clone(), reporter),
        client: client.clone(),
        caches,
        fabric: Fabric::new(fabric.clone()),
        sco: Sco::new(sco.clone(), config.cluster.clone()),
        queue,
    }));
    let fabric = follow(
        Fabric::name(),
        &reconciler.fabric.board,
        async || reconciler.fabric.watch().await,
        |news| reconciler.take_note(news),
    );
    let sco = follow(
        Sco::name(),
        &reconciler.sco.board,
        async || reconciler.sco.watch().await,
        |news| reconciler.take_note(news),
    );
    // None of these ends by itself.
    tokio::select! {
        () = caching => anyhow::bail!("the watches of resources ended"),
        () = fabric => anyhow::bail!("the watch of the sdn-controller ended"),
        () = sco => anyhow::bail!("the watch of the sco-provider ended"),
        () = stub_zones(config, client) => anyhow::bail!("the stub zones were let go"),
        () = Arc::clone(&reconciler).run() => anyhow::bail!("the workers ended"),
    }
}

/// Keeps the stub zones in place, if there is a server to forward them to.
async fn stub_zones(config: &Config, client: &Client) {
    let Some(server) = config.dns else { return pending().await };
    let zones = config.zones.clone();
    stub_zone::keep(client, &StubZones { zones, server }).await;
}
