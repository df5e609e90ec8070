//! Two Kubernetes clusters with our workloads in them, driven by kubectl alone, with manifests as users
//! of L2S-M have them: pods are connected across the clusters, networks are isolated, pods find each
//! other by name, and nothing is left when the manifests are deleted. The clusters join, and leave, by
//! `l2sces`.

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use integration_tests::{
    alone::a_node_has_our_networks_only_for_a_while,
    certified::agents_start_while_nobody_signs,
    kubernetes::{KubernetesWorld, PATIENCE, SYSTEM, address, is_answered, pod, shows},
    membership::{join, leave, leave_nothing, objects_left, shown},
};
use l2sces_lab::{Kubectl, Lab, Unit, command, layout::CONTROL_ADDRESS, wait};
use l2sces_proto::dns::v1::{
    ApplyRecordRequest, DeleteRecordRequest, Record, RecordKey,
    record_service_client::RecordServiceClient,
};

const NETWORKS: [&str; 2] = ["blue", "red"];

/// How many pods come and go in each cluster while its operator is killed, unless `L2SCES_STORM` says
/// another number. Two nodes take some two hundred; a hundred take two minutes more.
const STORM: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_connected_across_clusters_by_manifests() -> Result<()> {
    let world = KubernetesWorld::up().await?;
    joining_again_changes_nothing(&world).await?;
    for cluster in ["a", "b"] {
        world.kubectl(cluster)?.apply(&slice(&world, cluster)?).await?;
        world.kubectl(cluster)?.apply(&networks()).await?;
    }
    for cluster in ["a", "b"] {
        let kubectl = world.kubectl(cluster)?;
        are_ready(&kubectl, "overlay").await?;
        are_ready(&kubectl, "networkedgedevice").await?;
        are_ready(&kubectl, "l2network").await?;
        kubectl.apply(&pods(cluster)).await?;
    }
    for cluster in ["a", "b"] {
        let running = "jsonpath={.items[*].status.phase}";
        let ask = ["get", "pods", "--output", running];
        let all = ["Running"; 4].join(" ");
        shows(&world.kubectl(cluster)?, &ask, |phases| phases == all).await?;
    }
    everyone_reaches_their_network_and_nobody_else(&world).await?;
    names_resolve(&world).await?;
    agents_start_while_nobody_signs(&world).await?;
    // What comes afterwards is attached beside others again.
    a_node_has_our_networks_only_for_a_while(&world).await?;
    let size = storm_size()?;
    try_join(storm(&world, "a", size), storm(&world, "b", size)).await?;
    everyone_reaches_their_network_and_nobody_else(&world).await?;
    leaves_with_everything(&world).await?;
    let kubectl = world.kubectl("b")?;
    has_pods(&kubectl, 2).await?;
    kubectl.delete(&pods("b")).await?;
    has_pods(&kubectl, 0).await?;
    kubectl.delete(&networks()).await?;
    kubectl.delete(&slice(&world, "b")?).await?;
    for kind in ["overlay", "networkedgedevice", "l2network"] {
        let ask = ["get", kind, "--all-namespaces", "--output", "name"];
        shows(&kubectl, &ask, str::is_empty).await?;
    }
    // The agents and the switches go with the labels of the nodes.
    let ask = [
        "--namespace",
        SYSTEM,
        "get",
        "pods",
        "--selector",
        "app in (sps-agent, ned-agent, openvswitch, cni)",
    ];
    shows(&kubectl, &[&ask[..], &["--output", "name"]].concat(), str::is_empty).await?;
    leaves_and_says_what_is_left(&world).await?;
    joins_again_by_kubectl(&world).await?;
    wait::holds("nothing is left", PATIENCE, || async {
        match world.leftovers().await {
            Ok(left) if left.is_empty() => Ok(()),
            left => Err(format!("{left:#?}")),
        }
    })
    .await?;
    world.lab.down().await?;
    Ok(())
}

