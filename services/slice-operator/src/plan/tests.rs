//! Plans of small control clusters, written as the manifests that people write.

use l2sces_custom_resources::{SliceNetworkStatus, SliceOverlayStatus};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// A control cluster.
#[derive(Default)]
struct World {
    snapshot: Snapshot,
    age: u32,
}

fn read<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn reference(namespace: &str, name: &str) -> Reference {
    Reference { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn provider(name: &str) -> Value {
    json!({ "provider": { "name": name, "domain": [] } })
}

fn clusters(names: &[&str]) -> Value {
    json!({ "nodes": names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() })
}

impl World {
    /// A resource that is younger than those before.
    fn resource(&mut self, kind: &str, finalizer: &str, at: (&str, &str), spec: &Value) -> Value {
        self.age += 1;
        let (namespace, name) = at;
        json!({
            "apiVersion": "l2sces.l2sm.io/v1", "kind": kind,
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": format!("uid-{namespace}-{name}"),
                "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", self.age),
                "finalizers": [finalizer],
            },
            "spec": spec,
        })
    }

    fn profile(mut self, namespace: &str, name: &str, provider_name: &str) -> Self {
        let spec = provider(provider_name);
        let profile = self.resource("ProviderProfile", "none", (namespace, name), &spec);
        self.snapshot.profiles.push(read(profile));
        self
    }

    /// An overlay of cluster a, but for what `rest` says.
    fn overlay(mut self, namespace: &str, name: &str, rest: &Value) -> Self {
        let mut spec = json!({ "topology": clusters(&["a"]) });
        for (field, value) in rest.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let at = (namespace, name);
        let overlay = self.resource("SliceOverlay", SLICE_OVERLAY_FINALIZER, at, &spec);
        self.snapshot.overlays.push(read(overlay));
        self
    }

    /// A network of cluster a, but for what `rest` says.
    fn network(mut self, namespace: &str, name: &str, rest: &Value) -> Self {
        let mut spec = json!({ "type": "vnet", "clusters": ["a"] });
        for (field, value) in rest.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let at = (namespace, name);
        let network = self.resource("SliceNetwork", SLICE_NETWORK_FINALIZER, at, &spec);
        self.snapshot.networks.push(read(network));
        self
    }

    /// Has the last overlay be a slice already.
    fn recorded(mut self, slice: &str) -> Self {
        let overlay = Arc::make_mut(self.snapshot.overlays.last_mut().unwrap());
        let slice = Some(slice.to_owned());
        overlay.status = Some(SliceOverlayStatus { slice, ..SliceOverlayStatus::default() });
        self
    }

    fn plan(&self) -> Plan {
        Plan::of(&self.snapshot)
    }

    /// The slice of an overlay, or why it has none.
    fn slice(&self, namespace: &str, name: &str) -> Result<String, &'static str> {
        let claim = &self.plan().slices[&reference(namespace, name)];
        claim.key.as_ref().map(ToString::to_string).map_err(|problem| problem.reason)
    }
}

#[test]
fn a_provider_is_the_own_one_or_that_of_a_profile_or_the_default_one() {
    let by_reference = |name: &str, namespace: Option<&str>| json!({ "providerRef": { "name": name, "namespace": namespace } });
    let mut own_and_reference = by_reference("shared", None);
    own_and_reference["provider"] = provider("own")["provider"].clone();
    let world = World::default()
        .profile("team", "shared", "p-shared")
        .profile("other", "shared", "p-other")
        .profile("team", "default", "p-default")
        .overlay("team", "own", &own_and_reference)
        .overlay("team", "near", &by_reference("shared", None))
        .overlay("team", "far", &by_reference("shared", Some("other")))
        .overlay("team", "default", &json!({}))
        .overlay("team", "missing", &by_reference("none", None))
        .overlay("other", "no-default", &json!({}))
        .overlay("team", "reserved", &provider("local-x"));
    let cases = [
        (("team", "own"), Ok("own")),
        (("team", "near"), Ok("p-shared")),
        (("team", "far"), Ok("p-other")),
        (("team", "default"), Ok("p-default")),
        (("team", "missing"), Err("NoProvider")),
        (("other", "no-default"), Err("NoProvider")),
        (("team", "reserved"), Err("ReservedProvider")),
    ];
    for ((namespace, overlay), expected) in cases {
        let slice = world.slice(namespace, overlay);
        assert_eq!(slice.as_deref().map_err(|reason| *reason), expected, "{overlay}");
    }
}

#[test]
fn a_slice_has_networks_of_the_namespaces_that_it_names() {
    let mut named = provider("p");
    named["networkNamespaces"] = json!(["friend"]);
    let mut world = World::default().overlay("owner", "s", &named);
    for (namespace, name) in [("owner", "a"), ("friend", "b"), ("stranger", "c")] {
        world = world.network(namespace, name, &provider("p"));
    }
    let reason = |world: &World, namespace: &str, name: &str| {
        let claim = world.plan().networks[&reference(namespace, name)].clone();
        (claim.key.err().map(|it| it.reason), claim.objection.map(|it| it.reason))
    };
    let refused = Some("NamespaceNotAllowed");
    assert_eq!(reason(&world, "owner", "a"), (None, None));
    assert_eq!(reason(&world, "friend", "b"), (None, None));
    assert_eq!(reason(&world, "stranger", "c"), (refused, None));

    let made = Arc::make_mut(world.snapshot.networks.last_mut().unwrap());
    let slice = Some("p".to_owned());
    made.status = Some(SliceNetworkStatus { slice, ..SliceNetworkStatus::default() });
    assert_eq!(reason(&world, "stranger", "c"), (None, refused), "what is made stays");
}

