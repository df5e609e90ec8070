//! Pods are reviewed when they are made.

use std::net::SocketAddr;

use futures::future::join_all;
use l2sces_pki::{CredentialPaths, Credentials};
use serde_json::{Value, json};
use tokio::{net::TcpSocket, time::timeout};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::world::{Operator, PATIENCE, World};

const NETWORKS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: l2sm.l2sm.k8s.local/v1
kind: L2Network
metadata: {name: blue, namespace: shop}
spec: {type: vnet, networkCIDR: 10.1.0.0/24}
";

/// What a cluster with Multus knows.
const MULTUS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: network-attachment-definitions.k8s.cni.cncf.io}
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names:
    plural: network-attachment-definitions
    singular: network-attachment-definition
    kind: NetworkAttachmentDefinition
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {config: {type: string}}}}
";

/// The annotation by which a pod asks Multus for networks.
const OF_MULTUS: &str = "k8s.v1.cni.cncf.io/networks";

/// An operator whose reviews the API server asks for.
async fn reviewing(world: &World) -> Operator {
    world.apply(NETWORKS).await;
    let operator = world.operator("one");
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "l2sces" },
        "webhooks": [{
            "name": "pods.l2sces.l2sm.io",
            "clientConfig": { "url": format!("https://127.0.0.1:{}/mutate-v1-pod", operator.reviews) },
            "objectSelector": { "matchLabels": { "l2sm": "true" } },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["pods"],
            }],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }],
    });
    world.apply(&configuration.to_string()).await;
    // Until its leader has written who signs its certificate, nobody trusts it.
    let trusted = "jsonpath={.webhooks[0].clientConfig.caBundle}";
    let ask = ["get", "mutatingwebhookconfiguration", "l2sces", "--output", trusted];
    world.until(&ask, |bundle| !bundle.is_empty()).await;
    // Its changes reach the API server's own cache a little later.
    let probe = pod("probe", &json!({ "l2sm/networks": "blue" })).to_string();
    let ask =
        ["create", "--dry-run=server", "--output", "jsonpath={.spec.nodeSelector}", "-f", "-"];
    l2sces_lab::wait::holds("the webhook is asked", PATIENCE, || async {
        match world.api.kubectl().with_input(ask, &probe).await {
            Ok(selector) if !selector.is_empty() => Ok(()),
            made => Err(format!("{made:?}")),
        }
    })
    .await
    .unwrap();
    operator
}

fn pod(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "labels": { "l2sm": "true" },
            "annotations": annotations,
        },
        "spec": { "containers": [{ "name": "pod", "image": "none" }] },
    })
}

