//! The one entry point: clusters, slices, networks, ports.
//!
//! The API ([`grpc`]) checks what clients send ([`validate`]) and changes desired state
//! ([`intent`]) in Postgres ([`store`]); who cares is told ([`signals`]); workers ([`reconcile`])
//! have the services [`downstream`] carry it out, and write what they learn of it.

mod config;
pub mod domain;
pub mod downstream;
pub mod grpc;
pub mod intent;
pub mod places;
pub mod reconcile;
pub mod signals;
pub mod store;
pub mod validate;
pub mod vault;

use std::sync::Arc;

use anyhow::Context;
pub use config::Config;
use l2sces_grpc::Dialer;

use crate::{
    intent::Intents,
    reconcile::Downstream,
    signals::Signals,
    store::{CHANNEL, MIGRATIONS, Store},
    validate::Rules,
};

/// Runs the service until `shutdown` resolves.
///
/// # Errors
/// The configuration cannot be used, or the address is taken.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let dialer = Dialer::new(&config.server.tls)?;
    let sco_provider = dialer.channel(&config.sco_provider).context("--sco-provider")?;
    let pool = l2sces_postgres::connect(&config.database, &MIGRATIONS).await?;
    let store = Store::new(pool.clone());
    let signals = Signals::default();
    let rules = Rules { plaintext: config.server.tls.insecure_plaintext };
    let vault = Arc::new(config.vault().context("--encryption-key-file")?);
    let intents = Intents::new(store.clone(), signals.clone(), rules, Arc::clone(&vault));

    let notifications = l2sces_postgres::notifications(pool, CHANNEL);
    let downstream = Downstream { dialer, sco_provider, vault };
    let routes = grpc::routes(intents, &downstream);
    let served = l2sces_grpc::serve(&config.server, routes, grpc::access(), shutdown);
    tokio::select! {
        served = served => served.context("serve gRPC"),
        () = signals.relay(&store, notifications) => anyhow::bail!("no more notifications"),
        () = reconcile::lead(&store, &signals, &downstream) => anyhow::bail!("no more work"),
    }
}
