//! Plans of small clusters, written as the manifests that people write.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use l2sces_custom_resources::{GATEWAY_NODE_LABEL, L2NetworkStatus, SWITCH_NODE_LABEL};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// A cluster of the nodes n1 (of the control plane), n2 and n3.
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

impl World {
    fn new() -> Self {
        let node = |name: &str, address: &str, labels: Value| {
            read(json!({
                "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": labels },
                "status": { "addresses": [
                    { "type": "Hostname", "address": name },
                    { "type": "InternalIP", "address": address },
                ]},
            }))
        };
        let nodes = vec![
            node("n3", "10.0.0.3", json!({})),
            node("n2", "10.0.0.2", json!({})),
            node("n1", "10.0.0.1", json!({ "node-role.kubernetes.io/master": "" })),
        ];
        Self { snapshot: Snapshot { nodes, ..Snapshot::default() }, age: 0 }
    }

    /// Metadata of a resource that is younger than those before.
    fn metadata(&mut self, namespace: &str, name: &str) -> Value {
        self.age += 1;
        json!({
            "namespace": namespace,
            "name": name,
            "uid": format!("uid-{namespace}-{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", self.age),
            "finalizers": [FINALIZER],
        })
    }

    fn overlay(mut self, namespace: &str, name: &str, provider: &str, topology: &Value) -> Self {
        let metadata = self.metadata(namespace, name);
        self.snapshot.overlays.push(read(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "Overlay", "metadata": metadata,
            "spec": { "provider": { "name": provider, "domain": [] }, "topology": topology },
        })));
        self
    }

    fn device(mut self, namespace: &str, name: &str, provider: &str, rest: &Value) -> Self {
        let metadata = self.metadata(namespace, name);
        let mut spec = json!({ "provider": { "name": provider, "domain": [] } });
        for (field, value) in rest.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.snapshot.devices.push(read(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "NetworkEdgeDevice",
            "metadata": metadata, "spec": spec,
        })));
        self
    }

    fn network(mut self, namespace: &str, name: &str, rest: &Value) -> Self {
        let metadata = self.metadata(namespace, name);
        let mut spec = json!({ "type": "vnet" });
        for (field, value) in rest.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.snapshot.networks.push(read(json!({
            "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
            "metadata": metadata, "spec": spec,
        })));
        self
    }

    fn of_provider(self, namespace: &str, name: &str, provider: &str) -> Self {
        self.network(namespace, name, &json!({ "provider": { "name": provider, "domain": [] } }))
    }

    /// The network of this number is made, in a slice.
    fn made(mut self, network: usize, slice: &str) -> Self {
        let status = L2NetworkStatus { slice: Some(slice.to_owned()), ..Default::default() };
        Arc::make_mut(&mut self.snapshot.networks[network]).status = Some(status);
        self
    }

    /// The network of this number is being deleted.
    fn deleting(mut self, network: usize) -> Self {
        let network = Arc::make_mut(&mut self.snapshot.networks[network]);
        network.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        self
    }

    /// A node has a label, or has it no more.
    fn labelled(mut self, node: &str, label: &str, has_it: bool) -> Self {
        let mut nodes = self.snapshot.nodes.iter_mut();
        let node = nodes.find(|known| known.metadata.name.as_deref() == Some(node)).unwrap();
        let labels = Arc::make_mut(node).metadata.labels.get_or_insert_default();
        labels.insert(label.to_owned(), has_it.to_string());
        self
    }

    fn plan(&self) -> Plan {
        Plan::of(&name("a"), &self.snapshot)
    }
}

fn all_nodes() -> Value {
    json!({ "nodes": ["n1", "n2", "n3"] })
}

fn reasons(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.reason).collect()
}

fn names(names: &BTreeSet<Name>) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

