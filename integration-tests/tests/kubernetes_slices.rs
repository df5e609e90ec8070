//! Slices of the slice-manager over Kubernetes clusters, which it reaches by their API servers and tokens,
//! and plain hosts: a third cluster comes later, one is away for a while, somebody changes a custom
//! resource, a cluster goes, and in the end nothing is left. One cluster joins, and leaves, by `l2sces`; the
//! others are registered by an API's user.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use integration_tests::{
    Labels, World, described,
    kubernetes::{self, PATIENCE, shows},
    membership::{join, leave, leave_nothing, shown},
    named,
    topology::{mesh, slice},
};
use l2sces_lab::{
    Pod, Unit,
    command::{self, Output},
    wait,
};
use l2sces_proto::slice::v1::{
    Cluster, ClusterSpec, DeleteNetworkRequest, Gateway, GetSliceRequest, KubernetesDriver, Node,
    SliceSpec, cluster_spec::Driver,
};
use tonic::{Code, Status};

const NETWORKS: [&str; 2] = ["blue", "red"];

/// The account of the slice-manager in a cluster that does not join by `l2sces`.
const ACCOUNT: &str = "l2sces-slice-manager";

#[tokio::test(flavor = "multi_thread")]
async fn slices_span_kubernetes_clusters_and_plain_hosts() -> Result<()> {
    let mut world = World::bare_of("kubernetes:a=a1,a2 kubernetes:b=b1 c=c1*,c2").await?;
    let said = join(&world.lab, "a", &["--apply"]).await?;
    ensure!(said.contains("cluster a created"), "{said}");
    world.register(vec![kubernetes_cluster(&world, "b").await?]).await?;
    world.create_slice_of("s1", slice_of(&["a", "b"])).await?;
    for network in NETWORKS {
        world.create_network(network, "10.1.0.0/24").await?;
    }
    for network in NETWORKS {
        world.network_ready(network).await?;
    }
    let mut members = pods_of(&world, "a", &["a1", "a2"]).await?;
    members.extend(pods_of(&world, "b", &["b1"]).await?);
    each_reaches_its_network_and_no_other(&members).await?;

    world.register(vec![plain_cluster(&world, "c")?]).await?;
    update_slice(&mut world, &["a", "b", "c"]).await?;
    for network in NETWORKS {
        members.push(host_of(&mut world, network, "c2").await?);
    }
    for network in NETWORKS {
        world.network_ready(network).await?;
    }
    each_reaches_its_network_and_no_other(&members).await?;
    names_resolve(&world, &members).await?;

    a_change_waits_for_a_cluster_that_is_away(&mut world, &members).await?;
    a_change_by_hand_is_mended(&world).await?;

    what_pods_need_is_kept(&mut world).await?;
    delete_pods(&world, "b").await?;
    pods_are_counted(&world, "b", 0).await?;
    members.retain(|member| member.node != "b1");
    update_slice(&mut world, &["a", "c"]).await?;
    world.delete_cluster("b").await?;
    is_empty(&world, "b").await?;
    each_reaches_its_network_and_no_other(&members).await?;

    leaving_is_refused_to_a_cluster_of_a_slice(&world).await?;
    delete_pods(&world, "a").await?;
    world.delete_slice("s1").await?;
    leave_nothing(&world.lab, "a", &["--keep-crds"]).await?;
    is_empty(&world, "a").await?;
    world.delete_cluster("c").await?;
    wait::holds("nothing is left", PATIENCE, || async {
        let left = async {
            Ok::<_, anyhow::Error>(
                [world.leftovers().await?, kubernetes::leftovers(&world.lab).await?].concat(),
            )
        };
        match left.await {
            Ok(left) if left.is_empty() => Ok(()),
            left => Err(format!("{left:#?}")),
        }
    })
    .await?;
    world.down().await
}

/// A Kubernetes cluster as it is registered: its first node is the gateway, and the slice-manager acts
/// as an account that may do no more than it must.
async fn kubernetes_cluster(world: &World, name: &str) -> Result<Cluster> {
    let kubectl = world.lab.kubectl(name)?;
    kubectl.run(["create", "serviceaccount", ACCOUNT]).await?;
    let resources = ["overlays", "networkedgedevices", "l2networks"]
        .map(|resource| format!("{resource}.l2sm.l2sm.k8s.local"));
    kubectl
        .run([
            "create",
            "role",
            ACCOUNT,
            "--verb=get,list,watch,create,update,patch,delete",
            &format!("--resource={}", resources.join(",")),
        ])
        .await?;
    let account = format!("--serviceaccount=default:{ACCOUNT}");
    let role = format!("--role={ACCOUNT}");
    kubectl.run(["create", "rolebinding", ACCOUNT, &role, &account]).await?;
    let cluster = world.lab.layout().kubernetes.cluster(name)?;
    let nodes = cluster.nodes.iter().enumerate().map(|(index, node)| Node {
        name: node.name.clone(),
        underlay_address: node.address.to_string(),
        gateway: (index == 0)
            .then(|| Gateway { underlay_address: node.address.to_string(), ..Gateway::default() }),
        ..Node::default()
    });
    let driver = KubernetesDriver {
        api_endpoint: cluster.api_server.clone(),
        ca_pem: std::fs::read_to_string(&cluster.ca)?,
        bearer_token: kubernetes::token(&kubectl, "default", ACCOUNT).await?,
        ..KubernetesDriver::default()
    };
    let spec = ClusterSpec { driver: Some(Driver::Kubernetes(driver)), nodes: nodes.collect() };
    Ok(Cluster { metadata: named(name), spec: Some(spec), status: None })
}

