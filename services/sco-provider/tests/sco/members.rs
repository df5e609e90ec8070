//! Slices and networks that clusters describe, each its own part.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestRunner},
};
use sco_provider::{
    domain::{Key, NetworkMember, ObjectKey, Slice, SliceMember, Topology, union},
    store::{Applied, Deletion, LeaseRequest, Store, StoreError},
};

use crate::support::{
    Database, Process, World, endpoint, endpoint_key, eventually, gateway, gateway_key, lease,
    name, names, net, network, network_key, slice, version,
};

const GATEWAYS: [(&str, &str); 3] =
    [("a/a1", "192.0.2.11"), ("b/b1", "192.0.2.21"), ("c/c1", "192.0.2.31")];

async fn furnished(database: &Database) -> Store {
    let store = database.store().await;
    for (key, address) in GATEWAYS {
        store.apply_gateway(&gateway(key, address)).await.unwrap();
    }
    store
}

/// Cluster `c`'s part of a slice, with its gateway `c1`.
fn member(slice: &str, cluster: &str, neighbors: &[&str]) -> SliceMember {
    SliceMember {
        slice: name(slice),
        cluster: name(cluster),
        version: version(cluster, 1),
        gateways: names(&[&format!("{cluster}1")]),
        neighbors: neighbors.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn part(network: &str, cluster: &str, cidr: &str) -> NetworkMember {
    NetworkMember {
        network: network_key(network),
        cluster: name(cluster),
        version: version(cluster, 1),
        cidr: (!cidr.is_empty()).then(|| net(cidr)),
        address_range: None,
    }
}

fn ranged(network: &str, cluster: &str, cidr: &str, range: &str) -> NetworkMember {
    NetworkMember { address_range: Some(net(range)), ..part(network, cluster, cidr) }
}

async fn stored(store: &Store, slice: &str) -> Slice {
    store.slice(&name(slice)).await.unwrap().unwrap().slice
}

/// The links between gateways, such as `a/a1-b/b1`.
fn links(slice: &Slice) -> Vec<String> {
    let topology = Topology::from(slice);
    topology.links.iter().map(|link| format!("{}-{}", link.a, link.b)).collect()
}

async fn spanned(store: &Store, network: &str) -> Vec<String> {
    let stored = store.network(&network_key(network)).await.unwrap().unwrap();
    stored.network.clusters.iter().map(ToString::to_string).collect()
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
async fn a_slice_is_what_its_members_describe_together() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let (applied, version) = store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    assert_eq!(applied, Applied::Stored);
    assert_eq!(stored(&store, "s").await.version, version);
    store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    let both = stored(&store, "s").await;
    assert_eq!(both.clusters, names(&["a", "b"]));
    assert_eq!(both.gateways, [gateway_key("a/a1"), gateway_key("b/b1")]);
    assert_eq!(links(&both), ["a/a1-b/b1"]);
    assert_eq!((&both.version.uid, both.version.generation), (&version.uid, 2));

    // A repeated call changes nothing, nor does a late one; a later life of the member does.
    let repeated = store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    assert_eq!(repeated, (Applied::Unchanged, both.version.clone()));
    let mut reborn = member("s", "a", &["192.0.2.99"]);
    reborn.version.uid = "another".to_owned();
    store.apply_slice_member(&reborn).await.unwrap();
    assert!(links(&stored(&store, "s").await).is_empty());
}

#[tokio::test]
async fn a_slice_ends_with_its_last_member() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    store.apply_network_member(&part("s/n", "b", "")).await.unwrap();
    let delete = async |cluster: &str| store.delete_slice_member(&name("s"), &name(cluster)).await;
    assert_precondition(store.delete_gateway(&gateway_key("a/a1")).await, "is used by slice s");
    assert_precondition(delete("b").await, "spans a cluster that its slice is to lose");
    assert_eq!(delete("a").await.unwrap(), Deletion::Gone);
    assert_eq!(stored(&store, "s").await.clusters, names(&["b"]));
    assert_eq!(delete("a").await.unwrap(), Deletion::Gone, "it may be repeated");
    assert_precondition(delete("b").await, "has networks, such as n");

    let network = network_key("s/n");
    let gone = store.delete_network_member(&network, &name("b")).await.unwrap();
    assert_eq!(gone, Deletion::Underway);
    store.forget_network(&network).await.unwrap();
    for _ in 0..2 {
        assert_eq!(delete("b").await.unwrap(), Deletion::Underway);
    }
    assert!(store.forget_slice(&name("s")).await.unwrap());
    assert_eq!(delete("b").await.unwrap(), Deletion::Gone);
}

#[tokio::test]
async fn a_member_comes_back_to_a_slice_that_is_being_removed() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    store.delete_slice_member(&name("s"), &name("a")).await.unwrap();
    store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    assert!(!store.forget_slice(&name("s")).await.unwrap());
    assert_eq!(stored(&store, "s").await.gateways, [gateway_key("b/b1")]);
}

