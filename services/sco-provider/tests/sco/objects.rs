//! Versions, deletions, and what stands in the way of what.

use sco_provider::{
    domain::{Endpoint, Identity},
    store::{Applied, Deletion, NetworkRemoval, Store, StoreError},
};

use crate::support::{
    Database, also_named, endpoint, endpoint_key, gateway, gateway_key, lease, name, network,
    network_key, slice, version,
};

/// Gateways a/a1 and b/b1, slice s, network s/n with a block for each cluster.
async fn furnished(database: &Database) -> Store {
    let store = database.store().await;
    store.apply_gateway(&gateway("a/a1", "192.0.2.1")).await.unwrap();
    store.apply_gateway(&gateway("b/b1", "192.0.2.2")).await.unwrap();
    store.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await.unwrap();
    store.apply_network(&network("s/n", &["a", "b"], "10.1.0.0/24")).await.unwrap();
    store.lease_block(&lease("s/n", "a")).await.unwrap();
    store.lease_block(&lease("s/n", "b")).await.unwrap();
    store
}

#[track_caller]
fn assert_precondition<T: std::fmt::Debug>(result: Result<T, StoreError>, part: &str) {
    match result {
        Err(error @ StoreError::Precondition { .. }) => {
            assert!(error.to_string().contains(part), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_older_generation_is_ignored() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let mut newer = gateway("a/a1", "192.0.2.9");
    newer.version = version("u", 3);
    assert_eq!(store.apply_gateway(&newer).await.unwrap(), Applied::Stored);
    let mut late = gateway("a/a1", "192.0.2.8");
    late.version = version("u", 2);
    assert_eq!(store.apply_gateway(&late).await.unwrap(), Applied::Unchanged);
    assert_eq!(store.apply_gateway(&newer).await.unwrap(), Applied::Unchanged);
    let stored = store.gateway(&gateway_key("a/a1")).await.unwrap().unwrap();
    assert_eq!(stored.gateway, newer);

    let mut next = slice("s", &["a", "b", "c"], &["b/b1", "a/a1"]);
    next.version = version("u", 2);
    store.apply_slice(&next).await.unwrap();
    store.apply_slice(&slice("s", &["a", "b"], &["a/a1"])).await.unwrap();
    assert_eq!(store.slice(&name("s")).await.unwrap().unwrap().slice, next);
}

#[tokio::test]
async fn a_late_call_brings_nothing_back() {
    let database = Database::new().await;
    let store = database.store().await;
    let mut wanted = gateway("a/a1", "192.0.2.1");
    store.apply_gateway(&wanted).await.unwrap();
    assert_eq!(store.delete_gateway(&wanted.key).await.unwrap(), Deletion::Underway);
    wanted.version = version("u", 2);
    assert_eq!(store.apply_gateway(&wanted).await.unwrap(), Applied::Unchanged);
    assert!(store.gateway(&wanted.key).await.unwrap().unwrap().deleting);

    // Another life does; and then there is nothing to forget.
    wanted.version = version("v", 1);
    assert_eq!(store.apply_gateway(&wanted).await.unwrap(), Applied::Stored);
    assert!(!store.forget_gateway(&wanted.key).await.unwrap());
    assert!(!store.gateway(&wanted.key).await.unwrap().unwrap().deleting);
}

#[tokio::test]
async fn deletion_is_repeatable_and_ends() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    for _ in 0..2 {
        assert_eq!(store.delete_network(&network_key("s/n")).await.unwrap(), Deletion::Underway);
    }
    let gone = store.forget_network(&network_key("s/n")).await.unwrap();
    assert_eq!(gone, NetworkRemoval::Gone, "blocks go with their network");
    assert_eq!(store.delete_network(&network_key("s/n")).await.unwrap(), Deletion::Gone);
    assert_eq!(store.delete_slice(&name("none")).await.unwrap(), Deletion::Gone);
    assert_eq!(store.delete_gateway(&gateway_key("x/y")).await.unwrap(), Deletion::Gone);
    store.delete_endpoint(&endpoint_key("s/n/a/none")).await.unwrap();
}

#[tokio::test]
async fn what_is_used_is_not_deleted() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await.unwrap();
    let part = "is used by slice s";
    assert_precondition(store.delete_gateway(&gateway_key("a/a1")).await, part);
    assert_precondition(store.delete_slice(&name("s")).await, "has networks, such as n");
    let part = "has endpoints, such as p in cluster a";
    assert_precondition(store.delete_network(&network_key("s/n")).await, part);

    // An endpoint on its way out only delays its network.
    store.delete_endpoint(&endpoint_key("s/n/a/p")).await.unwrap();
    assert_eq!(store.delete_network(&network_key("s/n")).await.unwrap(), Deletion::Underway);
    let waits = store.forget_network(&network_key("s/n")).await.unwrap();
    assert_eq!(waits, NetworkRemoval::HasEndpoints);
    let refused = store.apply_endpoint(&endpoint("s/n/a/q", 2, "")).await;
    assert_precondition(refused, "is being deleted");
}

#[tokio::test]
async fn what_is_unknown_is_not_used() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let refused = store.apply_slice(&slice("t", &["a"], &["a/none"])).await;
    assert_precondition(refused, "gateway a/none is unknown");
    assert!(store.slice(&name("t")).await.unwrap().is_none(), "a refused call has no effect");

    store.apply_gateway(&gateway("a/a2", "192.0.2.3")).await.unwrap();
    store.delete_gateway(&gateway_key("a/a2")).await.unwrap();
    let refused = store.apply_slice(&slice("t", &["a"], &["a/a2"])).await;
    assert_precondition(refused, "gateway a/a2 is unknown");

    let refused = store.apply_network(&network("none/n", &["a"], "")).await;
    assert_precondition(refused, "slice none is unknown");
    let refused = store.apply_endpoint(&endpoint("s/none/a/p", 1, "")).await;
    assert_precondition(refused, "network s/none is unknown");
    let refused = store.apply_network(&network("s/m", &["a", "c"], "")).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid { field, .. }) if field == "clusters[1]"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_change_must_not_pull_the_ground_from_under_others() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_endpoint(&endpoint("s/n/b/p", 1, "")).await.unwrap();

    let mut smaller = slice("s", &["a"], &["a/a1"]);
    smaller.version = version("u", 2);
    assert_precondition(store.apply_slice(&smaller).await, "spans a cluster");
    let mut smaller = network("s/n", &["a"], "10.1.0.0/24");
    smaller.version = version("u", 2);
    assert_precondition(store.apply_network(&smaller).await, "has endpoints in cluster b");
    let mut other = network("s/n", &["a", "b"], "10.2.0.0/24");
    other.version = version("u", 2);
    let refused = store.apply_network(&other).await;
    assert!(
        matches!(&refused, Err(StoreError::Invalid { field, .. }) if field == "cidr"),
        "{refused:?}"
    );
    let mut ipv6 = gateway("a/a1", "2001:db8::1");
    ipv6.version = version("u", 2);
    assert_precondition(store.apply_gateway(&ipv6).await, "one IP version");
    ipv6.key = gateway_key("a/a6");
    store.apply_gateway(&ipv6).await.unwrap();
    let refused = store.apply_slice(&slice("t", &["a", "b"], &["a/a6", "b/b1"])).await;
    assert_precondition(refused, "IPv6");
}