fn plain_cluster(world: &World, name: &str) -> Result<Cluster> {
    Ok(described(world.lab.layout().cluster(name)?, &Labels::new()))
}

fn slice_of(clusters: &[&str]) -> SliceSpec {
    slice(clusters.iter().map(|cluster| mesh(cluster, &[])).collect(), Vec::new())
}

async fn update_slice(world: &mut World, clusters: &[&str]) -> Result<()> {
    world.update_slice("s1", slice_of(clusters)).await?;
    world.slice_ready("s1").await
}

/// Somebody in a network, on a node.
struct Member {
    network: &'static str,
    node: String,
    name: String,
    address: String,
    place: Place,
}

/// Where it is run.
enum Place {
    Pod(l2sces_lab::Kubectl),
    Host(Pod),
}

impl Member {
    async fn run(&self, line: &str) -> Result<Output> {
        let words = line.split_whitespace();
        Ok(match &self.place {
            Place::Pod(kubectl) => {
                kubectl.output(["exec", &self.name, "--"].into_iter().chain(words)).await?
            }
            Place::Host(pod) => pod.namespace().exec(words).await?,
        })
    }

    /// Waits until somebody of the same network answers.
    async fn reaches(&self, other: &Self) -> Result<()> {
        let what = format!("{} answers {}", other.name, self.name);
        wait::holds(&what, PATIENCE, || async {
            match self.is_answered_by(other, 5).await {
                Ok(true) => Ok(()),
                answered => Err(format!("answered: {answered:?}")),
            }
        })
        .await?;
        Ok(())
    }

    /// Whether the address of another answers within this many seconds.
    async fn is_answered_by(&self, other: &Self, patience: u8) -> Result<bool> {
        let ping = format!("ping -c 1 -W {patience} -I net1 {}", other.address);
        kubernetes::is_answered(&self.run(&ping).await?)
    }
}

/// A pod in each network on each of these nodes.
async fn pods_of(world: &World, cluster: &str, nodes: &[&str]) -> Result<Vec<Member>> {
    let kubectl = world.lab.kubectl(cluster)?;
    let places = nodes.iter().flat_map(|node| NETWORKS.map(|network| (*node, network)));
    let manifests = places.clone().map(|(node, network)| kubernetes::pod(network, node));
    kubectl.apply(&manifests.collect::<Vec<_>>().join("---")).await?;
    let wait = ["wait", "--for=condition=Ready", "pod", "--all", "--timeout=360s"];
    kubectl.run(wait).await?;
    let kubectl = &kubectl;
    try_join_all(places.map(|(node, network)| async move {
        let name = format!("{network}-{node}");
        let address = kubernetes::address(kubectl, &name, "net1").await?;
        let (node, place) = (node.to_owned(), Place::Pod(kubectl.clone()));
        Ok(Member { network, node, name, address, place })
    }))
    .await
}

async fn delete_pods(world: &World, cluster: &str) -> Result<()> {
    world.lab.kubectl(cluster)?.run(["delete", "pods", "--all"]).await?;
    Ok(())
}

/// A namespace of a plain host in a network, with an address that is given to it.
async fn host_of(world: &mut World, network: &'static str, node: &str) -> Result<Member> {
    let name = format!("{network}-{node}");
    let pod = world.lab.pod(node, &name).await?;
    world.attach(network, &pod, None, "").await?;
    let port = world.port_ready(network, &name).await?;
    let address = port.status.context("a port that is ready has a status")?.address;
    let address = address.split('/').next().unwrap_or_default().to_owned();
    Ok(Member { network, node: node.to_owned(), name, address, place: Place::Host(pod) })
}

async fn each_reaches_its_network_and_no_other(members: &[Member]) -> Result<()> {
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (from, to)));
    let (own, foreign): (Vec<_>, Vec<_>) = pairs
        .filter(|(from, to)| from.name != to.name)
        .partition(|(from, to)| from.network == to.network);
    for (from, to) in own {
        from.reaches(to).await?;
    }
    // Both networks have the same addresses: it could be somebody of the own.
    let is_taken = |from: &Member, to: &Member| {
        members.iter().any(|it| it.network == from.network && it.address == to.address)
    };
    let foreign: Vec<_> = foreign.into_iter().filter(|(from, to)| !is_taken(from, to)).collect();
    ensure!(!foreign.is_empty(), "no address is of one network only");
    try_join_all(foreign.into_iter().map(|(from, to)| async move {
        let is_answered = from.is_answered_by(to, 1).await?;
        ensure!(!is_answered, "{} is answered by {}", from.name, to.name);
        Ok(())
    }))
    .await?;
    Ok(())
}