#[test]
fn manifests_of_upstream_make_a_slice_across_clusters() {
    let plan = World::new()
        .overlay("team", "overlay", "l2sm-controller", &json!({ "nodes": ["n2", "n3"] }))
        .device(
            "team",
            "ned",
            "test-slice",
            &json!({
                "neighbors": [{ "node": "b", "domain": "192.0.2.7" }],
            }),
        )
        .of_provider("team", "ping", "test-slice")
        .plan();
    let gateways: Vec<_> =
        plan.nodes.iter().map(|(name, node)| (name.as_str(), node.gateway)).collect();
    let address = |text: &str| Some(text.parse().unwrap());
    assert_eq!(gateways, [("n1", address("10.0.0.1")), ("n2", None), ("n3", None)]);
    let slice = &plan.slices[&name("test-slice")];
    assert_eq!(names(&slice.nodes), ["n1", "n2", "n3"]);
    assert_eq!(slice.gateways, [name("n1")]);
    assert_eq!(slice.neighbors.iter().collect::<Vec<_>>(), ["192.0.2.7"]);
    assert!(slice.links.is_empty());
    assert_eq!(plan.slices.len(), 1, "an overlay alone is no slice");
    let key = NetworkKey { slice: name("test-slice"), name: name("ping") };
    assert_eq!(plan.networks[&key].resource, reference("team", "ping"));
}

#[test]
fn networks_without_a_provider_are_of_their_namespace_alone() {
    let plan = World::new()
        .overlay("one", "overlay", "p", &all_nodes())
        .network("one", "blue", &json!({ "networkCIDR": "10.1.0.0/24" }))
        .network("two", "blue", &json!({}))
        .plan();
    let slices: Vec<_> = plan.slices.keys().map(Name::as_str).collect();
    assert_eq!(slices.len(), 2);
    assert!(slices.iter().all(|slice| slice.starts_with("local-a-")), "{slices:?}");
    assert!(plan.claims.values().all(|claim| claim.problem.is_none()));
    assert!(plan.slices.values().all(|slice| slice.gateways.is_empty()));
}

#[test]
fn the_older_of_two_networks_of_one_name_and_provider_is_it() {
    let world = World::new()
        .overlay("one", "overlay", "p", &all_nodes())
        .of_provider("two", "blue", "p")
        .of_provider("one", "blue", "p");
    let plan = world.plan();
    let problem = |namespace: &str| {
        plan.claims[&reference(namespace, "blue")].problem.as_ref().map(|problem| problem.reason)
    };
    assert_eq!((problem("two"), problem("one")), (None, Some("NameTaken")));
    let key = NetworkKey { slice: name("p"), name: name("blue") };
    assert_eq!(plan.networks[&key].uid, "uid-two-blue");
}

#[test]
fn nobody_gets_a_network_before_the_resource_that_it_is_made_of_is_gone() {
    let key = NetworkKey { slice: name("p"), name: name("blue") };
    for namespaces in [None, Some(vec!["shop".to_owned()])] {
        let mut world = World::new()
            .overlay("infra", "overlay", "p", &all_nodes())
            .of_provider("shop", "blue", "p")
            .of_provider("bank", "blue", "p")
            .made(1, "p")
            .deleting(1);
        let overlay = Arc::make_mut(&mut world.snapshot.overlays[0]);
        overlay.spec.network_namespaces = namespaces;
        let plan = world.plan();
        let claim = &plan.claims[&reference("shop", "blue")];
        assert_eq!(claim.problem.as_ref().unwrap().reason, "NameTaken");
        assert_eq!(plan.claims.len(), 1);
        assert!(plan.networks.is_empty());
        assert_eq!(plan.leaving, BTreeMap::from([(key.clone(), reference("bank", "blue"))]));

        world.snapshot.networks.remove(1);
        let plan = world.plan();
        assert_eq!(plan.networks[&key].resource, reference("shop", "blue"));
        assert!(plan.leaving.is_empty());
    }
}

