//! The process may die at any step: the next one finishes what it began.

use sco_provider::{
    domain::{GatewayKey, Key},
    store::Deletion,
};

use crate::support::{
    Process, World, endpoint, endpoint_key, eventually, gateway, gateway_key, name, network,
    network_key, slice,
};

const GATEWAYS: [(&str, &str); 2] = [("a/a1", "192.0.2.11"), ("b/b1", "192.0.2.21")];
const ENDPOINTS: [(&str, u8, &str); 2] = [("s/n/a/p", 1, "10.1.0.1"), ("s/n/b/q", 2, "10.1.0.17")];

/// Asks for everything, as often as asked.
async fn build(process: &Process) {
    for (key, address) in GATEWAYS {
        process.apply_gateway(&gateway(key, address)).await;
    }
    process.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await;
    process.apply_network(&network("s/n", &["a", "b"], "10.1.0.0/24")).await;
    for (key, mac, address) in ENDPOINTS {
        process.apply_endpoint(&endpoint(key, mac, address)).await;
    }
}

async fn is_built(world: &World, process: &Process) -> bool {
    let tunnels = GATEWAYS.iter().all(|(key, _)| {
        let agent = format!("https://{}:50054", key.replace('/', "."));
        world.agents.tunnels(&agent).is_some_and(|tunnels| tunnels.len() == 1)
    });
    let names = world.names.records.lock().unwrap().len() == ENDPOINTS.len();
    let announced = process.exchange.watch().0.len() == 2 + ENDPOINTS.len();
    let state = process.fabric.state.lock().unwrap();
    tunnels
        && names
        && announced
        && state.complete
        && state.switches.len() == 2
        && state.slices.len() == 1
        && state.ports.len() == 2
        && state.endpoints.len() == ENDPOINTS.len()
}

/// Asks for the removal of everything, and again until all is gone.
async fn dismantle(process: &Process) {
    for (key, ..) in ENDPOINTS {
        process.delete_endpoint(&endpoint_key(key)).await;
    }
    eventually("the network is gone", async || {
        let deletion = process.store.delete_network(&network_key("s/n")).await.unwrap();
        process.queues.wake(Key::Network(network_key("s/n")));
        deletion == Deletion::Gone
    })
    .await;
    eventually("the slice is gone", async || {
        let deletion = process.store.delete_slice(&name("s")).await.unwrap();
        process.queues.wake(Key::Slice(name("s")));
        deletion == Deletion::Gone
    })
    .await;
    for (key, _) in GATEWAYS {
        let key: GatewayKey = gateway_key(key);
        eventually("the gateway is gone", async || {
            let deletion = process.store.delete_gateway(&key).await.unwrap();
            process.queues.wake(Key::Gateway(key.clone()));
            deletion == Deletion::Gone
        })
        .await;
    }
}

async fn assert_nothing_is_left(world: &World, process: &Process) {
    // The row goes before the worker has put its notes away.
    eventually("nothing is shown", async || {
        process.exchange.watch().0.is_empty() && process.status.board().watch().0.is_empty()
    })
    .await;
    eventually("the engine has nothing", async || process.fabric.state.lock().unwrap().is_empty())
        .await;
    assert!(world.agents.bridges.lock().unwrap().is_empty());
    assert!(world.names.records.lock().unwrap().is_empty());
    assert!(process.store.endpoints().await.unwrap().is_empty());
    assert!(process.store.networks().await.unwrap().is_empty());
    assert!(process.store.slices().await.unwrap().is_empty());
    assert!(process.store.gateways().await.unwrap().is_empty());
}

/// Runs `work`; true: the process died at the step that the fuse was set to.
async fn dies(world: &World, work: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = world.fuse.blown.notified() => true,
        () = work => false,
    }
}

#[tokio::test]
async fn removal_is_finished_after_a_death_at_any_step() {
    let world = World::new().await;
    let mut step = 0;
    loop {
        step += 1;
        let mut process = world.start().await;
        build(&process).await;
        eventually("all is there", async || is_built(&world, &process).await).await;

        world.fuse.set(step);
        let died = dies(&world, dismantle(&process)).await;
        world.fuse.set(0);
        if died {
            drop(process);
            process = world.start().await;
            dismantle(&process).await;
        }
        assert_nothing_is_left(&world, &process).await;
        if !died {
            break;
        }
    }
    assert!(step > 10, "the steps were counted: {step}");
}

#[tokio::test]
async fn making_is_finished_after_a_death_at_any_step() {
    let world = World::new().await;
    let mut step = 0;
    loop {
        step += 1;
        let mut process = world.start().await;
        world.fuse.set(step);
        let died = dies(&world, async {
            build(&process).await;
            eventually("all is there", async || is_built(&world, &process).await).await;
        })
        .await;
        world.fuse.set(0);
        if died {
            drop(process);
            process = world.start().await;
            // The caller has had no answer to some of its calls, and repeats them.
            build(&process).await;
        }
        eventually("all is there", async || is_built(&world, &process).await).await;
        dismantle(&process).await;
        assert_nothing_is_left(&world, &process).await;
        if !died {
            break;
        }
    }
    assert!(step > 10, "the steps were counted: {step}");
}

#[tokio::test]
async fn a_restart_alone_carries_out_what_was_durable() {
    let world = World::new().await;
    world.agents.set_down("https://a.a1:50054", true);
    world.names.set_down(true);
    let process = world.start().await;
    build(&process).await;
    drop(process);
    world.agents.set_down("https://a.a1:50054", false);
    world.names.set_down(false);
    let process = world.start().await;
    eventually("all is there", async || is_built(&world, &process).await).await;
}
