//! What is stored is brought about, and follows every change.

use l2sces_controller::{Event, PortRole, PortSpec};
use l2sces_model::{Epoch, Name};
use sco_provider::{
    domain::{Key, ObjectKey},
    exchange::{Item, ItemKey},
};

use crate::support::{
    Process, World, also_named, endpoint, endpoint_key, eventually, gateway, gateway_key, name,
    network, network_key, slice, version,
};

const AGENT_A1: &str = "https://a.a1:50054";
const AGENT_B1: &str = "https://b.b1:50054";

/// The node whose trunk a cluster's controller was told to use for `s/n`, if it is one.
fn handoff(process: &Process, cluster: &str) -> Option<Name> {
    let key = ItemKey::Handoff { network: network_key("s/n"), cluster: name(cluster) };
    match &process.exchange.get(&key)?.item {
        Item::Handoff { current, .. } if current.gates.len() == 1 => {
            current.gates.keys().next().cloned()
        }
        Item::Handoff { .. } => None,
        Item::Endpoint { .. } => None,
    }
}

/// The clusters that were told of an endpoint.
fn audience(process: &Process, key: &str) -> Option<Vec<Name>> {
    let notice = process.exchange.get(&ItemKey::Endpoint(endpoint_key(key)))?;
    Some(notice.audience.clone())
}

/// The gateway behind which the engine finds an endpoint of `s/n` with a MAC address.
async fn gateway_of(process: &Process, mac: u8) -> Option<String> {
    let network = process.store.network(&network_key("s/n")).await.unwrap()?;
    let mac = endpoint("s/n/a/any", mac, "").mac;
    let switch = {
        let state = process.fabric.state.lock().unwrap();
        let region = &state.endpoints.get(&(network.identity.vni, mac))?.region;
        let leads_there = |port: &&PortSpec| match &port.role {
            PortRole::Trunk { regions, .. } => regions.contains(region),
            PortRole::Access { .. } => false,
        };
        state.ports.values().find(leads_there)?.switch
    };
    let gateways = process.store.gateways().await.unwrap();
    let key = gateways.into_iter().map(|stored| stored.gateway.key);
    key.into_iter().find(|key| key.datapath_id() == switch).map(|key| key.to_string())
}

#[tokio::test]
async fn a_network_reaches_agents_switches_clusters_and_dns() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "10.1.0.1")).await;
    process.apply_endpoint(&endpoint("s/n/b/q", 2, "")).await;

    eventually("tunnels", async || {
        world.agents.tunnels(AGENT_A1) == Some(vec!["192.0.2.21".to_owned()])
            && world.agents.tunnels(AGENT_B1) == Some(vec!["192.0.2.11".to_owned()])
    })
    .await;
    {
        let bridges = world.agents.bridges.lock().unwrap();
        let bridge = &bridges[AGENT_A1];
        assert_eq!(bridge.datapath_id, gateway_key("a/a1").datapath_id().get());
        assert_eq!(bridge.controllers, ["ssl:192.0.2.1:6654"]);
        assert_eq!(bridge.trunk.as_ref().unwrap().peer_interface_name, "l2t-sps");
        assert_eq!(bridge.links[0].local_address, "192.0.2.11");
        assert_eq!(bridge.links[0].udp_port, 7001);
    }
    eventually("announcements", async || {
        handoff(&process, "a") == Some(name("a1"))
            && handoff(&process, "b") == Some(name("b1"))
            && audience(&process, "s/n/a/p") == Some(vec![name("b")])
            && audience(&process, "s/n/b/q") == Some(vec![name("a")])
    })
    .await;
    eventually("flows", async || {
        gateway_of(&process, 1).await.as_deref() == Some("a/a1")
            && gateway_of(&process, 2).await.as_deref() == Some("b/b1")
    })
    .await;
    eventually("the name", async || {
        world.names.address(&endpoint_key("s/n/a/p")) == "10.1.0.1".parse().ok()
    })
    .await;
    assert_eq!(world.names.records.lock().unwrap().len(), 1, "no address, no name");

    eventually("all is known to the engine", async || {
        let state = process.fabric.state.lock().unwrap();
        let ports: Vec<_> = state.ports.keys().map(ToString::to_string).collect();
        state.complete
            && state.slices.get(&name("s")).is_some_and(|slice| slice.links.len() == 1)
            && ports == ["gate/s/n/a/a1/1", "gate/s/n/b/b1/1"]
    })
    .await;
}

