//! Addresses that were learned behind ports: whose they are, and that nobody loses sight of them.

use std::collections::BTreeMap;

use futures::future::join_all;
use l2sces_model::{MacAddress, Name};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sco_provider::{
    domain::{Endpoint, EndpointKey},
    exchange::{Item, ItemKey},
    store::{Applied, Claims, Store, StoreError},
};

use crate::support::{
    Database, Process, World, endpoint, eventually, learned, network, network_key, slice,
};

async fn furnished(database: &Database) -> Store {
    let store = database.store().await;
    store.apply_slice(&slice("s", &["a", "b", "c"], &[])).await.unwrap();
    store.apply_network(&network("s/n", &["a", "b", "c"], "")).await.unwrap();
    store
}

/// The endpoint of `s/n` that has an address.
async fn holder(store: &Store, mac: MacAddress) -> Option<EndpointKey> {
    let vni = store.network(&network_key("s/n")).await.unwrap().unwrap().identity.vni;
    store.claims(vni, mac).await.unwrap().holder
}

#[tokio::test]
async fn of_those_who_learn_an_address_the_last_has_it() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let (here, there) = (learned("s/n/a/p", 1), learned("s/n/b/q", 1));
    assert_eq!(store.apply_endpoint(&here).await.unwrap(), Applied::Stored);
    assert_eq!(store.apply_endpoint(&here).await.unwrap(), Applied::Unchanged);
    // The port itself, and another address behind it, are endpoints of their own.
    store.apply_endpoint(&endpoint("s/n/a/p", 9, "")).await.unwrap();
    store.apply_endpoint(&learned("s/n/a/p", 2)).await.unwrap();

    assert_eq!(store.apply_endpoint(&there).await.unwrap(), Applied::Stored);
    let vni = store.network(&network_key("s/n")).await.unwrap().unwrap().identity.vni;
    let claims = store.claims(vni, here.mac).await.unwrap();
    let expected = Claims { holder: Some(there.key.clone()), leaving: vec![here.key.clone()] };
    assert_eq!(claims, expected);
    assert_eq!(store.apply_endpoint(&here).await.unwrap(), Applied::Stored, "it comes back");
    assert_eq!(holder(&store, here.mac).await, Some(here.key.clone()));

    store.delete_endpoint(&here.key).await.unwrap();
    assert!(store.forget_endpoint(&here.key).await.unwrap());
    for other in [endpoint("s/n/a/p", 9, ""), learned("s/n/a/p", 2)] {
        assert_eq!(holder(&store, other.mac).await, Some(other.key), "it stays");
    }
}

#[tokio::test]
async fn a_learned_address_yields_to_an_announced_one_and_not_the_other_way_round() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    let announced = endpoint("s/n/b/q", 1, "");
    store.apply_endpoint(&learned("s/n/a/p", 1)).await.unwrap();
    store.apply_endpoint(&announced).await.unwrap();
    assert_eq!(holder(&store, announced.mac).await, Some(announced.key.clone()));

    for port in ["s/n/a/p", "s/n/b/q", "s/n/b/r"] {
        let refused = store.apply_endpoint(&learned(port, 1)).await;
        let Err(StoreError::Taken { description, .. }) = refused else { panic!("{refused:?}") };
        assert!(description.contains("port q in cluster b"), "{description}");
        assert_eq!(holder(&store, announced.mac).await, Some(announced.key.clone()));
    }
    // A port may get as its own what was learned behind it.
    store.apply_endpoint(&learned("s/n/c/p", 2)).await.unwrap();
    let own = endpoint("s/n/c/p", 2, "");
    store.apply_endpoint(&own).await.unwrap();
    assert_eq!(holder(&store, own.mac).await, Some(own.key));
}

#[tokio::test]
async fn of_clusters_that_learn_an_address_at_once_one_has_it() {
    let database = Database::new().await;
    let store = furnished(&database).await;
    for round in 1..20 {
        let endpoints =
            ["s/n/a/p", "s/n/b/p", "s/n/c/p", "s/n/a/q"].map(|port| learned(port, round));
        let answers = join_all(endpoints.iter().map(|endpoint| store.apply_endpoint(endpoint)));
        for answer in answers.await {
            assert_eq!(answer.unwrap(), Applied::Stored);
        }
        assert!(holder(&store, endpoints[0].mac).await.is_some());
    }
}