/// Makes a pod, and returns it as the API server has it; or what it says against it.
async fn make(world: &World, pod: &Value) -> Result<Value, String> {
    let create = ["create", "--output", "json", "-f", "-"];
    let made = world.api.kubectl().with_input(create, &pod.to_string()).await;
    Ok(serde_json::from_str(&made.map_err(|error| error.to_string())?).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused_and_why() {
    let world = World::start().await;
    let _operator = reviewing(&world).await;
    for (networks, why) in [
        ("", "annotation l2sm/networks"),
        ("[{", "annotation l2sm/networks"),
        ("blue,blue", "annotation l2sm/networks"),
        ("green", "there is no L2Network green in namespace shop"),
        (r#"[{"name": "blue", "namespace": "bank"}]"#, "bank/blue is not in the pod's namespace"),
        (r#"[{"name": "blue", "ips": ["10.2.0.1"]}]"#, "10.2.0.1 is no address of a host"),
        (r#"[{"name": "blue", "ips": ["10.1.0.0"]}]"#, "10.1.0.0 is no address of a host"),
    ] {
        let refused = make(&world, &pod("refused", &json!({ "l2sm/networks": networks }))).await;
        let why_not = refused.expect_err(networks);
        assert!(why_not.contains(why), "{networks}: {why_not}");
    }
    let mut in_host = pod("host", &json!({ "l2sm/networks": "blue" }));
    in_host["spec"]["hostNetwork"] = true.into();
    let why = make(&world, &in_host).await.unwrap_err();
    assert!(why.contains("host's network namespace"), "{why}");

    // It comes to a node with a switch; pods without the label are none of the webhook's.
    let made = make(&world, &pod("taken", &json!({ "l2sm/networks": "blue" }))).await.unwrap();
    assert_eq!(made["spec"]["nodeSelector"], json!({ "l2sces.l2sm.io/sps": "true" }));
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(annotations[OF_MULTUS], Value::Null, "there is no Multus: {annotations}");
    let mut plain = pod("plain", &json!({ "l2sm/networks": "[{" }));
    plain["metadata"]["labels"] = json!({});
    let made = make(&world, &plain).await.unwrap();
    assert_eq!(made["spec"]["nodeSelector"], Value::Null);
}

/// More connections than an operator has of one address, and fewer than it has of all.
const MANY: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_keeps_connections_keeps_the_api_server_from_nothing() {
    let world = World::start().await;
    let operator = reviewing(&world).await;
    let [cert, key] = ["operator.pem", "operator.key"].map(|name| world.pki().join(name));
    let credentials = Credentials::load(&CredentialPaths { ca: world.ca(), cert, key }).unwrap();
    let connector = TlsConnector::from(credentials.client_config());
    let reviews = SocketAddr::from(([127, 0, 0, 1], operator.reviews));
    let connect = || async {
        let socket = TcpSocket::new_v4()?;
        // The API server calls from another.
        socket.bind("127.0.0.2:0".parse().unwrap())?;
        let stream = socket.connect(reviews).await?;
        connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
    };
    let connected = timeout(PATIENCE, join_all((0..MANY).map(|_| connect()))).await.unwrap();
    let kept = connected.iter().filter(|connection| connection.is_ok()).count();
    assert!(0 < kept && kept < MANY, "{kept} of {MANY} are let in");
    make(&world, &pod("taken", &json!({ "l2sm/networks": "blue" }))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn multus_is_asked_for_our_networks_behind_those_of_others() {
    let world = World::start().await;
    world.apply(MULTUS).await;
    let definitions = "network-attachment-definitions.k8s.cni.cncf.io";
    world.until(&["get", definitions, "--all-namespaces"], |_| true).await;
    let _operator = reviewing(&world).await;
    let ours = json!({ "name": "blue", "namespace": "shop" });
    for (number, (theirs, expected)) in [
        (None, json!([ours])),
        (
            Some("storage/fast@s0,lan"),
            json!([
                { "name": "fast", "namespace": "storage", "interface": "s0" },
                { "name": "lan" },
                ours,
            ]),
        ),
        (
            Some(r#"[{"name": "lan", "mac": "02:00:00:00:00:01"}]"#),
            json!([{ "name": "lan", "mac": "02:00:00:00:00:01" }, ours]),
        ),
        (Some("shop/blue"), json!([ours])),
    ]
    .into_iter()
    .enumerate()
    {
        let mut annotations = json!({ "l2sm/networks": "blue" });
        if let Some(theirs) = theirs {
            annotations[OF_MULTUS] = theirs.into();
        }
        let made = make(&world, &pod(&format!("pod-{number}"), &annotations)).await.unwrap();
        let annotation = made["metadata"]["annotations"][OF_MULTUS].as_str().unwrap();
        let asked: Value = serde_json::from_str(annotation).unwrap();
        assert_eq!(asked, expected, "{theirs:?}");
    }
    let garbled = json!({ "l2sm/networks": "blue", OF_MULTUS: "[7" });
    let why = make(&world, &pod("garbled", &garbled)).await.unwrap_err();
    assert!(why.contains(OF_MULTUS), "{why}");

    // What Multus needs to call the plugin for it.
    let config = "jsonpath={.spec.config}";
    let kind = "network-attachment-definition";
    let ask = ["--namespace", "shop", "get", kind, "blue", "--output", config];
    let config = world.until(&ask, |config| !config.is_empty()).await;
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["type"], &config["network"]), (&json!("l2sces-cni"), &json!("blue")));
}
