//! Addresses are leased to one cluster each, in blocks and one by one.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use ipnet::IpNet;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sco_provider::{
    domain::addressing,
    store::{LeaseRequest, NetworkRemoval, Store, StoreError},
};

use crate::support::{
    Database, endpoint, endpoint_key, lease, net, network, network_key, release, slice,
};

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
    let ask = at("10.1.0.1", lease("s/n", "c1"));
    assert_eq!(store.lease_block(&ask).await.unwrap(), net("10.1.0.1/32"));
    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("10.1.0.2/32"));
    let refused = store.lease_block(&lease("s/n", "c2")).await;
    assert!(matches!(refused, Err(StoreError::Exhausted(_))), "{refused:?}");

    store.release_block(&release("s/n", "c0", "10.1.0.2/32")).await.unwrap();
    assert_eq!(store.lease_block(&lease("s/n", "c2")).await.unwrap(), net("10.1.0.2/32"));
}

#[tokio::test]
async fn clusters_choose_addresses_side_by_side() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    for (address, cluster) in
        [("10.1.0.11", "c0"), ("10.1.0.12", "c0"), ("10.1.0.13", "c1"), ("10.1.0.14", "c1")]
    {
        let ask = at(address, lease("s/n", cluster));
        let single = net(&format!("{address}/32"));
        assert_eq!(store.lease_block(&ask).await.unwrap(), single);
        let again = knowing(&[single], ask);
        assert_eq!(store.lease_block(&again).await.unwrap(), single, "known or not");
    }
    let refused = store.lease_block(&at("10.1.0.13", lease("s/n", "c0"))).await;
    assert_refused(refused, "has leased 10.1.0.13 to cluster c1");
    // Not the one that is about to be given to the port that asked for it.
    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("10.1.0.240/28"));
}

#[tokio::test]
async fn an_address_in_a_whole_block_is_its_holders() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    let whole = store.lease_block(&lease("s/n", "c0")).await.unwrap();
    assert_eq!(whole, net("10.1.0.240/28"));
    let ask = |cluster| at("10.1.0.250", lease("s/n", cluster));
    assert_eq!(store.lease_block(&ask("c0")).await.unwrap(), whole);
    let refused = store.lease_block(&ask("c1")).await;
    assert_refused(refused, "has leased 10.1.0.250 to cluster c0, in block 10.1.0.240/28");
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(refused: Result<T, StoreError>, part: &str) {
    let error = refused.unwrap_err();
    assert!(matches!(error, StoreError::Precondition { .. }), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[tokio::test]
async fn a_released_address_can_be_another_clusters_but_not_one_in_use() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    let ask = |cluster| at("10.1.0.11", lease("s/n", cluster));
    let give_back = |cluster| release("s/n", cluster, "10.1.0.11/32");
    store.lease_block(&ask("c0")).await.unwrap();
    store.lease_block(&at("10.1.0.12", lease("s/n", "c0"))).await.unwrap();
    store.apply_endpoint(&endpoint("s/n/c0/p", 1, "10.1.0.11")).await.unwrap();
    let refused = store.release_block(&give_back("c0")).await;
    assert_refused(refused, "has an endpoint with an address in 10.1.0.11/32: p in cluster c0");
    assert!(store.lease_block(&ask("c1")).await.is_err());

    store.delete_endpoint(&endpoint_key("s/n/c0/p")).await.unwrap();
    store.release_block(&give_back("c1")).await.unwrap();
    assert!(store.lease_block(&ask("c1")).await.is_err(), "only its holder gives it back");
    store.release_block(&give_back("c0")).await.unwrap();
    assert_eq!(store.lease_block(&ask("c1")).await.unwrap(), net("10.1.0.11/32"));
    store.apply_endpoint(&endpoint("s/n/c1/p", 2, "10.1.0.11")).await.unwrap();

    // The holder of before says it again, and takes nothing away.
    store.release_block(&give_back("c0")).await.unwrap();
    let refused = store.apply_endpoint(&endpoint("s/n/c0/p", 1, "10.1.0.11")).await;
    assert_refused(refused, "has not leased 10.1.0.11 to cluster c0");
    store.release_block(&release("s/none", "c0", "10.1.0.11/32")).await.unwrap();
}

#[tokio::test]
async fn an_address_is_announced_or_given_back_but_not_both_at_once() {
    let database = Database::new().await;
    let store = store_with_network(&database, 1, "10.1.0.0/24").await;
    for last in 1..=40 {
        let address = format!("10.1.0.{last}");
        store.lease_block(&at(&address, lease("s/n", "c0"))).await.unwrap();
        let endpoint = endpoint(&format!("s/n/c0/p{last}"), last, &address);
        let release = release("s/n", "c0", &format!("{address}/32"));
        let (announced, given_back) =
            tokio::join!(store.apply_endpoint(&endpoint), store.release_block(&release));
        assert_ne!(announced.is_ok(), given_back.is_ok(), "{announced:?} {given_back:?}");
    }
}

#[tokio::test]
async fn a_block_is_whole_again_without_single_addresses() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    for address in ["10.1.0.250", "10.1.0.251"] {
        store.lease_block(&at(address, lease("s/n", "c0"))).await.unwrap();
    }
    let mut known = vec![store.lease_block(&lease("s/n", "c1")).await.unwrap()];
    assert_eq!(known, [net("10.1.0.224/28")]);
    let mut next = async || {
        known.push(store.lease_block(&knowing(&known, lease("s/n", "c1"))).await.unwrap());
        known.last().copied().unwrap()
    };
    store.release_block(&release("s/n", "c0", "10.1.0.250/32")).await.unwrap();
    assert_eq!(next().await, net("10.1.0.208/28"));
    store.release_block(&release("s/n", "c0", "10.1.0.251/32")).await.unwrap();
    assert_eq!(next().await, net("10.1.0.240/28"));
    assert_eq!(next().await, net("10.1.0.192/28"));
    store.release_block(&release("s/n", "c1", "10.1.0.224/28")).await.unwrap();
    let other = store.lease_block(&lease("s/n", "c0")).await.unwrap();
    assert_eq!(other, net("10.1.0.224/28"), "a whole block can be given back, too");
}