/// A cluster's part of the slice `test-slice`: its overlay, and its gateway, which is linked with the
/// other cluster's.
fn slice(world: &KubernetesWorld, cluster: &str) -> Result<String> {
    let other = if cluster == "a" { "b" } else { "a" };
    let address =
        |node: String| -> Result<_> { Ok(world.lab.layout().kubernetes.node(&node)?.address) };
    let (own, neighbor) = (address(format!("{cluster}1"))?, address(format!("{other}1"))?);
    Ok(format!(
        "
apiVersion: l2sm.l2sm.k8s.local/v1
kind: Overlay
metadata: {{name: overlay-{cluster}, namespace: {SYSTEM}}}
spec:
  provider: {{name: test-slice, domain: [{CONTROL_ADDRESS}]}}
  topology:
    nodes: [{cluster}1, {cluster}2]
    links: [{{endpointA: {cluster}1, endpointB: {cluster}2}}]
---
apiVersion: l2sm.l2sm.k8s.local/v1
kind: NetworkEdgeDevice
metadata: {{name: ned-{cluster}, namespace: {SYSTEM}}}
spec:
  provider: {{name: test-slice, domain: [{CONTROL_ADDRESS}]}}
  nodeConfig: {{nodeName: {cluster}1, ipAddress: {own}}}
  neighbors:
  - {{node: {other}, domain: {neighbor}}}
"
    ))
}

/// Two networks across the clusters, with the same addresses.
fn networks() -> String {
    NETWORKS
        .map(|network| {
            format!(
                "
apiVersion: l2sm.l2sm.k8s.local/v1
kind: L2Network
metadata: {{name: {network}, namespace: default}}
spec:
  type: vnet
  networkCIDR: 10.1.0.0/24
  provider: {{name: test-slice, domain: [{CONTROL_ADDRESS}]}}
"
            )
        })
        .join("---")
}

/// On each node of a cluster a pod in each network.
fn pods(cluster: &str) -> String {
    let nodes = [format!("{cluster}1"), format!("{cluster}2")];
    let pods = nodes.iter().flat_map(|node| NETWORKS.map(|network| pod(network, node)));
    pods.collect::<Vec<_>>().join("---")
}

/// Every resource of a kind has the condition `Ready`.
async fn are_ready(kubectl: &Kubectl, kind: &str) -> Result<()> {
    let conditions =
        "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')]}{'\\n'}{end}";
    let ask = ["get", kind, "--all-namespaces", "--output", conditions];
    shows(kubectl, &ask, |conditions| {
        !conditions.is_empty()
            && conditions.lines().all(|condition| condition.contains(r#""status":"True""#))
    })
    .await?;
    Ok(())
}

/// Every network of a cluster says that it has so many pods, with an address each.
async fn has_pods(kubectl: &Kubectl, count: usize) -> Result<()> {
    let pods =
        "jsonpath={range .items[*]}{.status.connectedPodCount} {.status.assignedIPs}{'\\n'}{end}";
    shows(kubectl, &["get", "l2network", "--output", pods], |networks| {
        networks.lines().count() == NETWORKS.len()
            && networks.lines().all(|network| {
                network.starts_with(&format!("{count} "))
                    && network.matches("10.1.0.").count() == count
            })
    })
    .await?;
    Ok(())
}

/// A pod in a network: its cluster, name and address there.
struct Member {
    kubectl: Kubectl,
    network: &'static str,
    pod: String,
    address: String,
}

impl Member {
    async fn run(&self, line: &str) -> Result<l2sces_lab::command::Output> {
        let exec = ["exec", &self.pod, "--"];
        Ok(self.kubectl.output(exec.into_iter().chain(line.split_whitespace())).await?)
    }

    /// Whether an address answers within this many seconds.
    async fn reaches(&self, address: &str, patience: u8) -> Result<bool> {
        is_answered(&self.run(&format!("ping -c 1 -W {patience} -I net1 {address}")).await?)
    }
}

async fn members(world: &KubernetesWorld) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for network in NETWORKS {
        for node in ["a1", "a2", "b1", "b2"] {
            let kubectl = world.kubectl(&node[..1])?;
            let pod = format!("{network}-{node}");
            let address = address(&kubectl, &pod, "net1").await?;
            ensure!(address.starts_with("10.1.0."), "{pod} has {address}");
            members.push(Member { kubectl, network, pod, address });
        }
    }
    Ok(members)
}

async fn everyone_reaches_their_network_and_nobody_else(world: &KubernetesWorld) -> Result<()> {
    let members = members(world).await?;
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (from, to)));
    let (own, foreign): (Vec<_>, Vec<_>) = pairs
        .filter(|(from, to)| from.pod != to.pod)
        .partition(|(from, to)| from.network == to.network);
    for (from, to) in own {
        wait::holds(&format!("{} reaches {}", from.pod, to.pod), PATIENCE, || async {
            match from.reaches(&to.address, 5).await {
                Ok(true) => Ok(()),
                answered => Err(format!("answered: {answered:?}")),
            }
        })
        .await?;
    }
    // Most addresses are somebody's in both networks.
    let is_taken = |from: &Member, to: &Member| {
        members.iter().any(|it| it.network == from.network && it.address == to.address)
    };
    let foreign: Vec<_> = foreign.into_iter().filter(|(from, to)| !is_taken(from, to)).collect();
    ensure!(!foreign.is_empty(), "no address is of one network only");
    try_join_all(foreign.into_iter().map(|(from, to)| async move {
        let is_answered = from.reaches(&to.address, 1).await?;
        ensure!(!is_answered, "{} reaches {}", from.pod, to.pod);
        Ok(())
    }))
    .await?;
    Ok(())
}