#[tokio::test]
async fn objects_are_ready_when_the_switches_say_so() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    let gateway = ObjectKey::Gateway(gateway_key("a/a1"));
    let network = ObjectKey::Network(network_key("s/n"));
    let slice = ObjectKey::Slice(name("s"));
    eventually("all is shown", async || {
        [&gateway, &network, &slice].iter().all(|key| process.reason(key) == Some("Pending"))
            && process.fabric.state.lock().unwrap().ports.len() == 2
    })
    .await;

    process.status.observe(Event::SwitchReady(gateway_key("a/a1").datapath_id()));
    let links = Event::SliceState { name: name("s"), ready: true, message: String::new() };
    process.status.observe(links);
    for gateway in ["a/a1", "b/b1"] {
        let id = network_key("s/n").gate_port(&gateway_key(gateway), Epoch::NONE.next());
        process.status.observe(Event::PortState { id, ready: true, message: String::new() });
    }
    eventually("all is ready", async || {
        [&gateway, &network, &slice].iter().all(|key| process.reason(key) == Some(""))
    })
    .await;

    let down = "the connection was closed".to_owned();
    let id = gateway_key("a/a1").datapath_id();
    process.status.observe(Event::SwitchDown { id, reason: down });
    assert_eq!(process.reason(&gateway), Some("SwitchNotReady"));
}

#[tokio::test]
async fn a_dns_that_is_down_holds_up_names_only() {
    let world = World::new().await;
    world.names.set_down(true);
    let process = world.start_with_network().await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "10.1.0.1")).await;
    eventually("flows", async || gateway_of(&process, 1).await.as_deref() == Some("a/a1")).await;

    process.delete_endpoint(&endpoint_key("s/n/a/p")).await;
    eventually("flows are gone", async || {
        gateway_of(&process, 1).await.is_none() && audience(&process, "s/n/a/p").is_none()
    })
    .await;
    assert!(process.store.endpoint(&endpoint_key("s/n/a/p")).await.unwrap().is_some());

    // Its addresses serve another already, which the end of the first leaves alone.
    process.apply_endpoint(&endpoint("s/n/a/q", 1, "10.1.0.1")).await;
    eventually("other flows", async || gateway_of(&process, 1).await.is_some()).await;
    world.names.set_down(false);
    eventually("the first is gone", async || {
        process.store.endpoint(&endpoint_key("s/n/a/p")).await.unwrap().is_none()
    })
    .await;
    eventually("the second has its name", async || {
        world.names.records.lock().unwrap().keys().eq([&endpoint_key("s/n/a/q")])
    })
    .await;
    assert_eq!(gateway_of(&process, 1).await.as_deref(), Some("a/a1"));
}

#[tokio::test]
async fn an_agent_that_comes_back_gets_what_it_missed() {
    let world = World::new().await;
    world.agents.set_down(AGENT_A1, true);
    let process = world.start_with_network().await;
    let gateway = ObjectKey::Gateway(gateway_key("a/a1"));
    eventually("the failure shows", async || process.reason(&gateway) == Some("AgentFailed")).await;
    world.agents.set_down(AGENT_A1, false);
    eventually("tunnels", async || {
        world.agents.tunnels(AGENT_A1) == Some(vec!["192.0.2.21".to_owned()])
    })
    .await;

    // While a session with an agent goes on, its end and return are noticed without any change.
    world.agents.bridges.lock().unwrap().clear();
    world.agents.set_down(AGENT_B1, true);
    world.agents.set_down(AGENT_B1, false);
    eventually("the bridge is made again", async || world.agents.tunnels(AGENT_B1).is_some()).await;
    // And what others do to the bridge meanwhile: more often than there are other reasons to look.
    for _ in 0..5 {
        world.agents.lose_bridge(AGENT_B1);
        eventually("it is mended", async || world.agents.tunnels(AGENT_B1).is_some()).await;
    }
}

