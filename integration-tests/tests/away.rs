//! The sdn-controller is down while ports are attached, a network is deleted, flows are edited by
//! hand and a link is cut. When it is back, each rule that is not as wanted is set once, and no
//! other is touched: counted on the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use integration_tests::{LIMIT, Labels, Traffic, World, members_of, patient};
use l2sces_lab::{RuleName, Snoop, Unit, wait};

const BRIDGE: &str = "br-sps";
/// Marks our flows, with the network in the lowest bits (`docs/pipeline.md`).
const COOKIE: u64 = 0x6c32 << 48;

/// The rules of every node's bridge, by node.
async fn rules(world: &World) -> Result<BTreeMap<String, BTreeMap<RuleName, String>>> {
    let mut all = BTreeMap::new();
    for node in world.lab.layout().nodes() {
        all.insert(node.name.clone(), node.rules(BRIDGE).await?);
    }
    Ok(all)
}

/// The rules that are there before or after only, or are others.
fn difference(
    before: &BTreeMap<RuleName, String>,
    after: &BTreeMap<RuleName, String>,
) -> BTreeSet<RuleName> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(name) != after.get(name)).cloned().collect()
}

/// Edits the flows of a node as a person would: of those of a network that stays one is changed and
/// one deleted, and one is added. (A flow of the other network might be set right before the
/// controller is told to delete that network.)
async fn edit_by_hand(world: &World, node: &str, vni: u32) -> Result<()> {
    let node = world.lab.node(node)?;
    let flows = node.flows(BRIDGE).await?;
    let cookie = format!("cookie={:#x}", COOKIE | u64::from(vni));
    let deliveries: Vec<_> = flows
        .iter()
        .filter(|flow| flow.contains("dl_dst=02:") && flow.contains(&cookie))
        .filter_map(|flow| Some((flow.split(", ").nth(2)?, flow.split(", ").last()?)))
        .filter_map(|(table, flow)| Some(format!("{table},{}", flow.split(" actions=").next()?)))
        .collect();
    let [first, second, ..] = &deliveries[..] else { bail!("few flows: {flows:#?}") };
    node.ofctl("mod-flows", BRIDGE, &["--strict", &format!("{first},actions=drop")]).await?;
    node.ofctl("del-flows", BRIDGE, &["--strict", second]).await?;
    let foreign = "table=0,priority=7,dl_src=02:99:99:99:99:99,actions=drop";
    node.ofctl("add-flow", BRIDGE, &[foreign]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_returns_changes_only_what_is_not_as_wanted() -> Result<()> {
    let controller = Unit::SdnController("a".to_owned());
    // That a link is cut the controller finds by its own probes when it is back, long before BFD tells.
    let mut world = World::of("a=a1,a2,a3", &Labels::new(), patient()).await?;
    world.create_slice("s1").await?;
    let mut blue = members_of(&mut world, "blue").await?;
    members_of(&mut world, "old").await?;
    let vni = world.network("blue").await?.status.unwrap_or_default().vni;
    let traffic = Traffic::among(&blue, Duration::from_millis(20))?;
    traffic.settled().await?;
    drop(traffic);

    world.lab.kill(&controller).await?;
    world.ask_to_delete_network("old").await?;
    let new = world.join("blue", "a1", "new", 30).await?;
    edit_by_hand(&world, "a2", vni).await?;
    world.lab.set_pair("a1", "a3", false).await?;
    let before = rules(&world).await?;
    let mut snoops: BTreeMap<String, Snoop> = BTreeMap::new();
    for node in world.lab.layout().nodes() {
        snoops.insert(node.name.clone(), node.snoop(BRIDGE).await?);
    }
    world.lab.start(&controller).await?;
    world.port_ready("blue", "new").await?;
    world.network_gone("old").await?;
    blue.push(new);
    let traffic = Traffic::among(&blue, Duration::from_millis(20))?;
    traffic.settled().await.context("after the controller is back")?;
    drop(traffic);
    for (node, snoop) in &snoops {
        let before = &before[node];
        wait::holds(&format!("{node} is as wanted"), LIMIT, || async {
            let after = world.lab.node(node).map_err(|error| error.to_string())?;
            let after = after.rules(BRIDGE).await.map_err(|error| error.to_string())?;
            let needed = difference(before, &after);
            let sent = snoop.changes();
            let distinct: BTreeSet<_> = sent.iter().cloned().collect();
            // The network goes port by port once the controller is told: until its group goes, the
            // group loses members.
            let lasting = |name: &&RuleName| after.contains_key(*name);
            let is_once = |name| sent.iter().filter(|sent| *sent == name).count() == 1;
            if distinct == needed
                && !needed.is_empty()
                && needed.iter().filter(lasting).all(is_once)
            {
                return Ok(());
            }
            Err(format!("needed: {needed:#?}\nsent: {sent:#?}"))
        })
        .await?;
    }
    let foreign = rules(&world).await?;
    let is_left = foreign["a2"].keys().any(|name| name.to_string().contains("02:99:99"));
    ensure!(!is_left, "the flow that a person added is there");
    world.down().await
}
