//! Every shape of slice, over the same nodes: each network uses the links of its own slice and no
//! others, every frame takes the shortest way, and every broadcast comes to each member once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use integration_tests::{
    Carried, LIMIT, Labels, Member, NetworkKey, Traffic, World, members_on, patient,
    topology::{link, link_by, mesh, overlay, slice},
};
use l2sces_lab::{
    probe::{LinkCounters, LinkName},
    wait,
};
use l2sces_proto::slice::v1::{Link, SliceCluster};

use Replication::{AtEntry, OnTheWay};

const INTERVAL: Duration = Duration::from_millis(10);
/// Frames of every stream.
const FRAMES: u32 = 60;

/// The ways between nodes, as lists of nodes, each of which may be gone in both directions. Of
/// several between the same two nodes all frames take one.
struct Ways {
    ways: Vec<Vec<&'static str>>,
    replication: Replication,
}

/// Where broadcasts are replicated.
enum Replication {
    /// Where they enter the cluster: a copy for each member goes the member's way.
    AtEntry,
    /// At every trunk: no more than one copy goes along any link, where clusters are lines.
    OnTheWay,
}

impl Ways {
    fn new(replication: Replication, ways: &[&'static str]) -> Self {
        let ways = ways.iter().map(|way| way.split(' ').collect::<Vec<_>>());
        let ways = ways.flat_map(|way| [way.iter().rev().copied().collect(), way]).collect();
        Self { ways, replication }
    }

    /// How often each link carries the broadcasts that go these ways from one node.
    fn broadcasts(&self, ways: &[&BTreeSet<LinkName>], sent: u64) -> BTreeMap<LinkName, u64> {
        let mut links: BTreeMap<LinkName, u64> = BTreeMap::new();
        for link in ways.iter().copied().flatten() {
            let frames = links.entry(link.clone()).or_default();
            *frames = match self.replication {
                Replication::AtEntry => *frames + sent,
                Replication::OnTheWay => sent,
            };
        }
        links
    }

    /// The links of the ways from one node to another.
    fn between(&self, from: &str, to: &str) -> Vec<BTreeSet<LinkName>> {
        let ways = self.ways.iter();
        let ways = ways.filter(|way| way.first() == Some(&from) && way.last() == Some(&to));
        ways.map(|way| {
            let links = way.windows(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
            links.map(|(from, to)| LinkName { from, to }).collect()
        })
        .collect()
    }
}

/// The links of the ways that frames have taken, if each took one that was given, once.
fn taken(
    carried: &[Carried],
    members: &[Member],
    ways: &Ways,
) -> Result<Vec<BTreeSet<LinkName>>, String> {
    let node = |pod: &str| members.iter().find(|m| m.pod.name() == pod).map(|m| m.pod.node());
    let mut taken: BTreeMap<(&str, &str), BTreeSet<LinkName>> = BTreeMap::new();
    for Carried { from, to, sent, links } in carried {
        let (Some(from), Some(to)) = (node(from), to.as_deref().and_then(node)) else { continue };
        let used: BTreeSet<_> = links.keys().cloned().collect();
        if !ways.between(from, to).contains(&used) {
            return Err(format!("{from} to {to} went by {links:?}"));
        }
        if !links.values().all(|frames| frames == sent) {
            return Err(format!("{from} to {to}: {sent} sent, carried: {links:?}"));
        }
        taken.insert((from, to), used);
    }
    for Carried { from, sent, links, .. } in carried.iter().filter(|it| it.to.is_none()) {
        let from = node(from).unwrap_or_default();
        let taken = taken.iter().filter(|((start, _), _)| *start == from);
        let wanted = ways.broadcasts(&Vec::from_iter(taken.map(|(_, way)| way)), *sent);
        if *links != wanted {
            return Err(format!("broadcasts of {from}: {links:?}"));
        }
    }
    Ok(taken.into_values().collect())
}

/// All members talk to all; every frame must come once, by the ways given.
async fn goes(
    world: &World,
    network: impl Into<NetworkKey>,
    members: &[Member],
    ways: &Ways,
) -> Result<()> {
    let key = network.into();
    Traffic::among(members, INTERVAL)?.settled().await?;
    let links = LinkCounters::start(world.lab.layout())?;
    let mut traffic = Traffic::among(members, INTERVAL)?;
    traffic.sent(FRAMES).await?;
    traffic.end();
    traffic.all_arrived().await.with_context(|| format!("network {key}"))?;
    traffic.nothing_circled(&links)?;

    // The counters may lag behind the stations.
    let taken = wait::holds("every frame has gone its way", LIMIT, || async {
        taken(&traffic.carried(&links), members, ways)
    })
    .await
    .with_context(|| format!("network {key}"))?;
    let vni = world.network(&key).await?.status.unwrap_or_default().vni;
    let used: BTreeSet<_> = links.of_network(vni).into_keys().collect();
    let wanted: BTreeSet<_> = taken.into_iter().flatten().collect();
    ensure!(used == wanted, "{key}: VNI {vni} went by {used:?}");
    everyone_reaches_everyone(members).await
}

async fn everyone_reaches_everyone(members: &[Member]) -> Result<()> {
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from.address != to.address);
    try_join_all(pairs.map(|(from, to)| from.reaches(to))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_three_clusters_keep_to_their_links() -> Result<()> {
    let mut world = World::of("a=a1*,a2 b=b1*,b2* c=c1*,c2", &Labels::new(), patient()).await?;
    let [a, c] = ["a", "c"].map(|cluster| mesh(cluster, &[]));
    let line =
        slice(vec![a.clone(), mesh("b", &["b1"]), c.clone()], vec![link("a", "b"), link("b", "c")]);
    // Figure 1 of the paper: one gateway towards each neighbour.
    let figure = slice(
        vec![a.clone(), mesh("b", &[]), c.clone()],
        vec![link_by(("a", "a1"), ("b", "b1")), link_by(("b", "b2"), ("c", "c1"))],
    );
    let direct = slice(vec![a, c], vec![link("a", "c")]);
    for (name, spec) in [("line", line), ("figure", figure), ("direct", direct)] {
        world.create_slice_of(name, spec).await?;
    }
    let ends = ["a", "c"];
    let blue = members_on(&mut world, ("line", "blue"), &ends, &["a2", "c2"]).await?;
    let green = members_on(&mut world, ("figure", "green"), &ends, &["a1", "c1"]).await?;
    let white = members_on(&mut world, ("figure", "white"), &[], &["a1", "b1", "b2", "c1"]).await?;
    let red = members_on(&mut world, ("direct", "red"), &ends, &["a1", "c1"]).await?;

    goes(&world, ("line", "blue"), &blue, &Ways::new(OnTheWay, &["a2 a1 b1 c1 c2"])).await?;
    let figure =
        Ways::new(OnTheWay, &["a1 b1 b2 c1", "a1 b1", "a1 b1 b2", "b1 b2", "b1 b2 c1", "b2 c1"]);
    goes(&world, ("figure", "green"), &green, &figure).await?;
    goes(&world, ("figure", "white"), &white, &figure).await?;
    goes(&world, ("direct", "red"), &red, &Ways::new(OnTheWay, &["a1 c1"])).await?;

    // One slice goes while another, which shares its nodes, is in use. Its pods are on other nodes:
    // the userspace datapath now and then loses a frame when a pod's interface leaves a node,
    // whoever takes it away.
    let mut traffic = Traffic::among(&red, INTERVAL)?;
    traffic.sent(FRAMES).await?;
    world.delete_slice("line").await?;
    traffic.settled().await?;
    traffic.end();
    traffic.all_arrived().await.context("while slice line was deleted")?;
    goes(&world, ("figure", "white"), &white, &figure).await?;
    world.down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_one_cluster_keep_to_their_links() -> Result<()> {
    let large = ("size", "large");
    let labels = Labels::from([("d1", large), ("d3", large), ("d4", large)]);
    let mut world = World::of("d=d1,d2,d3,d4", &labels, patient()).await?;
    let ring = overlay("d", "d1-d2 d2-d3 d3-d4 d4-d1");
    let star = overlay("d", "d1-d2 d1-d3 d1-d4");
    // The same ring, where d2 is too small to carry what is not its own.
    let spared = SliceCluster {
        transit_labels: [(large.0.to_owned(), large.1.to_owned())].into(),
        ..ring.clone()
    };
    // The same ring, where the link between d4 and d1 costs more than the way round.
    let dear = SliceCluster {
        links: ring
            .links
            .iter()
            .map(|link| Link { cost: if link.endpoint_a == "d4" { 10 } else { 0 }, ..link.clone() })
            .collect(),
        ..ring.clone()
    };
    for (name, cluster) in [("ring", ring), ("star", star), ("spared", spared), ("dear", dear)] {
        world.create_slice_of(name, slice(vec![cluster], Vec::new())).await?;
    }
    let all = ["d1", "d2", "d3", "d4"];
    let ring = members_on(&mut world, ("ring", "blue"), &[], &all).await?;
    let star = members_on(&mut world, ("star", "green"), &[], &all).await?;
    let spared = members_on(&mut world, ("spared", "white"), &[], &all).await?;
    let dear = members_on(&mut world, ("dear", "red"), &[], &["d1", "d4"]).await?;

    let neighbours = ["d1 d2", "d2 d3", "d3 d4", "d4 d1"];
    let across = ["d1 d2 d3", "d1 d4 d3", "d2 d1 d4", "d2 d3 d4"];
    let ways = Ways::new(AtEntry, &[neighbours, across].concat());
    goes(&world, ("ring", "blue"), &ring, &ways).await?;
    let ways = ["d1 d2", "d1 d3", "d1 d4", "d2 d1 d3", "d2 d1 d4", "d3 d1 d4"];
    goes(&world, ("star", "green"), &star, &Ways::new(AtEntry, &ways)).await?;
    let across = ["d1 d4 d3", "d2 d1 d4", "d2 d3 d4"];
    let ways = Ways::new(AtEntry, &[&neighbours[..], &across].concat());
    goes(&world, ("spared", "white"), &spared, &ways).await?;
    goes(&world, ("dear", "red"), &dear, &Ways::new(AtEntry, &["d1 d2 d3 d4"])).await?;
    world.down().await
}
