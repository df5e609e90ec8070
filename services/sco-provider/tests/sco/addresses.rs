//! Blocks of addresses are leased to one cluster each.

use std::collections::BTreeSet;

use futures::future::join_all;
use ipnet::IpNet;
use sco_provider::store::{LeaseRequest, Store, StoreError};

use crate::support::{Database, lease, net, network, slice};

/// A network of this CIDR in clusters c0, c1, ...
async fn store_with_network(database: &Database, clusters: usize, cidr: &str) -> Store {
    let store = database.store().await;
    let clusters: Vec<String> = (0..clusters).map(|index| format!("c{index}")).collect();
    let clusters: Vec<&str> = clusters.iter().map(String::as_str).collect();
    store.apply_slice(&slice("s", &clusters, &[])).await.unwrap();
    store.apply_network(&network("s/n", &clusters, cidr)).await.unwrap();
    store
}

fn at(address: &str, request: LeaseRequest) -> LeaseRequest {
    LeaseRequest { address: Some(address.parse().unwrap()), ..request }
}

fn knowing(blocks: &[IpNet], request: LeaseRequest) -> LeaseRequest {
    LeaseRequest { known_blocks: blocks.to_vec(), ..request }
}

#[tokio::test]
async fn fifty_clusters_at_once_share_a_network_without_overlap_until_it_is_full() {
    let database = Database::new().await;
    let store = store_with_network(&database, 50, "10.1.0.0/24").await;
    let calls = join_all(
        (0..50).map(async |index| store.lease_block(&lease("s/n", &format!("c{index}"))).await),
    )
    .await;
    let leased: BTreeSet<IpNet> = calls.iter().flatten().copied().collect();
    let whole: BTreeSet<IpNet> = net("10.1.0.0/24").subnets(28).unwrap().collect();
    assert_eq!(leased, whole);
    assert_eq!(calls.iter().flatten().count(), 16, "no block is leased twice");
    for refused in calls.iter().filter_map(|call| call.as_ref().err()) {
        assert!(matches!(refused, StoreError::Exhausted(_)), "{refused}");
    }
}

#[tokio::test]
async fn a_lost_answer_loses_no_addresses() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    let ask = lease("s/n", "c0");
    let first = store.lease_block(&ask).await.unwrap();
    assert_eq!(store.lease_block(&ask).await.unwrap(), first);
    let second = store.lease_block(&knowing(&[first], ask.clone())).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(store.lease_block(&knowing(&[second], ask.clone())).await.unwrap(), first);
    let other = store.lease_block(&knowing(&[first, second], lease("s/n", "c1"))).await.unwrap();
    assert!(other != first && other != second);
}

#[tokio::test]
async fn a_tiny_network_leases_single_addresses() {
    let database = Database::new().await;
    let store = store_with_network(&database, 3, "10.1.0.0/30").await;
    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("10.1.0.1/32"));
    assert_eq!(store.lease_block(&lease("s/n", "c1")).await.unwrap(), net("10.1.0.2/32"));
    let refused = store.lease_block(&lease("s/n", "c2")).await;
    assert!(matches!(refused, Err(StoreError::Exhausted(_))), "{refused:?}");
}

#[tokio::test]
async fn an_address_can_be_asked_for() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    let wanted = net("10.1.0.16/28");
    let ask = at("10.1.0.20", lease("s/n", "c0"));
    assert_eq!(store.lease_block(&ask).await.unwrap(), wanted);
    let again = knowing(&[wanted], ask);
    assert_eq!(store.lease_block(&again).await.unwrap(), wanted, "known or not");
    let refused = store.lease_block(&at("10.1.0.30", lease("s/n", "c1"))).await;
    assert!(matches!(refused, Err(StoreError::Precondition { .. })), "{refused:?}");

    // The others are still leased in order, around it.
    let mut known = Vec::new();
    while let Ok(block) = store.lease_block(&knowing(&known, lease("s/n", "c1"))).await {
        known.push(block);
    }
    let mut whole: Vec<IpNet> = net("10.1.0.0/24").subnets(28).unwrap().collect();
    whole.retain(|block| *block != wanted);
    assert_eq!(known, whole);
}

#[tokio::test]
async fn refused_leases_lease_nothing() {
    let database = Database::new().await;
    let store = store_with_network(&database, 1, "10.1.0.0/24").await;
    store.apply_network(&network("s/bare", &["c0"], "")).await.unwrap();
    for address in ["10.1.0.0", "10.1.0.255", "10.2.0.1", "2001:db8::1"] {
        let refused = store.lease_block(&at(address, lease("s/n", "c0"))).await;
        assert!(
            matches!(&refused, Err(StoreError::Invalid { field, .. }) if field == "address"),
            "{address}: {refused:?}"
        );
    }
    for (network, cluster) in [("s/bare", "c0"), ("s/n", "other")] {
        let refused = store.lease_block(&lease(network, cluster)).await;
        assert!(matches!(refused, Err(StoreError::Precondition { .. })), "{refused:?}");
    }
    let refused = store.lease_block(&lease("s/none", "c0")).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");

    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("10.1.0.0/28"));
}

/// The code aside: the tables themselves refuse two blocks that overlap.
#[tokio::test]
async fn the_database_refuses_overlapping_blocks() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    store.lease_block(&lease("s/n", "c0")).await.unwrap();
    let pool = database.pool().await;
    for (prefix, block) in
        [(28, "10.1.0.0/28"), (25, "10.1.0.0/25"), (28, "10.1.0.0/25"), (28, "10.2.0.0/28")]
    {
        let inserted = sqlx::query(
            "INSERT INTO block (network_id, network_cidr, prefix, block, cluster)
             SELECT id, cidr, $1, $2, 'c1' FROM network",
        )
        .bind(prefix)
        .bind(net(block))
        .execute(&pool)
        .await;
        assert!(inserted.is_err(), "{block} with prefix length {prefix}");
    }
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM block").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_huge_network_leases_at_once() {
    let database = Database::new().await;
    let store = store_with_network(&database, 1, "fd00::/64").await;
    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("fd00::/120"));
    let ask = at("fd00::ffff:0:0:5", lease("s/n", "c0"));
    assert_eq!(store.lease_block(&ask).await.unwrap(), net("fd00::ffff:0:0:0/120"));
}