async fn names_resolve(world: &World, members: &[Member]) -> Result<()> {
    let server = format!("@{}", world.lab.layout().control.address);
    for member in members {
        let name = format!("{}.{}.inter.l2sces", member.name, member.network);
        wait::holds(&format!("{name} is {}", member.address), PATIENCE, || async {
            match world.lab.control().run(["dig", "+short", &server, &name]).await {
                Ok(answer) if answer.trim() == member.address => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await?;
    }
    Ok(())
}

/// While an API server is down, the slice says so, frames go on, and a new network waits for it.
async fn a_change_waits_for_a_cluster_that_is_away(
    world: &mut World,
    members: &[Member],
) -> Result<()> {
    let api_server = Unit::KubeApiserver("b".to_owned());
    world.lab.kill(&api_server).await?;
    wait::holds("the slice says that cluster b is away", PATIENCE, || async {
        let request = GetSliceRequest { name: "s1".to_owned() };
        let answer = world.slices.clone().get_slice(request).await;
        let slice = answer.map_err(|status| status.to_string())?.into_inner().slice;
        let conditions = slice.and_then(|slice| slice.status).unwrap_or_default().conditions;
        let away = |message: &str| message.contains("API server of cluster b does not answer");
        match conditions.iter().any(|condition| away(&condition.message)) {
            true => Ok(()),
            false => Err(format!("{conditions:?}")),
        }
    })
    .await?;
    let there = members.iter().filter(|member| member.node == "b1");
    for from in members.iter().filter(|member| member.node != "b1") {
        for to in there.clone().filter(|to| to.network == from.network) {
            from.reaches(to).await?;
        }
    }
    world.create_network("green", "10.2.0.0/24").await?;
    world.lab.start(&api_server).await?;
    world.network_ready("green").await?;
    world.slice_ready("s1").await?;
    world.delete_network("green").await
}

async fn a_change_by_hand_is_mended(world: &World) -> Result<()> {
    let kubectl = world.lab.kubectl("a")?;
    let change = r#"{"spec": {"provider": {"name": "another"}}}"#;
    kubectl.run(["patch", "l2network", "blue", "--type=merge", "--patch", change]).await?;
    let ask = ["get", "l2network", "blue", "--output", "jsonpath={.spec.provider.name}"];
    shows(&kubectl, &ask, |provider| provider == "s1").await?;
    world.network_ready("blue").await?;
    Ok(())
}

/// Neither a cluster goes from the slice, nor a network, while pods of a network are there.
async fn what_pods_need_is_kept(world: &mut World) -> Result<()> {
    pods_are_counted(world, "a", 2).await?;
    pods_are_counted(world, "b", 1).await?;
    let shrunk = world.update_slice("s1", slice_of(&["a", "c"])).await;
    is_refused(shrunk, "slice s1 has network s1/blue, which has 1 pods in cluster 'b'")?;
    let (slice, name) = ("s1".to_owned(), "blue".to_owned());
    let request = DeleteNetworkRequest { slice, name, ..Default::default() };
    let deleted = world.networks.delete_network(request).await.map(drop);
    is_refused(deleted, "2 pods in cluster 'a' (and in 1 more)")
}

fn is_refused(answer: Result<(), Status>, reason: &str) -> Result<()> {
    let status = answer.err().context("it was done")?;
    let is_meant = status.code() == Code::FailedPrecondition && status.message().contains(reason);
    ensure!(is_meant, "{status:?}");
    Ok(())
}

/// Waits until each network shows that it has this many pods in a cluster, whose operator has told so.
async fn pods_are_counted(world: &World, cluster: &str, count: u32) -> Result<()> {
    for name in NETWORKS {
        wait::holds(&format!("{name} has {count} pods in cluster {cluster}"), PATIENCE, || async {
            let network = world.network(name).await.map_err(|status| status.to_string())?;
            let pods = network.status.unwrap_or_default().pods;
            let of_cluster = pods.iter().find(|of| of.cluster == cluster);
            match of_cluster.map_or(0, |of| of.attached) == count {
                true => Ok(()),
                false => Err(format!("{pods:?}")),
            }
        })
        .await?;
    }
    Ok(())
}

async fn leaving_is_refused_to_a_cluster_of_a_slice(world: &World) -> Result<()> {
    let refused = command::output(&mut leave(&world.lab, "a", &[])?).await?;
    ensure!(refused.status.code() == Some(1), "{}", shown(&refused));
    ensure!(refused.stderr.contains("cluster a is used by slice s1"), "{}", shown(&refused));
    Ok(())
}

/// No custom resource is left in a cluster, which knows their definitions.
async fn is_empty(world: &World, cluster: &str) -> Result<()> {
    let kubectl = world.lab.kubectl(cluster)?;
    for kind in ["overlay", "networkedgedevice", "l2network"] {
        let ask = ["get", kind, "--all-namespaces", "--output", "name"];
        shows(&kubectl, &ask, str::is_empty).await?;
    }
    Ok(())
}