#[test]
fn a_resource_that_goes_keeps_no_network_that_it_never_was() {
    let key = NetworkKey { slice: name("p"), name: name("blue") };
    let world = || {
        World::new()
            .overlay("one", "overlay", "p", &all_nodes())
            .of_provider("one", "blue", "p")
            .of_provider("two", "blue", "p")
    };
    let mut let_go = world().made(1, "p").deleting(1);
    let finalizers = &mut Arc::make_mut(&mut let_go.snapshot.networks[1]).metadata.finalizers;
    *finalizers = Some(vec!["example.com/another".to_owned()]);
    let cases = [
        ("nothing is made of it", world().deleting(1)),
        ("it was not made", world().deleting(1).made(0, "p")),
        ("an older one is it", world().made(0, "p").made(1, "p").deleting(1)),
        ("it is made elsewhere", world().made(1, "q").deleting(1)),
        ("it has been let go", let_go),
    ];
    for (case, world) in cases {
        let plan = world.plan();
        assert_eq!(plan.networks[&key].resource, reference("one", "blue"), "{case}");
        assert_eq!(plan.leaving.get(&key), None, "{case}");
        assert!(!plan.claims.contains_key(&reference("two", "blue")), "{case}");
    }
}

#[test]
fn an_overlay_says_whose_networks_its_slice_has() {
    let plan_with = |namespaces: Option<&[&str]>, made: bool| {
        let mut world = World::new()
            .overlay("infra", "overlay", "p", &all_nodes())
            .overlay("three", "younger", "p", &all_nodes())
            .of_provider("infra", "green", "p")
            .of_provider("one", "blue", "p")
            .of_provider("two", "red", "p")
            .of_provider("two", "white", "q");
        let overlay = Arc::make_mut(&mut world.snapshot.overlays[0]);
        overlay.spec.network_namespaces =
            namespaces.map(|names| names.iter().map(ToString::to_string).collect());
        if made {
            let status = L2NetworkStatus { slice: Some("p".to_owned()), ..Default::default() };
            Arc::make_mut(&mut world.snapshot.networks[2]).status = Some(status);
        }
        world.plan()
    };
    let networks = |plan: &Plan| {
        let keys: Vec<_> = plan.networks.keys().map(|key| key.name.to_string()).collect();
        keys.join(" ")
    };
    assert_eq!(networks(&plan_with(None, false)), "blue green red white");
    assert_eq!(networks(&plan_with(Some(&["one", "two"]), false)), "blue green red white");
    // Its own namespace may, and of what other overlays are for it says nothing.
    assert_eq!(networks(&plan_with(Some(&[]), false)), "green white");
    let plan = plan_with(Some(&["one"]), false);
    assert_eq!(networks(&plan), "blue green white");
    let claim = &plan.claims[&reference("two", "red")];
    assert_eq!(claim.problem.as_ref().unwrap().reason, "NamespaceNotAllowed");

    // Pods are connected to what is made: it stays, and says so.
    let plan = plan_with(Some(&["one"]), true);
    assert_eq!(networks(&plan), "blue green red white");
    let claim = &plan.claims[&reference("two", "red")];
    assert_eq!(claim.problem, None);
    assert_eq!(claim.objection.as_ref().unwrap().reason, "NamespaceNotAllowed");
}

#[test]
fn an_older_resource_that_comes_later_does_not_take_a_network_that_is_made() {
    let mut world = World::new()
        .overlay("one", "overlay", "p", &all_nodes())
        .of_provider("two", "blue", "p")
        .of_provider("one", "blue", "p");
    let status = L2NetworkStatus { slice: Some("p".to_owned()), ..L2NetworkStatus::default() };
    Arc::make_mut(&mut world.snapshot.networks[1]).status = Some(status);
    let plan = world.plan();
    let problem = |namespace: &str| {
        plan.claims[&reference(namespace, "blue")].problem.as_ref().map(|problem| problem.reason)
    };
    assert_eq!((problem("two"), problem("one")), (Some("NameTaken"), None));
    let key = NetworkKey { slice: name("p"), name: name("blue") };
    assert_eq!(plan.networks[&key].uid, "uid-one-blue");
}

