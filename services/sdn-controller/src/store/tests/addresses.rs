use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ipnet::IpNet;
use l2sces_model::MacAddress;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{
    domain::{PortSpec, reserved_addresses},
    examples::{network, network_key, port, put_network, put_port},
    store::{
        BlockNeed, PortApplied, PortCondition, Store, StoreError, test_database::TestDatabase,
    },
};

/// Stores ports without an address until there is none; answers with the addresses.
async fn fill(store: &Store, network_name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    loop {
        let spec = port(network_name, &format!("fill{}", addresses.len()));
        match store.apply_port(&spec).await.unwrap() {
            PortApplied::Stored(stored) => addresses.push(stored.port.address.unwrap().addr()),
            PortApplied::NeedsBlock(_) => return addresses,
        }
    }
}

/// A network of 64 addresses, of which some quarters are ours, and some offsets are asked for.
fn plan() -> impl Strategy<Value = (bool, BTreeSet<u8>, BTreeSet<u8>, Vec<bool>)> {
    let quarters = prop::collection::btree_set(0..4_u8, 1..=4);
    let offsets = prop::collection::btree_set(0..64_u8, 0..12);
    (any::<bool>(), quarters, offsets, prop::collection::vec(any::<bool>(), 12))
}

#[test]
fn blocks_are_filled_exactly_and_from_below_whatever_was_taken_and_given_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let database = runtime.block_on(TestDatabase::new());
    let store = database.store();
    runtime.block_on(put_network(&store));
    let networks = AtomicU32::new(100);
    let mut runner = TestRunner::new(Config::with_cases(12));
    runner
        .run(&plan(), |(v6, quarters, offsets, given_back)| {
            let number = networks.fetch_add(1, Ordering::Relaxed);
            let name = format!("net{number}");
            let cidr: IpNet = if v6 { "fd00::40/122" } else { "10.9.8.64/26" }.parse().unwrap();
            let quarter_of = |address: &IpAddr| {
                let last = match address {
                    IpAddr::V4(address) => address.octets()[3],
                    IpAddr::V6(address) => address.octets()[15],
                };
                (last - 64) / 16
            };
            let usable: BTreeSet<IpAddr> = cidr_addresses(cidr)
                .filter(|address| !reserved_addresses(&cidr).contains(address))
                .filter(|address| quarters.contains(&quarter_of(address)))
                .collect();
            runtime.block_on(async {
                store.apply_network(&network(&name, number, &cidr.to_string())).await.unwrap();
                let prefix = cidr.prefix_len() + 2;
                let blocks: Vec<IpNet> = cidr.subnets(prefix).unwrap().collect();
                for quarter in &quarters {
                    let block = blocks[usize::from(*quarter)];
                    store.add_block(&network_key(&name), block, 0).await.unwrap();
                }
                let addresses: Vec<IpAddr> = cidr_addresses(cidr).collect();
                let mut taken = BTreeSet::new();
                for (offset, back) in offsets.iter().zip(&given_back) {
                    let address = addresses[usize::from(*offset)];
                    if !usable.contains(&address) {
                        continue;
                    }
                    let mut spec = port(&name, &format!("fixed{offset}"));
                    spec.address = Some(address);
                    put_port(&store, &spec).await.unwrap();
                    if *back {
                        store.mark_port(&spec.key, &PortCondition::default()).await.unwrap();
                        store.remove_port(&spec.key).await.unwrap();
                    } else {
                        taken.insert(address);
                    }
                }
                let filled = fill(&store, &name).await;
                assert!(filled.is_sorted(), "{filled:?}");
                let expected: Vec<IpAddr> = usable.difference(&taken).copied().collect();
                assert_eq!(filled, expected);
            });
            Ok(())
        })
        .unwrap();
}

fn cidr_addresses(cidr: IpNet) -> impl Iterator<Item = IpAddr> {
    let hosts: Box<dyn Iterator<Item = IpNet>> = match cidr {
        IpNet::V4(net) => Box::new(net.subnets(32).unwrap().map(IpNet::from)),
        IpNet::V6(net) => Box::new(net.subnets(128).unwrap().map(IpNet::from)),
    };
    hosts.map(|host| host.addr())
}

#[tokio::test]
async fn the_very_last_addresses_can_be_used() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    for (number, cidr, size) in [
        (10, "255.255.255.254/31", 2),
        (11, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", 2),
        (12, "10.0.0.7/32", 1),
    ] {
        let name = format!("net{number}");
        store.apply_network(&network(&name, number, cidr)).await.unwrap();
        store.add_block(&network_key(&name), cidr.parse().unwrap(), 0).await.unwrap();
        assert_eq!(fill(&store, &name).await.len(), size, "{cidr}");
    }
}

#[tokio::test]
async fn those_who_choose_at_once_choose_differently() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("red", 2, "10.2.0.0/27")).await.unwrap();
    store.add_block(&network_key("red"), "10.2.0.0/27".parse().unwrap(), 0).await.unwrap();
    let specs: Vec<_> = (0..40).map(|number| port("red", &format!("p{number}"))).collect();
    let applied = futures::future::join_all(specs.iter().map(|spec| store.apply_port(spec))).await;
    let mut addresses = BTreeSet::new();
    let mut refused = 0;
    for applied in applied {
        match applied.unwrap() {
            PortApplied::Stored(stored) => assert!(addresses.insert(stored.port.address)),
            PortApplied::NeedsBlock(_) => refused += 1,
        }
    }
    assert_eq!((addresses.len(), refused), (30, 10));
}