#[tokio::test]
async fn single_leases_go_with_their_network() {
    let database = Database::new().await;
    let store = store_with_network(&database, 1, "10.1.0.0/24").await;
    store.lease_block(&at("10.1.0.11", lease("s/n", "c0"))).await.unwrap();
    store.lease_block(&lease("s/n", "c0")).await.unwrap();
    store.delete_network(&network_key("s/n")).await.unwrap();
    let gone = store.forget_network(&network_key("s/n")).await.unwrap();
    assert_eq!(gone, NetworkRemoval::Gone);
}

/// What a cluster does, and to which address if that matters.
#[derive(Clone, Copy, Debug)]
enum Step {
    Any,
    Address(u8),
    Release(u8),
}

/// Steps of three clusters, by index.
fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        1 => Just(Step::Any),
        3 => (0..64_u8).prop_map(Step::Address),
        2 => (0..64_u8).prop_map(Step::Release),
    ];
    prop::collection::vec((0..3_usize, step), 0..60)
}

/// The leases of clusters, as they know them.
struct Leases {
    store: Store,
    network: String,
    cidr: IpNet,
    of: [BTreeSet<IpNet>; 3],
}

impl Leases {
    fn ask(&self, cluster: usize) -> LeaseRequest {
        let known: Vec<IpNet> = self.of[cluster].iter().copied().collect();
        knowing(&known, lease(&self.network, &format!("c{cluster}")))
    }

    fn holder(&self, address: IpAddr) -> Option<usize> {
        self.of.iter().position(|blocks| blocks.iter().any(|block| block.contains(&address)))
    }

    /// Does a step, and checks that the answer is right given all leases so far.
    async fn step(&mut self, cluster: usize, step: Step) {
        let address = |last: u8| addresses(self.cidr).nth(usize::from(last));
        match step {
            Step::Any => {
                self.lease_any(cluster).await;
            }
            Step::Address(last) => {
                let Some(address) = address(last) else { return };
                let request = LeaseRequest { address: Some(address), ..self.ask(cluster) };
                let answer = self.store.lease_block(&request).await;
                match self.holder(address) {
                    _ if !addressing::is_assignable(self.cidr, address) => {
                        assert!(matches!(answer, Err(StoreError::Invalid { .. })), "{answer:?}");
                    }
                    None => {
                        assert_eq!(answer.unwrap(), IpNet::from(address));
                        self.of[cluster].insert(address.into());
                    }
                    Some(holder) if holder == cluster => {
                        assert!(self.of[cluster].contains(&answer.unwrap()));
                    }
                    Some(_) => assert_refused(answer, "to cluster"),
                }
            }
            Step::Release(last) => {
                let Some(address) = address(last) else { return };
                let block = self.of[cluster].iter().find(|block| block.contains(&address));
                let block = block.copied().unwrap_or(address.into());
                let name = format!("c{cluster}");
                let request = release(&self.network, &name, &block.to_string());
                self.store.release_block(&request).await.unwrap();
                self.of[cluster].remove(&block);
            }
        }
    }