#[tokio::test]
async fn an_endpoint_is_followed_through_its_changes() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    let key = endpoint_key("s/n/a/p");
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "10.1.0.1")).await;
    eventually("a name", async || world.names.address(&key) == "10.1.0.1".parse().ok()).await;
    process.apply_endpoint(&endpoint("s/n/a/p", 2, "10.1.0.2")).await;
    eventually("another name", async || world.names.address(&key) == "10.1.0.2".parse().ok()).await;
    eventually("another MAC address", async || {
        gateway_of(&process, 1).await.is_none() && gateway_of(&process, 2).await.is_some()
    })
    .await;
    process.apply_endpoint(&endpoint("s/n/a/p", 2, "")).await;
    eventually("no name", async || world.names.address(&key).is_none()).await;
    eventually("it is known that there is none", async || {
        !process.store.endpoint(&key).await.unwrap().unwrap().named
    })
    .await;

    // Made again before its removal is complete.
    process.delete_endpoint(&key).await;
    process.apply_endpoint(&endpoint("s/n/a/p", 2, "10.1.0.3")).await;
    eventually("a name again", async || world.names.address(&key) == "10.1.0.3".parse().ok()).await;
    assert_eq!(gateway_of(&process, 2).await.as_deref(), Some("a/a1"));
}

#[tokio::test]
async fn an_alias_is_told_to_the_dns_and_followed_through_its_changes() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    let plain = endpoint("s/n/a/p", 1, "10.1.0.1");
    let named = |alias| also_named(alias, plain.clone());
    let has_alias = |alias: Option<&str>| {
        let record = world.names.record(&plain.key);
        record.is_some_and(|record| record.alias == alias.map(name))
    };
    process.apply_endpoint(&plain).await;
    eventually("no alias", async || has_alias(None)).await;
    process.apply_endpoint(&named("app")).await;
    eventually("an alias", async || has_alias(Some("app"))).await;

    // Changed when the DNS cannot be told, and the next process finds it so.
    world.names.set_down(true);
    process.apply_endpoint(&named("shop")).await;
    drop(process);
    world.names.set_down(false);
    let process = world.start().await;
    eventually("another alias", async || has_alias(Some("shop"))).await;
    process.apply_endpoint(&plain).await;
    eventually("no alias any more", async || has_alias(None)).await;
}

#[tokio::test]
async fn a_mac_address_may_move_to_another_cluster() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    for round in 0..10 {
        let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        process.apply_endpoint(&endpoint(&format!("s/n/{from}/p"), 1, "")).await;
        process.delete_endpoint(&endpoint_key(&format!("s/n/{from}/p"))).await;
        process.apply_endpoint(&endpoint(&format!("s/n/{to}/p"), 1, "")).await;
        let gateway = format!("{to}/{to}1");
        let former = endpoint_key(&format!("s/n/{from}/p"));
        eventually("the move is complete", async || {
            process.store.endpoint(&former).await.unwrap().is_none()
                && gateway_of(&process, 1).await.as_ref() == Some(&gateway)
        })
        .await;
        let there = endpoint_key(&format!("s/n/{to}/p"));
        process.delete_endpoint(&there).await;
        eventually("it is gone", async || process.store.endpoint(&there).await.unwrap().is_none())
            .await;
    }
}

