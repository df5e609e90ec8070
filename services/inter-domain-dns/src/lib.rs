//! Authoritative DNS for endpoints across clusters.
//!
//! Records come by gRPC ([`grpc`]), are kept in Postgres ([`store`]), follow from there into memory
//! ([`memory`]), and are answered from there ([`dns`], which asks [`zone`]).

pub mod dns;
pub mod grpc;
pub mod memory;
pub mod store;
pub mod zone;

mod config;

use std::sync::Arc;

use anyhow::Context;
use l2sces_grpc::{Access, shutdown_signal};
use l2sces_pki::Role;
use l2sces_proto::dns::v1::record_service_server::RecordServiceServer;
use tonic::service::Routes;

pub use config::Config;

use self::{
    dns::{Responder, Server},
    grpc::Records,
    memory::Memory,
    store::{CHANNEL, MIGRATIONS, Store},
    zone::Authority,
};

/// Serves until SIGTERM or SIGINT.
///
/// DNS is bound only after all records are in memory: until then clients go to another replica or
/// ask again, instead of hearing that names do not exist.
///
/// # Errors
/// The configuration does not work out: addresses, files, database.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let authority = Authority::new(
        config.zones.clone(),
        &config.reverse_zones,
        config.name_server.clone(),
        config.own_addresses(),
    );
    let authority = Arc::new(authority.context("--zone: there must be one")?);

    let pool = l2sces_postgres::connect(&config.postgres, &MIGRATIONS).await?;
    let notifications = l2sces_postgres::notifications(pool.clone(), CHANNEL);
    let store = Store::new(pool);
    let memory = Memory::load(store.clone(), notifications).await?;

    let responder = Responder::new(authority.clone(), memory.index(), config.ttl);
    let dns = Server::bind(&config.dns_listen, responder).await?;
    tracing::info!(addresses = ?dns.addresses(), zones = ?config.zones, "answering DNS");

    let records = RecordServiceServer::new(Records::new(store, memory, authority));
    let access =
        Access::new().allow::<RecordServiceServer<Records>>(&[Role::ScoProvider, Role::Admin]);
    let routes = Routes::new(records);
    tokio::select! {
        () = dns.run() => anyhow::bail!("DNS ended"),
        served = l2sces_grpc::serve(&config.server, routes, access, shutdown_signal()) => {
            served.context("gRPC")
        }
    }
}