#[tokio::test]
async fn one_of_two_who_ask_for_an_address_at_once_gets_it() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    for last in 1..=10 {
        let asking = |who: &str| {
            let mut spec = port("blue", &format!("{who}{last}"));
            spec.address = Some([10, 1, 0, last].into());
            spec
        };
        let (one, other) = (asking("one"), asking("other"));
        let (one, other) = tokio::join!(put_port(&store, &one), put_port(&store, &other));
        assert_ne!(one.is_ok(), other.is_ok());
        let error = one.and(other).unwrap_err();
        assert!(matches!(error, StoreError::AddressTaken(_)), "{error}");
    }
}

#[tokio::test]
async fn an_address_outside_our_blocks_needs_another_block_and_one_outside_the_network_is_bad() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let block: IpNet = "10.2.0.0/28".parse().unwrap();
    store.add_block(&network_key("red"), block, 0).await.unwrap();
    let mut spec = port("red", "p");
    spec.address = Some([10, 2, 0, 100].into());
    let applied = store.apply_port(&spec).await.unwrap();
    let cidr = "10.2.0.0/24".parse().unwrap();
    let need = BlockNeed { known: vec![block], releases: 0, cidr };
    assert_eq!(applied, PortApplied::NeedsBlock(need));
    for address in [[10, 3, 0, 1], [10, 2, 0, 0], [10, 2, 0, 255]] {
        spec.address = Some(address.into());
        let error = store.apply_port(&spec).await.unwrap_err();
        assert!(matches!(error, StoreError::BadAddress { .. }), "{error}");
    }
    assert!(store.port(&spec.key).await.unwrap().is_none());
}

#[tokio::test]
async fn an_address_that_a_port_on_its_way_asks_for_is_given_to_nobody_else() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let wishing = at("wishing", 4);
    let wish = store.wish(&wishing);
    // It is leased for that port, which is still to be stored.
    store.add_block(&network_key("red"), "10.2.0.4/30".parse().unwrap(), 0).await.unwrap();
    let address = async |name: &str| match store.apply_port(&port("red", name)).await.unwrap() {
        PortApplied::Stored(stored) => stored.port.address.unwrap().addr(),
        PortApplied::NeedsBlock(need) => panic!("{need:?}"),
    };
    assert_eq!(address("first").await, IpAddr::from([10, 2, 0, 5]));
    let stored = put_port(&store, &wishing).await.unwrap();
    assert_eq!(stored.port.address.unwrap().addr(), IpAddr::from([10, 2, 0, 4]));
    drop(wish);
    let gone = store.wish(&at("gone", 6));
    drop(gone);
    assert_eq!(address("second").await, IpAddr::from([10, 2, 0, 6]));
    // There is no address after this, and it is refused only later.
    let mut elsewhere = port("red", "elsewhere");
    elsewhere.address = Some([255; 4].into());
    let _wish = store.wish(&elsewhere);
    assert_eq!(address("third").await, IpAddr::from([10, 2, 0, 7]));
}

fn at(name: &str, last: u8) -> PortSpec {
    let mut spec = port("red", name);
    spec.address = Some([10, 2, 0, last].into());
    spec
}

#[track_caller]
fn need(applied: PortApplied) -> BlockNeed {
    match applied {
        PortApplied::NeedsBlock(need) => need,
        PortApplied::Stored(stored) => panic!("{stored:?}"),
    }
}

#[tokio::test]
async fn a_single_address_is_chosen_last_and_forgotten_with_its_port() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let (red, single): (_, IpNet) = (network_key("red"), "10.2.0.11/32".parse().unwrap());
    let whole: IpNet = "10.2.0.254/31".parse().unwrap();
    for block in [single, whole] {
        store.add_block(&red, block, 0).await.unwrap();
    }
    let fixed = at("fixed", 11);
    put_port(&store, &fixed).await.unwrap();
    assert_eq!(store.single_block(&fixed.key).await.unwrap(), Some(single));
    store.remove_port(&fixed.key).await.unwrap();
    assert_eq!(store.single_block(&fixed.key).await.unwrap(), Some(single), "it stays as it does");
    store.mark_port(&fixed.key, &PortCondition::default()).await.unwrap();
    assert!(matches!(put_port(&store, &at("next", 11)).await, Err(StoreError::AddressTaken(_))));
    store.remove_port(&fixed.key).await.unwrap();
    let expected =
        BlockNeed { known: vec![whole], releases: 1, cidr: "10.2.0.0/24".parse().unwrap() };
    assert_eq!(need(store.apply_port(&at("next", 11)).await.unwrap()), expected);

    // Of a whole block nothing is given back.
    let of_whole = at("of-whole", 254);
    put_port(&store, &of_whole).await.unwrap();
    assert_eq!(store.single_block(&of_whole.key).await.unwrap(), None);
    store.mark_port(&of_whole.key, &PortCondition::default()).await.unwrap();
    store.remove_port(&of_whole.key).await.unwrap();

    store.add_block(&red, single, 1).await.unwrap();
    let filled = fill(&store, "red").await;
    assert_eq!(filled, [[10, 2, 0, 254], [10, 2, 0, 11]].map(IpAddr::from));
}

