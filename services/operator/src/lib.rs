//! The operator of one Kubernetes cluster.
//!
//! ```text
//!   resources --watch--> caches --> plan --wakes--> reconcile --> sdn-controller, sco-provider
//!       ^                                              |                    |
//!       +--- finalizers, statuses, events, labels -----+<---- boards <------+ Watch
//! ```
//!
//! Everything is derived from the resources and from what the services say: nothing is kept here.
//! Beside that, every replica attaches pods ([`attachment`]) and reviews them when they are made
//! (`webhook`).

mod attachment;
mod caches;
mod config;
mod issuer;
mod multus;
mod plan;
mod reconcile;
mod services;
mod stub_zone;
mod webhook;

use std::{future::pending, sync::Arc};

use anyhow::Context;
use kube::Client;
use l2sces_custom_resources::{PART_OF_LABEL, PART_OF_US, StubZones};
use l2sces_grpc::{Access, Channel, Dialer, shutdown_signal};
use l2sces_kubernetes::{Candidate, Publisher, connect};
use l2sces_pki::Credentials;
use l2sces_proto::attachment::v1::attachment_service_server::AttachmentServiceServer;
use l2sces_reconcile::Queue;
use l2sces_watch::follow;
use tonic::service::Routes;

use crate::{
    attachment::{
        Attacher, AttachmentApi, CALLERS, Directory, KubernetesDirectory, Ports, Progress,
    },
    caches::Caches,
    reconcile::{AgentEndpoints, Parts, Reconciler, keys_of},
    services::{Fabric, Feed, Sco, Told},
    webhook::Webhook,
};

pub use config::Config;
pub use issuer::IssuerArgs;

/// Name of its Lease, and of whom its statuses and events are.
const NAME: &str = "l2sces-operator";

/// Labels of the Lease.
const LABELS: [(&str, &str); 1] = [(PART_OF_LABEL, PART_OF_US)];

/// Runs the operator until the process is asked to end. What it has made stays.
///
/// # Errors
/// The configuration is wrong, an address cannot be listened on, or there is no API server.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let dialer = Dialer::new(&config.server.tls)?;
    let fabric = dialer.channel(&config.sdn_controller).context("--sdn-controller")?;
    let sco = dialer.channel(&config.sco_provider).context("--sco-provider")?;
    let client = connect().await.context("find the API server")?;
    let candidate =
        Candidate::new(client.clone(), &config.namespace, NAME, &LABELS, &config.replica);
    let credentials = config.server.tls.credentials()?;
    let has_multus = multus::is_installed(&client).await;
    let ports = Ports::new(fabric.clone());
    let feed = Feed::new(Fabric::name());
    let progress = Arc::new(Progress::new(feed.clone()));
    let directory: Arc<dyn Directory> = Arc::new(KubernetesDirectory::new(client.clone()));
    let leading = candidate.lead(async || {
        // None of these ends by itself.
        tokio::select! {
            ended = Box::pin(reconcile(&config, &client, (&fabric, &feed), &sco)) => ended,
            () = Box::pin(attachment::sweep(client.clone(), ports.clone())) => Ok(()),
            () = Box::pin(define(has_multus, &client)) => Ok(()),
            () = trust(&config, credentials.as_ref(), &client) => Ok(()),
        }
    });
    let attacher = Attacher::new(
        config.cluster.clone(),
        Arc::clone(&directory),
        ports.clone(),
        Arc::clone(&progress),
    );
    let api = AttachmentApi::new(attacher, config.cluster.clone());
    let routes = Routes::new(AttachmentServiceServer::new(api));
    let access = Access::new().allow::<AttachmentServiceServer<AttachmentApi>>(&CALLERS);
    let serving = l2sces_grpc::serve(&config.server, routes, access, shutdown_signal());
    let webhook = Webhook::new(directory, has_multus);
    let reviewing = Box::pin(review(&config, credentials.as_ref(), webhook));
    let (tls, namespace) = (&config.server.tls, &config.namespace);
    let issuing = issuer::serve(&config.issuer, tls, &client, namespace, sco.clone());
    tokio::select! {
        served = serving => {
            candidate.release().await;
            served.context("serving the API")
        }
        reviewed = reviewing => reviewed.context("serving admission reviews"),
        issued = issuing => issued.context("issuing certificates"),
        ended = leading => ended.context("reconciling"),
        () = Box::pin(Fabric::keep(fabric.clone(), &feed)) => {
            anyhow::bail!("the watch of the sdn-controller ended")
        }
        () = progress.follow() => anyhow::bail!("the news of ports ended"),
    }
}

/// Reviews pods, if there is an address for it, for ever.
///
/// # Errors
/// The address cannot be listened on, or there is no certificate for it.
async fn review(
    config: &Config,
    credentials: Option<&Credentials>,
    webhook: Webhook,
) -> anyhow::Result<()> {
    let Some(address) = config.webhook_listen else { return pending().await };
    let credentials = credentials.context("--webhook-listen needs --tls-cert")?;
    Ok(webhook::serve(address, credentials, webhook).await?)
}

/// Has the API server trust the webhook's certificate, if there is one.
async fn trust(config: &Config, credentials: Option<&Credentials>, client: &Client) {
    let (Some(_), Some(credentials)) = (config.webhook_listen, credentials) else {
        return pending().await;
    };
    let configuration = config.webhook_configuration.clone();
    webhook::trust(client.clone(), configuration, credentials.ca_pem().to_owned()).await;
}

/// Keeps the definitions of Multus, where it is.
async fn define(has_multus: bool, client: &Client) {
    if !has_multus {
        return pending().await;
    }
    multus::define(client.clone()).await;
}

/// Brings the services to what the resources ask for, for ever: the work of the leader.
///
/// # Errors
/// The watches have ended, which they do not by themselves.
async fn reconcile(
    config: &Config,
    client: &Client,
    (fabric, feed): (&Channel, &Feed),
    sco: &Channel,
) -> anyhow::Result<()> {
    let queue = Queue::new("resources");
    let woken = queue.clone();
    let (caches, caching) = Caches::follow(client, move |changed| {
        keys_of(changed).for_each(|key| woken.wake(key));
    });
    let reconciler = Arc::new(Reconciler::new(Parts {
        cluster: config.cluster.clone(),
        agents: AgentEndpoints {
            sps_agent: config.sps_agent_port,
            ned_agent: config.ned_agent_port,
            plaintext: config.server.tls.insecure_plaintext,
        },
        publisher: Publisher::new(client.clone(), NAME, &config.replica),
        client: client.clone(),
        caches,
        fabric: Fabric::new(fabric.clone(), feed),
        sco: Sco::new(sco.clone(), config.cluster.clone()),
        queue,
    }));
    let mut listener = feed.listen();
    let fabric = async {
        while let Some(told) = listener.next().await {
            match told {
                Told::News(news) => reconciler.take_note(news),
                Told::Missed => reconciler.look_at_everything(),
            }
        }
    };
    let sco = follow(
        Sco::name(),
        &reconciler.sco.board,
        async || reconciler.sco.watch().await,
        |news| reconciler.take_note(news),
    );
    // None of these ends by itself.
    tokio::select! {
        () = caching => anyhow::bail!("the watches of resources ended"),
        () = fabric => anyhow::bail!("the news of the sdn-controller ended"),
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