/// Pods come and go while the operator is killed again and again, each time that a quarter of them has: in
/// the end the network has each of them, and then none.
async fn storm(world: &KubernetesWorld, cluster: &str, size: u32) -> Result<()> {
    let kubectl = world.kubectl(cluster)?;
    let before = attached(&kubectl, |pods| pods == 2).await?;
    kubectl.apply(&many_pods(size)).await?;
    let ready = ["get", "deployment", "many", "--output", "jsonpath={.status.readyReplicas}"];
    for quarter in 1..=3 {
        // Nothing is printed of none.
        shows(&kubectl, &ready, |ready| ready.parse().unwrap_or(0) >= size * quarter / 4).await?;
        kill_operator(&kubectl).await?;
    }
    shows(&kubectl, &ready, |ready| ready == size.to_string()).await?;
    attached(&kubectl, |pods| pods == before + size).await?;
    let addresses = ["get", "l2network", "blue", "--output", "json"];
    let network: serde_json::Value = serde_json::from_str(&kubectl.run(addresses).await?)?;
    let addresses = network["status"]["assignedIPs"].as_object().map_or(0, serde_json::Map::len);
    ensure!(addresses == usize::try_from(before + size)?, "{addresses} addresses: {network}");
    kubectl.run(["delete", "deployment", "many", "--wait=false"]).await?;
    let pods = ["get", "pods", "--selector", "app=many", "--output", "name"];
    for quarter in 1..=3 {
        let left = usize::try_from(size * (4 - quarter) / 4)?;
        shows(&kubectl, &pods, |pods| pods.lines().count() <= left).await?;
        kill_operator(&kubectl).await?;
    }
    shows(&kubectl, &pods, str::is_empty).await?;
    attached(&kubectl, |pods| pods == before).await?;
    Ok(())
}

fn storm_size() -> Result<u32> {
    match std::env::var("L2SCES_STORM") {
        Ok(size) => size.parse().context("L2SCES_STORM"),
        Err(_) => Ok(STORM),
    }
}

/// Kills the operator.
async fn kill_operator(kubectl: &Kubectl) -> Result<()> {
    let kill = ["delete", "pod", "--selector", "app=operator", "--force", "--grace-period=0"];
    kubectl.run(["--namespace", SYSTEM].iter().chain(&kill)).await?;
    Ok(())
}

/// How many pods the network `blue` says that it has, once that is as wanted.
async fn attached(kubectl: &Kubectl, is_wanted: impl Fn(u32) -> bool) -> Result<u32> {
    let ask = ["get", "l2network", "blue", "--output", "jsonpath={.status.connectedPodCount}"];
    let count = |shown: &str| shown.parse::<u32>();
    let shown = shows(kubectl, &ask, |shown| count(shown).is_ok_and(&is_wanted)).await?;
    Ok(count(&shown)?)
}