#[tokio::test]
async fn a_late_removal_does_not_take_the_next_holder_of_a_mac_address_along() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await;
    eventually("flows", async || gateway_of(&process, 1).await.as_deref() == Some("a/a1")).await;

    let closed = process.fabric.removal_gate.write().await;
    process.delete_endpoint(&endpoint_key("s/n/a/p")).await;
    eventually("the removal has begun", async || audience(&process, "s/n/a/p").is_none()).await;
    process.apply_endpoint(&endpoint("s/n/b/p", 1, "")).await;
    eventually("the move", async || gateway_of(&process, 1).await.as_deref() == Some("b/b1")).await;
    drop(closed);
    eventually("the removal is complete", async || {
        process.store.endpoint(&endpoint_key("s/n/a/p")).await.unwrap().is_none()
    })
    .await;
    eventually("the holder", async || gateway_of(&process, 1).await.as_deref() == Some("b/b1"))
        .await;
}

#[tokio::test]
async fn a_slice_with_another_gateway_moves_its_networks_there() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await;
    eventually("flows", async || gateway_of(&process, 1).await.as_deref() == Some("a/a1")).await;
    eventually("a tunnel", async || {
        world.agents.tunnels(AGENT_A1).is_some_and(|tunnels| !tunnels.is_empty())
    })
    .await;

    process.apply_gateway(&gateway("a/a2", "192.0.2.12")).await;
    let mut next = slice("s", &["a", "b"], &["a/a2", "b/b1"]);
    next.version = version("u", 2);
    process.apply_slice(&next).await;
    // It is not gone over to before it is known to work.
    for key in ["a/a1", "a/a2", "b/b1"] {
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    eventually("the other gateway is used", async || {
        process.observe(Event::LinksChanged);
        gateway_of(&process, 1).await.as_deref() == Some("a/a2")
            && handoff(&process, "a") == Some(name("a2"))
            && world.agents.tunnels(AGENT_A1) == Some(Vec::new())
            && world.agents.tunnels(AGENT_B1) == Some(vec!["192.0.2.12".to_owned()])
    })
    .await;

    let mut moved = gateway("a/a2", "192.0.2.13");
    moved.version = version("u", 2);
    process.apply_gateway(&moved).await;
    eventually("the peer follows", async || {
        world.agents.tunnels(AGENT_B1) == Some(vec!["192.0.2.13".to_owned()])
    })
    .await;
}

#[tokio::test]
async fn a_network_within_one_cluster_leaves_the_others_alone() {
    let world = World::new().await;
    let process = world.start_with_network().await;
    process.apply_endpoint(&endpoint("s/n/a/p", 1, "")).await;
    eventually("flows", async || gateway_of(&process, 1).await.is_some()).await;
    let mut smaller = network("s/n", &["a"], "10.1.0.0/24");
    smaller.version = version("u", 2);
    process.apply_network(&smaller).await;
    eventually("nothing is left between clusters", async || {
        gateway_of(&process, 1).await.is_none()
            && handoff(&process, "a").is_none()
            && handoff(&process, "b").is_none()
            && process.fabric.state.lock().unwrap().ports.is_empty()
            && audience(&process, "s/n/a/p") == Some(Vec::new())
    })
    .await;
    let key = ObjectKey::Network(network_key("s/n"));
    eventually("it is ready", async || process.reason(&key) == Some("")).await;
}

#[tokio::test]
async fn a_cluster_without_gateway_is_named() {
    let world = World::new().await;
    let process = world.start().await;
    process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
    process.apply_slice(&slice("s", &["a", "b"], &["a/a1"])).await;
    process.apply_network(&network("s/n", &["a", "b"], "")).await;
    let key = ObjectKey::Network(network_key("s/n"));
    eventually("the reason shows", async || process.reason(&key) == Some("NoGateway")).await;
}