#[test]
fn the_older_of_two_is_the_slice_unless_the_other_is_it_already() {
    let world =
        World::default().overlay("two", "s", &provider("p")).overlay("one", "s", &provider("p"));
    assert_eq!(world.slice("two", "s"), Ok("p".to_owned()));
    assert_eq!(world.slice("one", "s"), Err("NameTaken"));
    let world = world.recorded("p");
    assert_eq!(world.slice("one", "s"), Ok("p".to_owned()));
    assert_eq!(world.slice("two", "s"), Err("NameTaken"));
}

#[test]
fn networks_of_one_name_are_one_in_a_slice_and_two_in_two() {
    let plan = World::default()
        .network("one", "blue", &provider("p"))
        .network("two", "blue", &provider("p"))
        .network("three", "blue", &provider("q"))
        .plan();
    let key = |namespace: &str| {
        let claim = &plan.networks[&reference(namespace, "blue")];
        claim.key.as_ref().map(ToString::to_string).map_err(|problem| problem.reason)
    };
    assert_eq!(key("one"), Ok("p/blue".to_owned()));
    assert_eq!(key("two"), Err("NameTaken"));
    assert_eq!(key("three"), Ok("q/blue".to_owned()));
}

#[test]
fn what_is_made_stays_whatever_becomes_of_its_provider() {
    let objection = |world: &World| {
        let plan = world.plan();
        let claim = &plan.slices[&reference("team", "s")];
        assert_eq!(claim.key, Ok(name("p")));
        claim.objection.as_ref().map(|objection| objection.reason)
    };
    let world = |provider: &str| {
        World::default().profile("team", "default", provider).overlay("team", "s", &json!({}))
    };
    assert_eq!(objection(&world("p").recorded("p")), None);
    assert_eq!(objection(&world("q").recorded("p")), Some("ProviderChanged"));
    let mut world = world("p").recorded("p");
    world.snapshot.profiles.clear();
    assert_eq!(objection(&world), Some("NoProvider"));

    let mut world = World::default().network("team", "blue", &provider("q"));
    let network = Arc::make_mut(&mut world.snapshot.networks[0]);
    let slice = Some("p".to_owned());
    network.status = Some(SliceNetworkStatus { slice, ..SliceNetworkStatus::default() });
    let plan = world.plan();
    let claim = &plan.networks[&reference("team", "blue")];
    assert_eq!(claim.key, Ok(NetworkKey { slice: name("p"), name: name("blue") }));
    assert_eq!(claim.objection.as_ref().unwrap().reason, "ProviderChanged");
}

#[test]
fn what_is_being_deleted_or_lacks_the_finalizer_does_not_count() {
    for change in
        [json!({ "finalizers": [] }), json!({ "deletionTimestamp": "2026-01-02T00:00:00Z" })]
    {
        let mut world = World::default().overlay("team", "s", &provider("p")).network(
            "team",
            "n",
            &provider("p"),
        );
        let mut overlay = serde_json::to_value(&*world.snapshot.overlays[0]).unwrap();
        let mut network = serde_json::to_value(&*world.snapshot.networks[0]).unwrap();
        for (field, value) in change.as_object().unwrap() {
            overlay["metadata"][field] = value.clone();
            network["metadata"][field] = value.clone();
        }
        world.snapshot.overlays = vec![read(overlay)];
        world.snapshot.networks = vec![read(network)];
        assert_eq!(world.plan(), Plan::default(), "{change}");
    }
}

#[test]
fn topologies_and_networks_that_cannot_be_say_why() {
    let links =
        |links: Value| json!({ "nodes": [{ "name": "a" }, { "name": "b" }], "links": links });
    let cases = [
        (clusters(&[]), Some("NoClusters")),
        (clusters(&["a", "a"]), Some("InvalidTopology")),
        (links(json!([{ "endpointA": "a", "endpointB": "c" }])), Some("InvalidTopology")),
        (links(json!([{ "endpointA": "a", "endpointB": "a" }])), Some("InvalidTopology")),
        (links(json!([{ "endpointA": "b", "endpointB": "a", "cost": 7 }])), None),
    ];
    for (topology, reason) in cases {
        let mut spec = provider("p");
        spec["topology"] = topology.clone();
        let plan = World::default().overlay("team", "s", &spec).plan();
        let wanted = &plan.slices[&reference("team", "s")].wanted;
        assert_eq!(wanted.as_ref().err().map(|problem| problem.reason), reason, "{topology}");
    }
    let cases = [
        (json!({ "clusters": [] }), Some("NoClusters")),
        (json!({ "networkCIDR": "10.1.0.0" }), Some("InvalidAddresses")),
        (json!({ "networkCIDR": "10.1.0.7/24" }), None),
    ];
    for (spec, reason) in cases {
        let plan = World::default().network("team", "n", &spec).plan();
        let wanted = &plan.networks[&reference("team", "n")].wanted;
        assert_eq!(wanted.as_ref().err().map(|problem| problem.reason), reason, "{spec}");
    }
}

#[test]
fn a_monitor_asks_for_measurements() {
    let mut spec = provider("p");
    spec["monitor"] = json!({ "metrics": [{ "name": "rtt", "interval": 1 }] });
    let plan = World::default().overlay("team", "s", &spec).plan();
    let wanted = plan.slices[&reference("team", "s")].wanted.clone().unwrap();
    assert_eq!(wanted.measurement.unwrap().interval_ms, 60_000);
}
