//! The way that a network takes between clusters changes because its slice is changed, under
//! streams: other gateways, other links, another cluster on the way, other costs. Nothing fails, so
//! no frame may be lost, and as ever none may come twice.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use integration_tests::{
    LIMIT, Labels, Member, Traffic, World, members_on, patient,
    topology::{link_by, mesh, slice},
};
use l2sces_lab::{
    probe::{LinkCounters, LinkName},
    wait,
};
use l2sces_proto::slice::v1::{Link, SliceSpec};

const INTERVAL: Duration = Duration::from_millis(4);
/// What a slice is, and the links that its networks use then.
struct Stage {
    name: &'static str,
    /// The nodes of cluster b.
    nodes: &'static [&'static str],
    /// Gateways, written as `a1-b1`, and what the link costs.
    links: &'static [(&'static str, u32)],
    used: &'static [&'static str],
}

const STAGES: [Stage; 8] = [
    Stage {
        name: "a gateway that b itself does not use is on the way between a and c",
        nodes: &["b1", "b2"],
        links: &[("a1-b1", 0), ("a1-b2", 0), ("b2-c1", 0)],
        used: &["a1-b1", "a1-b2", "b2-c1"],
    },
    Stage {
        name: "the gateway on the way is removed",
        nodes: &["b1"],
        links: &[("a1-b1", 0), ("a1-c1", 0)],
        used: &["a1-b1", "a1-c1"],
    },
    Stage {
        name: "one gateway towards each neighbour, as in Figure 1 of the paper",
        nodes: &["b1", "b2"],
        links: &[("a1-b2", 0), ("b1-c1", 0)],
        used: &["a1-b2", "b1-b2", "b1-c1"],
    },
    Stage {
        name: "one gateway towards both",
        nodes: &["b1", "b2"],
        links: &[("a1-b2", 0), ("b2-c1", 0)],
        used: &["a1-b2", "b1-b2", "b2-c1"],
    },
    Stage {
        name: "that gateway is removed",
        nodes: &["b1"],
        links: &[("a1-b1", 0), ("b1-c1", 0)],
        used: &["a1-b1", "b1-c1"],
    },
    Stage {
        name: "the gateway is added again, and c is on the way",
        nodes: &["b1", "b2"],
        links: &[("a1-c1", 0), ("b2-c1", 0)],
        used: &["a1-c1", "b2-c1", "b1-b2"],
    },
    Stage {
        name: "the link between a and c is dear",
        nodes: &["b1", "b2"],
        links: &[("a1-c1", 9), ("b2-c1", 1), ("a1-b2", 1)],
        used: &["a1-b2", "b1-b2", "b2-c1"],
    },
    Stage {
        name: "the link between a and c is cheap",
        nodes: &["b1", "b2"],
        links: &[("a1-c1", 1), ("b2-c1", 1), ("a1-b2", 9)],
        used: &["a1-c1", "b2-c1", "b1-b2"],
    },
];

fn ends(link: &str) -> (&str, &str) {
    link.split_once('-').unwrap_or_default()
}

impl Stage {
    fn slice(&self) -> SliceSpec {
        let link = |(link, cost): &(&str, u32)| {
            let (from, to) = ends(link);
            Link { cost: *cost, ..link_by((&from[..1], from), (&to[..1], to)) }
        };
        let clusters = vec![mesh("a", &[]), mesh("b", self.nodes), mesh("c", &[])];
        slice(clusters, self.links.iter().map(link).collect())
    }

    fn used(&self) -> BTreeSet<LinkName> {
        let both = |link: &&str| {
            let (a, b) = ends(link);
            [(a, b), (b, a)].map(|(from, to)| LinkName { from: from.into(), to: to.into() })
        };
        self.used.iter().flat_map(both).collect()
    }
}

/// Waits until all streams come everywhere, by these links and no others.
async fn goes_by(world: &World, traffic: &Traffic, vni: u32, stage: &Stage) -> Result<()> {
    let used = || async {
        let links = LinkCounters::start(world.lab.layout())?;
        traffic.settled().await?;
        anyhow::Ok(links.of_network(vni).into_keys().collect::<BTreeSet<_>>())
    };
    wait::holds("the network goes by its new ways", LIMIT, || async {
        match used().await {
            Ok(links) if links == stage.used() => Ok(()),
            Ok(links) => Err(format!("it goes by {links:?}")),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_change_of_plan_loses_no_frame() -> Result<()> {
    let mut world = World::of("a=a1* b=b1*,b2* c=c1*", &Labels::new(), patient()).await?;
    world.create_slice_of("s1", STAGES[0].slice()).await?;
    let members = members_on(&mut world, "blue", &[], &["a1", "b1", "c1"]).await?;
    let vni = world.network("blue").await?.status.unwrap_or_default().vni;
    Traffic::among(&members, INTERVAL)?.settled().await?;
    let walked = walk(&mut world, &members, vni).await;
    world.with_evidence(walked).await?;
    world.down().await
}

async fn walk(world: &mut World, members: &[Member], vni: u32) -> Result<()> {
    let mut traffic = Traffic::among(members, INTERVAL)?;
    for stage in STAGES.iter().chain(&STAGES[..1]) {
        world.update_slice("s1", stage.slice()).await?;
        goes_by(world, &traffic, vni, stage).await.with_context(|| stage.name)?;
        traffic.nothing_twice().with_context(|| stage.name)?;
    }
    traffic.end();
    traffic.all_arrived().await
}