#[tokio::test]
async fn a_whole_description_prevails_and_leaves_the_slice_to_its_members() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    let whole = slice("s", &["a", "b"], &["b/b1"]);
    assert_eq!(store.apply_slice(&whole).await.unwrap(), Applied::Stored);
    assert_eq!(stored(&store, "s").await, whole);

    let (applied, version) = store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    assert_eq!((applied, &version), (Applied::Stored, &whole.version));
    assert_eq!(stored(&store, "s").await, whole, "a member changes nothing");
    let refused = store.apply_slice_member(&member("s", "c", &[])).await;
    assert_precondition(refused, "slice s is described whole, without cluster c");
    let mut unknown = member("s", "b", &[]);
    (unknown.version.generation, unknown.gateways) = (2, names(&["none"]));
    assert_precondition(store.apply_slice_member(&unknown).await, "gateway b/none is unknown");
    assert_precondition(store.delete_gateway(&gateway_key("a/a1")).await, "is used by slice s");

    for _ in 0..2 {
        assert_eq!(store.delete_slice(&name("s")).await.unwrap(), Deletion::Gone);
    }
    let left = stored(&store, "s").await;
    assert_eq!(left.gateways, [gateway_key("a/a1"), gateway_key("b/b1")]);
    assert_eq!(links(&left), ["a/a1-b/b1"]);
    assert_ne!(left.version.uid, whole.version.uid);

    // And back, though the version is not a newer one.
    assert_eq!(store.apply_slice(&whole).await.unwrap(), Applied::Stored);
    for cluster in ["a", "b"] {
        let gone = store.delete_slice_member(&name("s"), &name(cluster)).await.unwrap();
        assert_eq!(gone, Deletion::Gone);
    }
    assert_eq!(store.delete_slice(&name("s")).await.unwrap(), Deletion::Underway);
}

#[tokio::test]
async fn a_gateway_that_moves_becomes_the_neighbor_of_those_who_name_its_new_address() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice_member(&member("s", "a", &["192.0.2.99"])).await.unwrap();
    store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    assert!(links(&stored(&store, "s").await).is_empty());
    let mut moved = gateway("b/b1", "192.0.2.99");
    moved.version.generation = 2;
    store.apply_gateway(&moved).await.unwrap();
    assert_eq!(links(&stored(&store, "s").await), ["a/a1-b/b1"]);
    let slices = store.slices_by_members_of(&gateway_key("b/b1")).await.unwrap();
    assert_eq!(slices, names(&["s"]));
}

#[tokio::test]
async fn a_network_spans_its_members_and_keeps_its_identity() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let refused = store.apply_network_member(&part("s/n", "a", "10.1.0.0/24")).await;
    assert_precondition(refused, "slice s is unknown");
    store.apply_slice_member(&member("s", "a", &[])).await.unwrap();
    let refused = store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await;
    assert_precondition(refused, "slice s lacks cluster b");

    let first = store.apply_network_member(&part("s/n", "a", "10.1.0.0/24")).await.unwrap();
    store.apply_slice_member(&member("s", "b", &[])).await.unwrap();
    let second = store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await.unwrap();
    assert_eq!(second.2, first.2, "one identity");
    assert_eq!((&second.1.uid, second.1.generation), (&first.1.uid, 2));
    assert_eq!(spanned(&store, "s/n").await, ["a", "b"]);
    let repeated = store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await.unwrap();
    assert_eq!(repeated, (Applied::Unchanged, second.1, first.2));

    let mut other = part("s/n", "b", "10.2.0.0/24");
    other.version.generation = 2;
    let refused = store.apply_network_member(&other).await;
    assert_precondition(refused, "is described by cluster a with 10.1.0.0/24");

    // A member with endpoints stays; then only the other is left, which may not change its CIDR.
    store.lease_block(&lease("s/n", "a")).await.unwrap();
    store.apply_endpoint(&endpoint("s/n/a/p", 1, "10.1.0.241")).await.unwrap();
    let delete = async |cluster: &str| {
        store.delete_network_member(&network_key("s/n"), &name(cluster)).await
    };
    assert_precondition(delete("a").await, "has endpoints, such as p in cluster a");
    store.delete_endpoint(&endpoint_key("s/n/a/p")).await.unwrap();
    assert_eq!(delete("a").await.unwrap(), Deletion::Underway, "its endpoint is being removed");
    assert_eq!(spanned(&store, "s/n").await, ["b"]);
    let refused = store.apply_network_member(&other).await;
    assert!(matches!(&refused, Err(StoreError::Invalid { field, .. }) if field == "cidr"));
    assert_eq!(delete("b").await.unwrap(), Deletion::Underway);
    let refused = store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await;
    assert_precondition(refused, "is being deleted");
}