#[test]
fn a_network_that_is_made_stays_in_its_slice_whatever_its_provider_becomes() {
    for (provider, reason) in
        [("p", None), ("another", Some("ProviderChanged")), ("local-a", Some("ProviderChanged"))]
    {
        let mut world = World::new()
            .overlay("one", "overlay", "p", &all_nodes())
            .of_provider("one", "blue", provider);
        let network = Arc::make_mut(&mut world.snapshot.networks[0]);
        network.status =
            Some(L2NetworkStatus { slice: Some("p".to_owned()), ..L2NetworkStatus::default() });
        let plan = world.plan();
        let claim = &plan.claims[&reference("one", "blue")];
        assert_eq!(claim.problem, None);
        assert_eq!(claim.objection.as_ref().map(|objection| objection.reason), reason);
        assert!(plan.networks.contains_key(&claim.key));
        assert_eq!(claim.key.slice, name("p"));
    }
}

#[test]
fn what_is_being_deleted_or_lacks_the_finalizer_does_not_count() {
    for change in
        [json!({ "finalizers": [] }), json!({ "deletionTimestamp": "2026-01-02T00:00:00Z" })]
    {
        let mut world = World::new()
            .overlay("one", "overlay", "p", &all_nodes())
            .of_provider("one", "blue", "p");
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
fn slices_choose_their_overlay() {
    let base = || {
        World::new().overlay("one", "first", "p", &json!({ "nodes": ["n1"] })).overlay(
            "two",
            "second",
            "q",
            &json!({ "nodes": ["n2"] }),
        )
    };
    let overlay = |world: World, slice: &str| {
        world.plan().slices[&name(slice)].overlay.as_ref().map(|overlay| overlay.name.clone())
    };
    let first = || Some("first".to_owned());
    let second = || Some("second".to_owned());
    assert_eq!(overlay(base().of_provider("one", "net", "q"), "q"), second(), "it names it");
    assert_eq!(overlay(base().of_provider("two", "net", "r"), "r"), second(), "its namespace");
    assert_eq!(overlay(base().of_provider("three", "net", "r"), "r"), None, "which one?");
    let one = World::new().overlay("one", "first", "p", &all_nodes());
    assert_eq!(overlay(one.of_provider("three", "net", "r"), "r"), first(), "the only one");
}

#[test]
fn links_are_those_of_the_overlay_and_a_gateway_outside_is_linked_with_all() {
    let topology = json!({
        "nodes": ["n2", "n3"],
        "links": [
            { "endpointA": "n3", "endpointB": "n2", "cost": 5 },
            { "endpointA": "n2", "endpointB": "n3" },
            { "endpointA": "n2", "endpointB": "n2" },
            { "endpointA": "n2", "endpointB": "n9" },
        ],
        "avoidTransit": ["n3", "n9"],
    });
    let plan = World::new()
        .overlay("one", "overlay", "p", &topology)
        .device("one", "ned", "p", &json!({}))
        .plan();
    let slice = &plan.slices[&name("p")];
    let links: Vec<_> =
        slice.links.iter().map(|link| (link.a.as_str(), link.b.as_str(), link.cost)).collect();
    assert_eq!(links, [("n2", "n3", 5), ("n2", "n1", 0), ("n3", "n1", 0)]);
    assert_eq!(names(&slice.avoid_transit), ["n3"]);
    let overlay = &plan.overlays[&reference("one", "overlay")];
    assert_eq!(reasons(&overlay.problems), ["InvalidLink", "InvalidLink"]);
}

#[test]
fn an_overlay_without_topology_has_all_nodes_and_says_which_do_not_exist() {
    let plan = World::new().overlay("one", "all", "p", &Value::Null).plan();
    assert_eq!(names(&plan.overlays[&reference("one", "all")].nodes), ["n1", "n2", "n3"]);
    let plan = World::new().overlay("one", "some", "p", &json!({ "nodes": ["n2", "n9"] })).plan();
    let overlay = &plan.overlays[&reference("one", "some")];
    assert_eq!(
        (names(&overlay.nodes), reasons(&overlay.problems)),
        (vec!["n2"], vec!["UnknownNode"])
    );
    let plan = World::new().overlay("one", "none", "p", &json!({ "nodes": [] })).plan();
    assert_eq!(reasons(&plan.overlays[&reference("one", "none")].problems), ["NoNodes"]);
}

#[test]
fn nodes_with_a_label_of_ours_that_nothing_uses_are_told() {
    let world = || {
        World::new()
            .overlay("one", "overlay", "p", &json!({ "nodes": ["n2"] }))
            .labelled("n2", SWITCH_NODE_LABEL, true)
            .labelled("n3", GATEWAY_NODE_LABEL, true)
            .labelled("n1", "example.com/of-others", true)
    };
    let plan = world().plan();
    assert_eq!(names(&plan.strays), ["n3"]);
    assert_eq!(names(&world().labelled("n3", GATEWAY_NODE_LABEL, false).plan().strays), [""; 0]);

    // Somebody takes the label away that is needed.
    let stripped = world().labelled("n2", SWITCH_NODE_LABEL, false).plan();
    assert_ne!(stripped.nodes[&name("n2")], plan.nodes[&name("n2")]);
    let other = world().labelled("n2", "example.com/of-others", true).plan();
    assert_eq!(other, plan, "labels of others are of no account");
}

#[test]
fn devices_that_cannot_be_say_why() {
    let node = |node: &str, address: &str| json!({ "nodeConfig": { "nodeName": node, "ipAddress": address } });
    let plan = World::new()
        .device("one", "first", "p", &node("n2", "192.0.2.2"))
        .device("one", "second", "q", &node("n2", "192.0.2.2"))
        .device("one", "other-address", "q", &node("n2", "192.0.2.3"))
        .device("one", "unknown", "p", &node("n9", "192.0.2.2"))
        .device("one", "no-address", "p", &node("n3", "n3.example"))
        .device("one", "reserved", "local-a-one", &json!({}))
        .plan();
    let reason = |device: &str| {
        plan.devices[&reference("one", device)].as_ref().err().map(|problem| problem.reason)
    };
    let cases = [
        ("first", None),
        ("second", None),
        ("other-address", Some("AddressConflict")),
        ("unknown", Some("UnknownNode")),
        ("no-address", Some("InvalidAddress")),
        ("reserved", Some("ReservedProvider")),
    ];
    for (device, expected) in cases {
        assert_eq!(reason(device), expected, "{device}");
    }
    assert_eq!(plan.slices.keys().map(Name::as_str).collect::<Vec<_>>(), ["p", "q"]);
    let mut world = World::new();
    world.snapshot.nodes.retain(|node| node.metadata.name.as_deref() != Some("n1"));
    let plan = world.device("one", "ned", "p", &json!({})).plan();
    let problem = plan.devices[&reference("one", "ned")].as_ref().unwrap_err();
    assert_eq!(problem.reason, "NoControlPlane");
}

#[test]
fn addresses_that_do_not_fit_leave_the_network_planned() {
    let cases = [
        (json!({ "networkCIDR": "10.1.0.0/16", "podAddressRange": "10.1.4.0/24" }), true),
        (json!({ "networkCIDR": "10.1.0.7/16" }), true),
        (json!({ "networkCIDR": "10.1.0.0/16", "podAddressRange": "10.2.0.0/24" }), false),
        (json!({ "podAddressRange": "10.2.0.0/24" }), false),
        (json!({ "networkCIDR": "10.1.0.0" }), false),
    ];
    for (spec, is_valid) in cases {
        let world = World::new().overlay("one", "overlay", "p", &all_nodes());
        let plan = world.network("one", "blue", &spec).plan();
        let planned = plan.networks.values().next().unwrap();
        assert_eq!(planned.addresses.is_ok(), is_valid, "{spec}: {:?}", planned.addresses);
    }
}
