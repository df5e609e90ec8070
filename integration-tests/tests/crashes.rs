//! Every process is killed (SIGKILL) while traffic flows: no frame is lost, and what was asked for
//! meanwhile is carried out when it is back.
//!
//! Open vSwitch's userspace datapath, which the lab has, now and then loses a frame of a tunnel when
//! any interface of the node comes or goes, whoever does it. So where ports are attached while
//! traffic flows, the tunnels of other nodes are watched, and the traffic inside that node.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, Member, World, members_of};
use l2sces_lab::{
    Unit,
    probe::{Ping, RunningPing},
    wait,
};
use l2sces_model::MacAddress;

/// 100 packets per second.
fn stream(from: &Member, to: &Member) -> Result<RunningPing> {
    let ping = Ping { interval: Duration::from_millis(10), ..Ping::new(to.address, 0) };
    Ok(ping.start(from.pod.namespace())?)
}

/// Stops a stream: every request but the last ones, which were under way, was answered once.
async fn stop(mut ping: RunningPing) -> Result<()> {
    ping.next_reply(LIMIT).await?;
    let report = ping.stop().await?;
    ensure!(report.gaps.is_empty() && report.duplicates == 0, "{report:?}");
    ensure!(report.sent > 50, "the stream proves something only if it lasts: {report:?}");
    Ok(())
}

/// Reads replies for a while, so that what a process leaves behind has time to show.
async fn keep_going(ping: &mut RunningPing, time: Duration) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        ping.next_reply(LIMIT).await?;
    }
    Ok(())
}

/// Every service of a lab, one of each kind at least.
fn services() -> [Unit; 8] {
    [
        Unit::SliceManager,
        Unit::ScoProvider,
        Unit::SdnController("a".to_owned()),
        Unit::SdnController("b".to_owned()),
        Unit::InterDomainDns,
        Unit::SpsAgent("a2".to_owned()),
        Unit::SpsAgent("b1".to_owned()),
        Unit::NedAgent("a1".to_owned()),
    ]
}

/// What a unit has logged of its switches, for a test that failed.
fn switches_logged(world: &World, unit: &Unit) -> String {
    let log = world.lab.log(unit).unwrap_or_default();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("switch")).collect();
    format!("{unit} killed; logged: {:#?}", &lines[lines.len().saturating_sub(12)..])
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_services_lose_no_frame() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    for unit in services() {
        let mut streams = Vec::new();
        for (from, to) in [(0, 1), (1, 3), (2, 0), (3, 2)] {
            let mut stream = stream(&blue[from], &blue[to])?;
            stream.next_reply(LIMIT).await?;
            streams.push(stream);
        }
        world.lab.kill(&unit).await?;
        for stream in &mut streams {
            keep_going(stream, Duration::from_millis(300)).await?;
        }
        world.lab.start(&unit).await?;
        world.slice_ready("s1").await?;
        world.network_ready("blue").await?;
        for stream in &mut streams {
            keep_going(stream, Duration::from_millis(500)).await?;
        }
        for stream in streams {
            stop(stream).await.with_context(|| switches_logged(&world, &unit))?;
        }
    }
    world.down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_services_lose_no_change() -> Result<()> {
    let mut world = World::up().await?;
    let mut blue = members_of(&mut world, "blue").await?;
    let neighbour = Member {
        pod: world.lab.pod("a2", "neighbour").await?,
        address: [10, 1, 0, 99].into(),
        mac: MacAddress::new([2, 0, 0, 0, 0, 99]),
    };
    let (address, mac) = (Some(neighbour.address), neighbour.mac.to_string());
    world.attach("blue", &neighbour.pod, address, &mac).await?;
    world.port_ready("blue", neighbour.pod.name()).await?;
    blue.push(neighbour);
    for (round, unit) in services().iter().enumerate() {
        let result = killed(&mut world, &blue, unit, round).await;
        result.with_context(|| switches_logged(&world, unit))?;
    }
    world.delete_everything().await?;
    world.nothing_left().await?;
    world.down().await
}