#[tokio::test]
async fn another_life_of_a_network_waits_for_the_end_of_the_former() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await.unwrap();
    let former = store.network(&network_key("s/n")).await.unwrap().unwrap();
    let mut wanted = network("s/n", &["a"], "10.9.0.0/24");
    wanted.version = version("v", 1);
    assert_precondition(store.apply_network(&wanted).await, "has a former life");
    let retired = store.network(&network_key("s/n")).await.unwrap().unwrap();
    assert!(retired.deleting);
    let retired = store.endpoint(&endpoint_key("s/n/a/p")).await.unwrap().unwrap();
    assert!(retired.deleting);

    assert!(store.forget_endpoint(&endpoint_key("s/n/a/p")).await.unwrap());
    store.forget_network(&network_key("s/n")).await.unwrap();
    let (_, Identity { vni, .. }) = store.apply_network(&wanted).await.unwrap();
    assert_ne!(vni, former.identity.vni);
}

#[tokio::test]
async fn no_two_endpoints_of_a_network_share_an_address() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let first = endpoint("s/n/a/p", 1, "10.1.0.241");
    assert_eq!(store.apply_endpoint(&first).await.unwrap(), Applied::Stored);
    assert_eq!(store.apply_endpoint(&first).await.unwrap(), Applied::Unchanged);
    // They may share an alias.
    let first = also_named("app", first);
    assert_eq!(store.apply_endpoint(&first).await.unwrap(), Applied::Stored);
    assert_eq!(store.apply_endpoint(&first).await.unwrap(), Applied::Unchanged);
    store.apply_endpoint(&also_named("app", endpoint("s/n/a/r", 9, ""))).await.unwrap();
    assert_eq!(store.endpoint(&first.key).await.unwrap().unwrap().endpoint, first);

    let refused = store.apply_endpoint(&endpoint("s/n/b/q", 1, "")).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "MAC address: {refused:?}");
    let refused = store.apply_endpoint(&endpoint("s/n/a/q", 2, "10.1.0.241")).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "IP address: {refused:?}");
    let refused = store.apply_endpoint(&endpoint("s/n/b/q", 2, "10.1.0.242")).await;
    assert_precondition(refused, "has not leased 10.1.0.242 to cluster b");
    for address in ["10.1.0.0", "10.2.0.1"] {
        let refused = store.apply_endpoint(&endpoint("s/n/a/q", 2, address)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{address}: {refused:?}");
    }

    // Another network may have both.
    store.apply_network(&network("s/m", &["a", "b"], "10.1.0.0/24")).await.unwrap();
    store.lease_block(&lease("s/m", "b")).await.unwrap();
    store.apply_endpoint(&endpoint("s/m/b/p", 1, "10.1.0.241")).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_on_its_way_out_does_not_keep_its_addresses() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_endpoint(&endpoint("s/n/a/p", 1, "10.1.0.241")).await.unwrap();
    store.delete_endpoint(&endpoint_key("s/n/a/p")).await.unwrap();
    store.apply_endpoint(&endpoint("s/n/a/q", 1, "10.1.0.241")).await.unwrap();
    assert!(!store.forget_endpoint(&endpoint_key("s/n/a/p")).await.unwrap(), "it has a name");
    store.unname_endpoint(&endpoint_key("s/n/a/p")).await.unwrap();
    assert!(store.forget_endpoint(&endpoint_key("s/n/a/p")).await.unwrap());
    // Of the one that stays, the DNS keeps the record.
    store.unname_endpoint(&endpoint_key("s/n/a/q")).await.unwrap();
    let Endpoint { key, .. } = endpoint("s/n/a/q", 1, "10.1.0.241");
    assert!(store.endpoint(&key).await.unwrap().unwrap().named);
}