    /// False: no address is left.
    async fn lease_any(&mut self, cluster: usize) -> bool {
        match self.store.lease_block(&self.ask(cluster)).await {
            Ok(block) => {
                let disjoint = |other: &IpNet| !other.contains(&block) && !block.contains(other);
                assert!(self.of.iter().flatten().all(disjoint), "{block} in {:?}", self.of);
                self.of[cluster].insert(block);
                true
            }
            Err(StoreError::Exhausted(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whatever was leased and given back: leases are disjoint, and the last one is of the last address.
#[test]
fn no_address_is_leased_twice_and_every_one_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::new());
    let store = runtime.block_on(database.store());
    let clusters = ["c0", "c1", "c2"];
    runtime.block_on(store.apply_slice(&slice("s", &clusters, &[]))).unwrap();
    let networks = AtomicUsize::new(0);
    let cidrs = prop::sample::select(vec!["10.1.0.0/26", "10.1.0.0/28", "fd00::/122"]);
    let mut runner = TestRunner::new(Config::with_cases(24));
    let outcome = runner.run(&(cidrs, steps()), |(cidr, steps)| {
        let key = format!("s/n{}", networks.fetch_add(1, Ordering::Relaxed));
        let (store, network_cidr) = (store.clone(), net(cidr));
        runtime.block_on(async {
            store.apply_network(&network(&key, &clusters, cidr)).await.unwrap();
            let of = Default::default();
            let mut leases = Leases { store, network: key, cidr: network_cidr, of };
            for (cluster, step) in steps {
                leases.step(cluster, step).await;
            }
            let mut cluster = 0;
            while leases.lease_any(cluster).await {
                cluster = (cluster + 1) % 3;
            }
            let unleased = addresses(network_cidr).filter(|address| {
                leases.holder(*address).is_none()
                    && addressing::is_assignable(network_cidr, *address)
            });
            assert_eq!(unleased.collect::<Vec<_>>(), Vec::<IpAddr>::new());
            let ends = addressing::reserved(network_cidr).into_iter().map(IpNet::from);
            assert!(ends.into_iter().all(|end| leases.of.iter().all(|own| !own.contains(&end))));
        });
        Ok(())
    });
    outcome.unwrap();
}

/// All of a network, its ends included.
fn addresses(cidr: IpNet) -> impl Iterator<Item = IpAddr> {
    cidr.subnets(cidr.max_prefix_len()).unwrap().map(|single| single.addr())
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

    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), net("10.1.0.240/28"));
}

/// The code aside: the tables themselves refuse two blocks that overlap.
#[tokio::test]
async fn the_database_refuses_overlapping_blocks() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    store.lease_block(&lease("s/n", "c0")).await.unwrap();
    let pool = database.pool().await;
    for (prefix, block) in
        [(28, "10.1.0.240/28"), (25, "10.1.0.128/25"), (28, "10.1.0.0/25"), (28, "10.2.0.0/28")]
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

/// The code aside: the tables themselves keep single addresses and whole blocks apart.
#[tokio::test]
async fn the_database_refuses_single_addresses_that_are_anothers() {
    let database = Database::new().await;
    let store = store_with_network(&database, 2, "10.1.0.0/24").await;
    store.lease_block(&lease("s/n", "c0")).await.unwrap();
    store.lease_block(&at("10.1.0.11", lease("s/n", "c0"))).await.unwrap();
    let pool = database.pool().await;
    for (block, shared, address) in [
        // Leased already.
        ("10.1.0.0/28", true, "10.1.0.11/32"),
        // In a block that is leased as a whole, whatever is said of it.
        ("10.1.0.240/28", true, "10.1.0.241/32"),
        ("10.1.0.240/28", false, "10.1.0.241/32"),
        // In another block than it says.
        ("10.1.0.0/28", true, "10.1.0.241/32"),
        // In no block.
        ("10.1.0.16/28", true, "10.1.0.17/32"),
        // More than one.
        ("10.1.0.0/28", true, "10.1.0.12/31"),
    ] {
        let inserted = sqlx::query(
            "INSERT INTO single_address (network_id, block, block_shared, address, cluster)
             SELECT id, $1, $2, $3, 'c1' FROM network",
        )
        .bind(net(block))
        .bind(shared)
        .bind(net(address))
        .execute(&pool)
        .await;
        assert!(inserted.is_err(), "{address} in {block}");
    }
    for statement in [
        "UPDATE block SET cluster = 'c1' WHERE block = '10.1.0.0/28'",
        "DELETE FROM block WHERE block = '10.1.0.0/28'",
    ] {
        assert!(sqlx::query(statement).execute(&pool).await.is_err(), "{statement}");
    }
    let inserted = sqlx::query(
        "INSERT INTO single_address (network_id, block, address, cluster)
         SELECT id, '10.1.0.0/28', '10.1.0.12/32', 'c1' FROM network",
    );
    inserted.execute(&pool).await.expect("what the cases spoil is good");
}

#[tokio::test]
async fn a_huge_network_leases_at_once() {
    let database = Database::new().await;
    let store = store_with_network(&database, 1, "fd00::/64").await;
    let last = net("fd00::ffff:ffff:ffff:ff00/120");
    assert_eq!(store.lease_block(&lease("s/n", "c0")).await.unwrap(), last);
    let ask = at("fd00::ffff:0:0:5", lease("s/n", "c0"));
    assert_eq!(store.lease_block(&ask).await.unwrap(), net("fd00::ffff:0:0:5/128"));
}