#[tokio::test]
async fn a_network_described_whole_prevails_with_the_identity_that_it_had() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await.unwrap();
    let (.., identity) =
        store.apply_network_member(&part("s/n", "a", "10.1.0.0/24")).await.unwrap();
    let refused = store.apply_network(&network("s/n", &["a", "b"], "10.2.0.0/24")).await;
    assert_precondition(refused, "is described by cluster a with 10.1.0.0/24");
    let whole = network("s/n", &["a", "b"], "10.1.0.0/24");
    assert_eq!(store.apply_network(&whole).await.unwrap(), (Applied::Stored, identity));
    assert_eq!(spanned(&store, "s/n").await, ["a", "b"]);

    let refused = store.apply_network_member(&part("s/n", "b", "")).await;
    assert_precondition(refused, "is described whole, with 10.1.0.0/24");
    let known = store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await.unwrap();
    assert_eq!(known, (Applied::Stored, whole.version.clone(), identity));
    store.delete_network_member(&network_key("s/n"), &name("b")).await.unwrap();

    store.apply_endpoint(&endpoint("s/n/b/p", 1, "")).await.unwrap();
    let refused = store.delete_network(&network_key("s/n")).await;
    assert_precondition(refused, "has endpoints, such as p in cluster b");
    store.delete_endpoint(&endpoint_key("s/n/b/p")).await.unwrap();
    for _ in 0..2 {
        let gone = store.delete_network(&network_key("s/n")).await.unwrap();
        assert_eq!(gone, Deletion::Gone);
    }
    let left = store.network(&network_key("s/n")).await.unwrap().unwrap();
    assert_eq!((left.network.clusters, left.identity), (names(&["a"]), identity));

    let mut smaller = network("s/m", &["a"], "");
    smaller.version = version("m", 1);
    store.apply_network(&smaller).await.unwrap();
    let refused = store.apply_network_member(&part("s/m", "b", "")).await;
    assert_precondition(refused, "network s/m is described whole, without cluster b");
}

#[tokio::test]
async fn addresses_are_chosen_out_of_a_members_range() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    store.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await.unwrap();
    let any = async |network: &str, cluster: &str, known: &[_]| {
        let known_blocks = known.to_vec();
        store.lease_block(&LeaseRequest { known_blocks, ..lease(network, cluster) }).await
    };
    // Blocks of 10.1.0.0/24 are of 28 bits: two of a's are whole ...
    store.apply_network_member(&ranged("s/n", "a", "10.1.0.0/24", "10.1.0.64/27")).await.unwrap();
    store.apply_network_member(&part("s/n", "b", "10.1.0.0/24")).await.unwrap();
    let mut blocks = Vec::new();
    for expected in ["10.1.0.80/28", "10.1.0.64/28"] {
        blocks.push(any("s/n", "a", &blocks).await.unwrap());
        assert_eq!(blocks.last(), Some(&net(expected)));
    }
    assert!(matches!(any("s/n", "a", &blocks).await, Err(StoreError::Exhausted(_))));
    // ... and the others get the rest, from above.
    assert_eq!(any("s/n", "b", &[]).await.unwrap(), net("10.1.0.240/28"));

    // A range smaller than a block is leased address by address; a port may ask for another.
    store.apply_network_member(&ranged("s/m", "a", "10.2.0.0/24", "10.2.0.252/30")).await.unwrap();
    let mut singles = Vec::new();
    for last in [254, 253, 252] {
        singles.push(any("s/m", "a", &singles).await.unwrap());
        assert_eq!(singles.last(), Some(&net(&format!("10.2.0.{last}/32"))));
    }
    assert!(matches!(any("s/m", "a", &singles).await, Err(StoreError::Exhausted(_))));
    let asked = LeaseRequest { address: Some([10, 2, 0, 9].into()), ..lease("s/m", "a") };
    assert_eq!(store.lease_block(&asked).await.unwrap(), net("10.2.0.9/32"));
    assert_eq!(any("s/m", "a", &[]).await.unwrap(), net("10.2.0.254/32"), "it has that one");
}

