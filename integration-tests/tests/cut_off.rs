//! A gateway is cut off from both of its controllers, but not from the tunnels: it goes on as it was
//! told last, while the fabric fails over to another. Nothing comes twice, then or afterwards.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration_tests::{LIMIT, Labels, Traffic, World, members_of, patient};
use l2sces_lab::{
    probe::{LinkCounters, LinkName},
    wait,
};

const INTERVAL: Duration = Duration::from_millis(20);
/// How long the sco-provider waits for a gateway to come back.
const GRACE: &str = "2";

/// The gateway of cluster `a` by which frames go to cluster `b` now.
async fn gateway_in_use(traffic: &Traffic, links: &LinkCounters, from: &str) -> Result<String> {
    let crossing = |gateway: &str| -> u64 {
        let link = LinkName { from: gateway.to_owned(), to: "b1".to_owned() };
        let carried = traffic.carried(links).into_iter();
        let broadcasts = carried.filter(|carried| carried.from == from && carried.to.is_none());
        broadcasts.filter_map(|carried| carried.links.get(&link).copied()).sum()
    };
    let before = ["a1", "a2"].map(crossing);
    Ok(wait::until("frames go to cluster b", LIMIT, || async {
        let now = ["a1", "a2"].map(crossing);
        let index = (0..2).find(|index| now[*index] > before[*index] + 3)?;
        Some(["a1", "a2"][index].to_owned())
    })
    .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_controllers_repeats_nothing() -> Result<()> {
    let grace = ("L2SCES_GATEWAY_GRACE".to_owned(), GRACE.to_owned());
    let environment = patient().into_iter().chain([grace]).collect();
    let mut world = World::of("a=a1*,a2* b=b1*", &Labels::new(), environment).await?;
    world.create_slice("s1").await?;
    let blue = members_of(&mut world, "blue").await?;
    let [first, second, far] = &blue[..] else { bail!("three members") };
    let mut traffic = Traffic::among(&blue, INTERVAL)?;
    traffic.settled().await?;
    let links = LinkCounters::start(world.lab.layout())?;
    let gateway = gateway_in_use(&traffic, &links, first.pod.name()).await?;
    let (uninformed, informed) =
        if first.pod.node() == gateway { (first, second) } else { (second, first) };

    world.lab.set_management(&gateway, false).await?;
    // Nobody tells the gateway, so nobody is told by it: what it does must not matter.
    let other = informed.pod.node();
    wait::holds("another gateway takes over", 4 * LIMIT, || async {
        let now = gateway_in_use(&traffic, &links, informed.pod.name()).await;
        match now {
            Ok(now) if now == other => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    traffic.settled_without(uninformed.pod.name()).await.context("after the failover")?;
    informed.reaches(far).await?;
    traffic.nothing_twice().context("while the gateway is cut off")?;

    world.lab.set_management(&gateway, true).await?;
    world.slice_ready("s1").await?;
    world.network_ready("blue").await?;
    traffic.settled().await.context("after the gateway is back")?;
    traffic.end();
    traffic.nothing_twice()?;
    traffic.nothing_circled(&links)?;
    world.down().await
}