fn many_pods(size: u32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: many}}
spec:
  replicas: {size}
  selector: {{matchLabels: {{app: many}}}}
  template:
    metadata:
      labels: {{app: many, l2sm: \"true\"}}
      annotations: {{l2sm/networks: blue}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: pod, image: \"l2sces-tools:lab\", command: [sleep, \"1000000\"]}}
"
    )
}

/// By the cluster's DNS, in the pods themselves.
async fn names_resolve(world: &KubernetesWorld) -> Result<()> {
    let members = members(world).await?;
    for (asking, named) in [(&members[0], &members[3]), (&members[7], &members[4])] {
        let name = format!("{}.{}.inter.l2sces", named.pod, named.network);
        wait::holds(&format!("{name} is {}", named.address), PATIENCE, || async {
            match asking.run(&format!("dig +short {name}")).await {
                Ok(answer) if answer.stdout.trim() == named.address => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await?;
    }
    Ok(())
}

/// A Corefile as others have it.
const COREFILE: &str = ".:53 {\n    errors\n    kubernetes cluster.local\n}\n";

/// The cluster has joined when the lab came up. It has a CoreDNS from now on. The authority's key that it would
/// have of an earlier version is taken away.
async fn joining_again_changes_nothing(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl("a")?;
    let of_system = ["--namespace", SYSTEM];
    let create = ["create", "secret", "generic", "l2sces-issuer", "--from-literal=ca.key=former"];
    kubectl.run(of_system.iter().chain(&create)).await?;
    let label = ["label", "secret", "l2sces-issuer", "app.kubernetes.io/part-of=l2sces"];
    kubectl.run(of_system.iter().chain(&label)).await?;
    let said = join(&world.lab, "a", &["--apply", "--no-register"]).await?;
    let count = |word: &str| said.split_whitespace().filter(|said| *said == word).count();
    let changed = ["created", "updated"].map(count);
    ensure!(changed == [0, 0] && said.contains("objects unchanged"), "{said}");
    let secrets = kubectl.run(of_system.iter().chain(&["get", "secrets", "--output=name"])).await?;
    let is_left = secrets.contains("l2sces-issuer");
    ensure!(said.contains("l2sces-issuer deleted") && !is_left, "{said}{secrets}");
    let corefile = format!("--from-literal=Corefile={COREFILE}");
    let create = ["create", "configmap", "coredns", "--namespace=kube-system", &corefile];
    kubectl.run(create).await?;
    Ok(())
}

/// A cluster leaves while its networks have pods, and whoever does that is killed half-way.
async fn leaves_with_everything(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl("a")?;
    let corefile = ["get", "configmap", "coredns", "--namespace=kube-system", "--output"];
    let corefile = [&corefile[..], &["jsonpath={.data.Corefile}"]].concat();
    shows(&kubectl, &corefile, |text| text.contains("BEGIN l2sces")).await?;
    let planned = command::run(&mut leave(&world.lab, "a", &["--dry-run"])?).await?;
    for found in [
        "L2Network default/blue",
        "Deployment l2sces-system/operator",
        "ConfigMap kube-system/coredns",
        "Node a1",
        "MutatingWebhookConfiguration l2sces",
        "gateway a/a1",
    ] {
        ensure!(planned.contains(found), "{found} is not in {planned}");
    }
    let mut leaving = leave(&world.lab, "a", &[])?.spawn()?;
    let webhooks = ["get", "mutatingwebhookconfigurations", "--output", "name"];
    shows(&kubectl, &webhooks, |names| !names.contains("l2sces")).await?;
    leaving.kill().await?;
    leave_nothing(&world.lab, "a", &[]).await?;
    let left = objects_left(&kubectl).await?;
    ensure!(left.is_empty(), "left: {left:#?}");
    let corefile = kubectl.run(corefile).await?;
    ensure!(corefile == COREFILE, "{corefile}");
    let pods = kubectl.run(["get", "pods", "--output=jsonpath={.items[*].status.phase}"]).await?;
    ensure!(pods == ["Running"; 4].join(" "), "pods without networks are {pods}");
    kubectl.run(["delete", "pods", "--all"]).await?;
    Ok(())
}

/// What others have put where only they can take it away is named.
async fn leaves_and_says_what_is_left(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl("b")?;
    let key = RecordKey {
        slice: "test-slice".to_owned(),
        network: "blue".to_owned(),
        cluster: "b".to_owned(),
        host: "planted".to_owned(),
    };
    let mut records = RecordServiceClient::new(world.lab.channel(&Unit::InterDomainDns)?);
    let addresses = vec!["10.1.0.9".to_owned()];
    let record = Record { key: Some(key.clone()), addresses, aliases: Vec::new() };
    records.apply_record(ApplyRecordRequest { record: Some(record) }).await?;
    kubectl.run(["annotate", "node", "b2", "l2sces.l2sm.io/planted=yes"]).await?;
    kubectl.run(["create", "quota", "planted"]).await?;
    kubectl.run(["label", "quota", "planted", "app.kubernetes.io/part-of=l2sces"]).await?;

    let left = command::output(&mut leave(&world.lab, "b", &[])?).await?;
    ensure!(left.status.code() == Some(1), "{}", shown(&left));
    for planted in [
        "ResourceQuota default/planted",
        "annotation l2sces.l2sm.io/planted",
        "name planted.b.blue.test-slice",
    ] {
        ensure!(left.stdout.contains(planted), "{planted}: {}", shown(&left));
    }
    ensure!(left.stderr.contains("3 things are left"), "{}", shown(&left));

    records.delete_record(DeleteRecordRequest { key: Some(key) }).await?;
    kubectl.run(["annotate", "node", "b2", "l2sces.l2sm.io/planted-"]).await?;
    kubectl.run(["delete", "quota", "planted"]).await?;
    leave_nothing(&world.lab, "b", &[]).await
}

/// What is printed is all that kubectl needs.
async fn joins_again_by_kubectl(world: &KubernetesWorld) -> Result<()> {
    let kubectl = world.kubectl("b")?;
    kubectl.apply(&join(&world.lab, "b", &[]).await?).await?;
    for deployment in ["operator", "sdn-controller"] {
        let deployment = format!("deployment/{deployment}");
        let ready = ["--namespace", SYSTEM, "rollout", "status", &deployment, "--timeout=360s"];
        kubectl.run(ready).await?;
    }
    leaves_by_force(&world.lab, &kubectl).await?;
    leave_nothing(&world.lab, "b", &[]).await?;
    let left = objects_left(&kubectl).await?;
    ensure!(left.is_empty(), "left: {left:#?}");
    Ok(())
}

/// A cluster whose operator does not clean up leaves only by force; its definitions may stay.
async fn leaves_by_force(lab: &Lab, kubectl: &Kubectl) -> Result<()> {
    let operator = ["--namespace", SYSTEM, "scale", "deployment/operator", "--replicas=0"];
    kubectl.run(operator).await?;
    let pods = ["--namespace", SYSTEM, "get", "pods", "--selector=app=operator", "--output=name"];
    shows(kubectl, &pods, str::is_empty).await?;
    let network = "
apiVersion: l2sm.l2sm.k8s.local/v1
kind: L2Network
metadata: {name: blue, namespace: default, finalizers: [l2sm.operator.io/finalizer]}
spec: {type: vnet, networkCIDR: 10.1.0.0/24}
";
    kubectl.apply(network).await?;
    let refused = command::output(&mut leave(lab, "b", &["--timeout=3s"])?).await?;
    let is_told = refused.stderr.contains("--force gives it up");
    ensure!(!refused.status.success() && is_told, "{}", shown(&refused));
    let flags = ["--force", "--keep-crds", "--timeout=60s"];
    let forced = command::output(&mut leave(lab, "b", &flags)?).await?;
    let is_told = forced.stderr.contains("given up: ");
    ensure!(forced.status.success() && is_told, "{}", shown(&forced));
    let networks = kubectl.run(["get", "l2network", "--all-namespaces", "--output=name"]).await?;
    ensure!(networks.is_empty(), "left: {networks}");
    Ok(())
}
