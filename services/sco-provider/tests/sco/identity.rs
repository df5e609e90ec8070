//! Networks get their identity from the database, and no two the same.

use std::collections::BTreeSet;

use futures::future::join_all;
use sco_provider::store::{Deletion, NetworkRemoval, Store, StoreError};

use crate::support::{Database, gateway, network, network_key, slice, version};

#[tokio::test]
async fn concurrent_networks_get_distinct_vnis_until_none_is_left() {
    let database = Database::new().await;
    let store = Store::new(database.pool().await, 1..=50, 1500);
    store.apply_slice(&slice("s", &["a"], &[])).await.unwrap();

    let create = async |index: usize| {
        store.apply_network(&network(&format!("s/n{index}"), &["a"], "")).await
    };
    let created = join_all((0..60).map(create)).await;
    let vnis: BTreeSet<u32> =
        created.iter().flatten().map(|(_, identity)| identity.vni.get()).collect();
    assert_eq!(vnis, (1..=50).collect(), "each identifier is given once, and all are");
    for refused in created.iter().filter_map(|created| created.as_ref().err()) {
        assert!(matches!(refused, StoreError::Exhausted(_)), "{refused}");
    }

    // One that is freed is found again, and only that.
    let (index, freed) = created
        .iter()
        .enumerate()
        .find_map(|(index, created)| Some((index, created.as_ref().ok()?.1.vni)))
        .unwrap();
    let key = network_key(&format!("s/n{index}"));
    assert_eq!(store.delete_network(&key).await.unwrap(), Deletion::Underway);
    assert_eq!(store.forget_network(&key).await.unwrap(), NetworkRemoval::Gone);
    let (_, identity) = create(100).await.unwrap();
    assert_eq!(identity.vni, freed);
    assert!(matches!(create(101).await, Err(StoreError::Exhausted(_))));
}

#[tokio::test]
async fn concurrent_calls_for_one_network_agree() {
    let database = Database::new().await;
    let store = database.store().await;
    store.apply_slice(&slice("s", &["a"], &[])).await.unwrap();
    let wanted = network("s/n", &["a"], "10.1.0.0/24");
    let calls = join_all((0..30).map(|_| store.apply_network(&wanted))).await;
    let vnis: BTreeSet<_> = calls.into_iter().map(|call| call.unwrap().1.vni).collect();
    assert_eq!(vnis.len(), 1);
}

#[tokio::test]
async fn a_vni_is_not_used_again_while_others_are_left() {
    let database = Database::new().await;
    let store = database.store().await;
    store.apply_slice(&slice("s", &["a"], &[])).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let (_, identity) = store.apply_network(&network("s/n", &["a"], "")).await.unwrap();
        assert!(seen.insert(identity.vni), "{} was another's", identity.vni);
        store.delete_network(&network_key("s/n")).await.unwrap();
        store.forget_network(&network_key("s/n")).await.unwrap();
    }
}

#[tokio::test]
async fn identity_is_for_life() {
    let database = Database::new().await;
    let pool = database.pool().await;
    let store = Store::new(pool.clone(), Store::all_vnis(), 1500);
    store.apply_slice(&slice("s", &["a", "b"], &[])).await.unwrap();
    let (_, first) = store.apply_network(&network("s/n", &["a"], "")).await.unwrap();
    assert_eq!(first.mtu, 1438);

    let jumbo = Store::new(pool, Store::all_vnis(), 9000);
    let mut next = network("s/n", &["a", "b"], "");
    next.version = version("u", 2);
    assert_eq!(jumbo.apply_network(&next).await.unwrap().1, first);
    let (_, other) = jumbo.apply_network(&network("s/m", &["a"], "")).await.unwrap();
    assert_eq!(other.mtu, 8938);
}

#[tokio::test]
async fn tunnels_over_ipv6_leave_less() {
    let database = Database::new().await;
    let store = database.store().await;
    store.apply_gateway(&gateway("a/a1", "2001:db8::1")).await.unwrap();
    store.apply_gateway(&gateway("b/b1", "2001:db8::2")).await.unwrap();
    store.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await.unwrap();
    let (_, identity) = store.apply_network(&network("s/n", &["a", "b"], "")).await.unwrap();
    assert_eq!(identity.mtu, 1418);
}

#[tokio::test]
async fn concurrent_gateways_and_slices_get_distinct_ordinals() {
    let database = Database::new().await;
    let store = database.store().await;
    let create = async |index: usize| {
        let key = format!("a/n{index}");
        store.apply_gateway(&gateway(&key, "192.0.2.1")).await.unwrap();
        store.apply_slice(&slice(&format!("s{index}"), &["a"], &[])).await.unwrap();
    };
    join_all((0..20).map(create)).await;
    let gateways = store.gateways().await.unwrap();
    let ordinals: BTreeSet<u16> = gateways.iter().map(|stored| stored.ordinal).collect();
    assert_eq!(ordinals, (1..=20).collect());
    let slices = store.slices().await.unwrap();
    let ordinals: BTreeSet<u16> = slices.iter().map(|stored| stored.ordinal).collect();
    assert_eq!(ordinals, (1..=20).collect());
}