#[tokio::test]
async fn a_lease_from_before_it_was_given_back_is_none() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("red", 2, "10.2.0.0/24")).await.unwrap();
    let (red, single) = (network_key("red"), "10.2.0.11/32".parse().unwrap());
    let (one, other) = (at("one", 11), at("other", 11));
    let before = need(store.apply_port(&other).await.unwrap());
    // Both have asked for it, and were answered; one is made and deleted before the other goes on.
    store.add_block(&red, single, before.releases).await.unwrap();
    put_port(&store, &one).await.unwrap();
    store.mark_port(&one.key, &PortCondition::default()).await.unwrap();
    store.remove_port(&one.key).await.unwrap();
    store.add_block(&red, single, before.releases).await.unwrap();
    let after = need(store.apply_port(&other).await.unwrap());
    assert!(after.known.is_empty(), "{after:?}");
    store.add_block(&red, single, after.releases).await.unwrap();
    put_port(&store, &other).await.unwrap();
}

#[tokio::test]
async fn in_a_network_without_addresses_ports_choose_theirs() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("bare", 2, "")).await.unwrap();
    let mut spec = port("bare", "p");
    spec.address = Some([192, 168, 1, 2].into());
    let refused = store.apply_port(&spec).await.unwrap_err();
    assert!(matches!(refused, StoreError::BadAddress { .. }), "{refused}");
    spec.prefix_len = Some(24);
    let stored = put_port(&store, &spec).await.unwrap().port;
    assert_eq!(stored.address, Some("192.168.1.2/24".parse().unwrap()));
    assert!(stored.chose_prefix);
    assert_eq!(store.port(&spec.key).await.unwrap(), Some(stored));
    let mut twin = port("bare", "twin");
    (twin.address, twin.prefix_len) = (spec.address, Some(16));
    let refused = store.apply_port(&twin).await.unwrap_err();
    assert!(matches!(refused, StoreError::AddressTaken(_)), "{refused}");
    // It has none any more.
    (spec.address, spec.prefix_len) = (None, None);
    let stored = put_port(&store, &spec).await.unwrap().port;
    assert_eq!((stored.address, stored.chose_prefix), (None, false));
    put_port(&store, &twin).await.unwrap();
    // Where the network has a prefix, that counts.
    store.apply_network(&network("red", 3, "10.2.0.0/24")).await.unwrap();
    store.add_block(&network_key("red"), "10.2.0.0/24".parse().unwrap(), 0).await.unwrap();
    let mut fixed = at("fixed", 9);
    fixed.prefix_len = Some(8);
    let stored = put_port(&store, &fixed).await.unwrap().port;
    assert_eq!(stored.address, Some("10.2.0.9/24".parse().unwrap()));
    assert!(!stored.chose_prefix);
}

#[tokio::test]
async fn a_mac_is_derived_anew_when_another_port_has_it() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    let derived = |attempt| MacAddress::for_port("s1", "blue", "a/p", attempt);
    let mut squatter = port("blue", "squatter");
    squatter.mac = Some(derived(0));
    put_port(&store, &squatter).await.unwrap();
    assert_eq!(put_port(&store, &port("blue", "p")).await.unwrap().port.mac, derived(1));
    let mut second = port("blue", "second");
    second.mac = Some(derived(0));
    let error = put_port(&store, &second).await.unwrap_err();
    assert!(matches!(error, StoreError::MacTaken(_)), "{error}");
    // Networks are apart: another has room for the same.
    store.apply_network(&network("red", 2, "")).await.unwrap();
    let mut twin = squatter;
    twin.key.network = "red".parse().unwrap();
    assert_eq!(put_port(&store, &twin).await.unwrap().port.mac, derived(0));
}

#[tokio::test]
async fn ports_that_get_no_address_do_not_take_turns() {
    let database = TestDatabase::new().await;
    let store = database.store();
    put_network(&store).await;
    store.apply_network(&network("bare", 2, "")).await.unwrap();
    // What a port that chooses an address holds until it is stored.
    let mut other = database.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM network FOR NO KEY UPDATE").execute(&mut *other).await.unwrap();
    let spec = port("bare", "p");
    let stored = tokio::time::timeout(Duration::from_secs(20), put_port(&store, &spec)).await;
    assert_eq!(stored.expect("it does not wait").unwrap().port.address, None);

    let spec = port("blue", "p");
    let chooses = put_port(&store, &spec);
    tokio::pin!(chooses);
    let waits = tokio::time::timeout(Duration::from_millis(50), &mut chooses).await;
    assert!(waits.is_err(), "two could choose the same address");
    other.rollback().await.unwrap();
    assert!(chooses.await.unwrap().port.address.is_some());
}