/// Who is shown to have which address, and where the engine takes it to be.
type Shown = (BTreeMap<EndpointKey, MacAddress>, BTreeMap<MacAddress, Name>);

fn shown(process: &Process) -> Shown {
    let told = process.exchange.watch().0.into_iter().filter_map(|(key, notice)| {
        match (key, &notice.item) {
            (ItemKey::Endpoint(key), Item::Endpoint { endpoint, .. }) => Some((key, endpoint.mac)),
            _ => None,
        }
    });
    let fabric = process.fabric.state.lock().unwrap();
    let known = fabric.endpoints.iter().map(|((_, mac), spec)| (*mac, spec.region.clone()));
    (told.collect(), known.collect())
}

#[tokio::test]
async fn an_address_that_moves_is_known_all_the_time_and_left_behind_nowhere() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    let (here, there) = (learned("s/n/a/p", 1), learned("s/n/b/q", 1));
    process.apply_endpoint(&here).await;
    eventually("all is told", async || {
        // Two handoffs, and the endpoint.
        process.exchange.watch().0.len() == 3 && shown(&process).0.contains_key(&here.key)
    })
    .await;
    let (_, mut changes) = process.exchange.watch();
    for round in 0..20 {
        let (from, to) = if round % 2 == 0 { (&here, &there) } else { (&there, &here) };
        process.apply_endpoint(to).await;
        let expected: Shown = (
            BTreeMap::from([(to.key.clone(), to.mac)]),
            BTreeMap::from([(to.mac, to.key.cluster.clone())]),
        );
        eventually("the move", async || {
            // At no moment is it unknown to the switches between clusters.
            assert_eq!(process.fabric.state.lock().unwrap().endpoints.len(), 1);
            shown(&process) == expected
                && process.store.endpoint(&from.key).await.unwrap().is_none()
        })
        .await;
        // Nor to the clusters: it comes in its new place before it goes from the old one.
        let put = changes.recv().await.unwrap().what;
        assert_eq!((put.key, put.after.is_some()), (ItemKey::Endpoint(to.key.clone()), true));
        let gone = changes.recv().await.unwrap().what;
        assert_eq!((gone.key, gone.after), (ItemKey::Endpoint(from.key.clone()), None));
        // Its former cluster withdraws it, late.
        process.delete_endpoint(&from.key).await;
    }
    process.delete_endpoint(&here.key).await;
    eventually("nothing is left", async || {
        shown(&process) == Shown::default() && process.store.endpoints().await.unwrap().is_empty()
    })
    .await;
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Endpoint),
    Delete(Endpoint),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ports = prop::sample::select(vec!["s/n/a/p", "s/n/a/q", "s/n/b/p", "s/n/b/q"]);
    let one = (ports, 1..4_u8, any::<bool>()).prop_map(|(port, mac, own)| match own {
        true => endpoint(port, mac, ""),
        false => learned(port, mac),
    });
    let step = (one, prop::bool::weighted(0.7)).prop_map(|(endpoint, apply)| match apply {
        true => Step::Apply(endpoint),
        false => Step::Delete(endpoint),
    });
    prop::collection::vec(step, 1..60)
}

/// Whatever is announced and withdrawn, as fast as it comes: in the end the clusters and the engine
/// know exactly what is stored.
#[test]
fn what_is_told_is_what_is_stored() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let process = runtime.block_on(world.start_with_network());
    let mut runner = TestRunner::new(Config::with_cases(40));
    let outcome = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            for step in steps {
                let key = match step {
                    Step::Apply(endpoint) => {
                        match process.store.apply_endpoint(&endpoint).await {
                            Ok(_) | Err(StoreError::Taken { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        endpoint.key
                    }
                    Step::Delete(endpoint) => {
                        process.store.delete_endpoint(&endpoint.key).await.unwrap();
                        endpoint.key
                    }
                };
                process.queues.wake(sco_provider::domain::Key::Endpoint(key));
            }
            eventually("all is told", async || {
                let stored = process.store.endpoints().await.unwrap();
                let is_settled = stored.iter().all(|stored| !stored.deleting);
                let stored = stored.into_iter().map(|stored| stored.endpoint);
                let (keys, regions) = stored
                    .map(|Endpoint { key, mac, .. }| {
                        let cluster = key.cluster.clone();
                        ((key, mac), (mac, cluster))
                    })
                    .unzip();
                is_settled && shown(&process) == (keys, regions)
            })
            .await;
        });
        Ok(())
    });
    outcome.unwrap();
}