#[tokio::test]
async fn a_slice_is_gone_when_its_tunnels_are() {
    let world = World::new().await;
    let process = world.start().await;
    process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
    process.apply_gateway(&gateway("b/b1", "192.0.2.21")).await;
    process.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await;
    let has_tunnel = |agent: &str| world.agents.tunnels(agent).is_some_and(|all| !all.is_empty());
    eventually("tunnels", async || has_tunnel(AGENT_A1) && has_tunnel(AGENT_B1)).await;

    world.agents.set_down(AGENT_B1, true);
    process.store.delete_slice(&name("s")).await.unwrap();
    process.queues.wake(Key::Slice(name("s")));
    eventually("one is gone", async || !has_tunnel(AGENT_A1)).await;
    let key = ObjectKey::Slice(name("s"));
    eventually("the other holds it up", async || process.reason(&key) == Some("Deleting")).await;
    assert!(process.store.slice(&name("s")).await.unwrap().is_some());

    world.agents.set_down(AGENT_B1, false);
    eventually("the slice is gone", async || {
        process.store.slice(&name("s")).await.unwrap().is_none() && process.reason(&key).is_none()
    })
    .await;
    assert!(!has_tunnel(AGENT_B1));
}

#[tokio::test]
async fn a_slice_that_waits_for_an_agent_to_be_gone_keeps_nobody_busy() {
    const TURNS: i64 = 10;
    let world = World::new().await;
    let process = world.start().await;
    for (key, address) in [("a/a1", "192.0.2.11"), ("b/b1", "192.0.2.21")] {
        process.apply_gateway(&gateway(key, address)).await;
        process.observe(Event::SwitchReady(gateway_key(key).datapath_id()));
    }
    process.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await;
    let counts = || {
        let state = process.fabric.state.lock().unwrap();
        (state.looks, state.slice_changes)
    };
    eventually("the slice is known", async || counts().1 > 0).await;
    let links_looked_at = async || {
        let (looks, _) = counts();
        process.observe(Event::LinksChanged);
        eventually("links are looked at", async || counts().0 > looks).await;
    };
    links_looked_at().await;
    let (_, changes) = counts();
    eventually("all is known to work", async || {
        process.queues.wake(Key::Slice(name("s")));
        counts().1 > changes + 2
    })
    .await;
    // Or the agent would have nothing to do for the slice to be gone.
    eventually("there is a tunnel", async || {
        world.agents.tunnels(AGENT_B1).is_some_and(|tunnels| !tunnels.is_empty())
    })
    .await;

    world.agents.set_down(AGENT_B1, true);
    process.store.delete_slice(&name("s")).await.unwrap();
    process.queues.wake(Key::Slice(name("s")));
    let key = ObjectKey::Slice(name("s"));
    eventually("the agent holds it up", async || process.reason(&key) == Some("Deleting")).await;
    let (_, changes) = counts();
    for generation in 1..=TURNS {
        links_looked_at().await;
        // There is time for other work, hence would be for more looks.
        let mut other = gateway("c/c1", "192.0.2.31");
        other.version = version("u", generation);
        process.apply_gateway(&other).await;
        let key = ObjectKey::Gateway(other.key);
        eventually("a gateway is looked at", async || {
            let shown = process.status.board().get(&key);
            shown.is_some_and(|shown| shown.version.generation == generation)
        })
        .await;
    }
    // The gateway that has done its part may have woken it.
    let often = usize::try_from(TURNS).unwrap() / 2;
    assert!(counts().1 < changes + often, "the slice is looked at whenever links are");
}

#[tokio::test]
async fn a_gateway_whose_agent_never_returns_goes_by_force_only() {
    let world = World::new().await;
    let process = world.start().await;
    process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
    eventually("the bridge", async || world.agents.tunnels(AGENT_A1).is_some()).await;
    world.agents.set_down(AGENT_A1, true);
    let key = gateway_key("a/a1");
    process.store.delete_gateway(&key).await.unwrap();
    process.queues.wake(Key::Gateway(key.clone()));
    eventually("it fails", async || {
        process.reason(&ObjectKey::Gateway(key.clone())) == Some("AgentFailed")
    })
    .await;
    assert!(process.store.gateway(&key).await.unwrap().is_some());
    process.store.force_gateway(&key).await.unwrap();
    process.queues.wake(Key::Gateway(key.clone()));
    eventually("it is gone", async || process.store.gateway(&key).await.unwrap().is_none()).await;
}