async fn killed(world: &mut World, blue: &[Member], unit: &Unit, round: usize) -> Result<()> {
    // Across clusters, and inside the switch that changes.
    let mut streams = vec![stream(&blue[0], &blue[2])?, stream(&blue[1], &blue[4])?];
    for stream in &mut streams {
        stream.next_reply(LIMIT).await?;
    }
    let old = world.lab.pod("a2", &format!("old-{round}")).await?;
    world.attach("blue", &old, None, "").await?;
    world.port_ready("blue", old.name()).await?;

    // The slice-manager is the one to ask, so it is asked before it is killed: what it has
    // acknowledged is all that it may know.
    let new = world.lab.pod("a2", &format!("new-{round}")).await?;
    let network = format!("green-{round}");
    let is_entry_point = *unit == Unit::SliceManager;
    if !is_entry_point {
        world.lab.kill(unit).await?;
    }
    world.create_network(&network, "10.2.0.0/24").await?;
    world.attach("blue", &new, None, "").await?;
    world.detach("blue", old.name()).await?;
    let member = world.lab.pod("b2", &format!("green-{round}")).await?;
    world.attach(&network, &member, None, "").await?;
    if is_entry_point {
        world.lab.kill(unit).await?;
    }
    for stream in &mut streams {
        keep_going(stream, Duration::from_millis(700)).await?;
    }

    world.lab.start(unit).await?;
    world.port_gone("blue", old.name()).await?;
    world.port_ready("blue", new.name()).await?;
    world.port_ready(&network, member.name()).await?;
    for stream in &mut streams {
        keep_going(stream, Duration::from_millis(700)).await?;
    }
    for stream in streams {
        stop(stream).await?;
    }
    let address = world.port("blue", new.name()).await?.status.unwrap_or_default().address;
    let address = address.split('/').next().unwrap_or_default().to_owned();
    let address: std::net::IpAddr = address.parse()?;
    // An earlier pod may have had the address, with another MAC address.
    blue[3].pod.namespace().ip(["neigh", "flush", "all"]).await?;
    let report = Ping::new(address, 3).run_until_answered(blue[3].pod.namespace()).await?;
    ensure!(report.has_answers(3), "what was attached meanwhile answers: {report:?}");
    world.detach("blue", new.name()).await?;
    world.port_gone("blue", new.name()).await?;
    world.delete_network(&network).await?;
    for pod in [old, new, member] {
        world.lab.delete_pod(&pod)?;
    }
    Ok(())
}

/// Waits until a node's switch knows the way to every member; returns how many flows it has.
async fn flows_for(world: &World, node: &str, members: &[Member]) -> Result<usize> {
    let bridge = world.lab.node(node)?;
    Ok(wait::holds("the switch knows every member", LIMIT, || async {
        let flows = bridge.flows("br-sps").await.map_err(|error| error.to_string())?;
        let known = |member: &Member| {
            let way = format!("dl_dst={}", member.mac);
            flows.iter().any(|flow| flow.contains(&way))
        };
        if members.iter().all(known) { Ok(flows.len()) } else { Err(format!("{flows:#?}")) }
    })
    .await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_switch_gets_its_flows_back() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    for node in ["a2", "b1"] {
        let unit = Unit::OvsVswitchd(node.to_owned());
        // Before: or a flow for a remote member might come while the switch is away.
        let before = flows_for(&world, node, &blue).await?;
        world.lab.kill(&unit).await?;
        world.lab.start(&unit).await?;
        wait::holds("all flows are back", LIMIT, || async {
            let after = flows_for(&world, node, &blue).await.map_err(|error| error.to_string())?;
            if after == before { Ok(()) } else { Err(format!("{before} before, {after} after")) }
        })
        .await?;
        for (from, to) in [(&blue[0], &blue[1]), (&blue[1], &blue[2]), (&blue[3], &blue[0])] {
            wait::holds("pings are answered again", LIMIT, || async {
                from.reaches(to).await.map_err(|error| error.to_string())
            })
            .await?;
        }
    }
    world.down().await
}