/// What the three clusters may say of a slice, and the order of all that they ever said.
fn histories() -> impl Strategy<Value = Vec<SliceMember>> {
    let addresses = ["192.0.2.11", "192.0.2.21", "192.0.2.31", "192.0.2.99"];
    let one = (select(vec!["a", "b", "c"]), 1_i64..4, subsequence(addresses.to_vec(), 0..=3));
    let said = proptest::collection::vec(one, 1..8).prop_map(|said| {
        // One version says one thing.
        let unique: BTreeMap<_, _> = said
            .into_iter()
            .map(|(cluster, generation, neighbors)| ((cluster, generation), neighbors))
            .collect();
        let said = unique.into_iter().map(|((cluster, generation), neighbors)| {
            let mut said = member("s", cluster, &neighbors);
            said.version.generation = generation;
            said
        });
        said.collect::<Vec<_>>()
    });
    said.prop_shuffle()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_members_calls_does_not_matter() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let addresses =
        GATEWAYS.map(|(key, address)| (gateway_key(key), address.parse().unwrap())).into();
    let runtime = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let tried = tokio::task::spawn_blocking(move || {
        let number = Cell::new(0);
        runner.run(&histories(), |calls| {
            number.set(number.get() + 1);
            let slice = name(&format!("s{}", number.get()));
            let mut latest: BTreeMap<_, SliceMember> = BTreeMap::new();
            for call in &calls {
                let call = SliceMember { slice: slice.clone(), ..call.clone() };
                let latest = latest.entry(call.cluster.clone()).or_insert_with(|| call.clone());
                if latest.version.generation < call.version.generation {
                    *latest = call.clone();
                }
                runtime.block_on(store.apply_slice_member(&call)).unwrap();
            }
            let stored = runtime.block_on(store.slice(&slice)).unwrap().unwrap().slice;
            let latest = latest.into_values().collect();
            let expected = union(slice, stored.version.clone(), latest, &addresses);
            let as_set = |slice: &Slice| slice.links.iter().cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(as_set(&stored), as_set(&expected));
            prop_assert_eq!(&stored.clusters, &expected.clusters);
            prop_assert_eq!(&stored.gateways, &expected.gateways);
            // Or the gateways would be used by ever more slices.
            for cluster in stored.clusters {
                runtime.block_on(store.delete_slice_member(&stored.name, &cluster)).unwrap();
            }
            Ok(())
        })
    });
    tried.await.unwrap().unwrap();
}

/// Applies a member as the API does.
async fn apply(process: &Process, member: &SliceMember) {
    process.store.apply_slice_member(member).await.unwrap();
    process.queues.wake(Key::Slice(member.slice.clone()));
}

#[tokio::test]
async fn gateways_have_the_tunnels_that_members_ask_for() {
    let world = World::new().await;
    let process = world.start().await;
    for (key, address) in GATEWAYS {
        process.apply_gateway(&gateway(key, address)).await;
    }
    for cluster in ["a", "b", "c"] {
        apply(&process, &member("s", cluster, &[])).await;
    }
    let tunnels = |key: &str| {
        let endpoint = gateway(key, "192.0.2.1").agent_endpoint;
        world.agents.tunnels(&endpoint).unwrap_or_default().into_iter().collect::<BTreeSet<_>>()
    };
    let to = |ends: &[&str]| ends.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    eventually("a full mesh", async || tunnels("c/c1") == to(&["192.0.2.11", "192.0.2.21"])).await;

    process.store.apply_network_member(&part("s/n", "a", "")).await.unwrap();
    process.queues.wake(Key::Network(network_key("s/n")));
    let key = ObjectKey::Network(network_key("s/n"));
    eventually("a network in one cluster", async || process.reason(&key) == Some("")).await;

    // Its networks leave a lost member's gateway first, then its tunnels go, then it is gone.
    let delete = async || process.store.delete_slice_member(&name("s"), &name("c")).await.unwrap();
    let mut gone = delete().await;
    process.queues.wake(Key::Slice(name("s")));
    eventually("member c is gone", async || {
        gone = delete().await;
        gone == Deletion::Gone
    })
    .await;
    eventually("no tunnel is left", async || {
        tunnels("c/c1").is_empty() && tunnels("a/a1") == to(&["192.0.2.21"])
    })
    .await;
    process.store.delete_gateway(&gateway_key("c/c1")).await.unwrap();
}
