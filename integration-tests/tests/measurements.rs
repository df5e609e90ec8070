//! Links are measured as exactly as cables impose, within their share; and no endpoint sees or forges
//! a probe.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use integration_tests::{
    LIMIT, Labels, World, members_of, patient,
    topology::{mesh, slice},
};
use l2sces_lab::{
    Namespace, Unit,
    cable::{CableSpec, Direction, Impairment, Loss, Rate},
    probe::{self, Frame, Sniffer},
    wait,
};
use l2sces_model::{ETHERTYPE_PROBE, MacAddress};
use l2sces_proto::{
    measurement::v1::{LinkMeasurement, LinkMetric, MeasurementPolicy},
    slice::v1::{LinkEnd, LinkStatus, ListLinksRequest, SliceSpec},
};

/// How long rounds of probes may take, on a machine that does much else.
const ROUNDS: Duration = Duration::from_secs(240);

/// Bytes of a train's frames in the overlay, and what the tunnel makes of them on the cable.
const FRAME: f64 = 1_198.0;
const FRAME_ON_CABLE: f64 = FRAME + 14.0 + 20.0 + 8.0 + 8.0;

const ALL: [LinkMetric; 4] =
    [LinkMetric::RoundTripTime, LinkMetric::Jitter, LinkMetric::Loss, LinkMetric::Throughput];

/// Lets the switches run when they have something to do, whatever else the machine does: what a switch
/// waits for the processor would be measured too.
fn hurry_switches(world: &World) -> Result<()> {
    for node in world.lab.layout().nodes() {
        let pid = world.lab.pid(&Unit::OvsVswitchd(node.name.clone())).context("no switch")?;
        let arguments = ["--fifo", "--all-tasks", "--pid", "1", &pid.to_string()];
        let output = Command::new("chrt").args(arguments).output()?;
        ensure!(output.status.success(), "{output:?}");
    }
    Ok(())
}

/// Both clusters whole, and what is measured of the links.
fn measured(policy: Option<MeasurementPolicy>) -> SliceSpec {
    SliceSpec { measurement: policy, ..slice(vec![mesh("a", &[]), mesh("b", &[])], Vec::new()) }
}

fn policy(interval_ms: u32, probes: u32, max_share_permille: u32) -> MeasurementPolicy {
    let metrics = ALL.iter().map(|metric| (*metric).into()).collect();
    MeasurementPolicy { metrics, interval_ms, probes, max_share_permille }
}

async fn links(world: &World) -> Result<BTreeMap<(String, String), LinkStatus>> {
    let request = ListLinksRequest { slice: "s1".to_owned() };
    let listed = world.slices.clone().list_links(request).await?.into_inner();
    ensure!(listed.unreachable.is_empty(), "{:?}", listed.unreachable);
    let text = |end: &Option<LinkEnd>| end.clone().unwrap_or_default().node;
    let named =
        listed.links.into_iter().map(|link| ((text(&link.source), text(&link.target)), link));
    Ok(named.collect())
}

/// The last measurement from one node to another.
async fn latest(world: &World, from: &str, to: &str) -> Result<Option<LinkMeasurement>> {
    let links = links(world).await?;
    let link = links.get(&(from.to_owned(), to.to_owned()));
    Ok(link.with_context(|| format!("no link from {from} to {to}"))?.measurement)
}

/// The next measurement that ended after a moment and is as wanted.
async fn next(
    world: &World,
    (from, to): (&str, &str),
    after: SystemTime,
    is_it: impl Fn(&LinkMeasurement) -> bool,
) -> Result<LinkMeasurement> {
    Ok(wait::holds(&format!("{from} measures {to}"), ROUNDS, || async {
        let measurement = latest(world, from, to).await.map_err(|error| error.to_string())?;
        let measurement = measurement.ok_or_else(|| "nothing is measured".to_owned())?;
        if ended(&measurement) > after && is_it(&measurement) {
            Ok(measurement)
        } else {
            Err(format!("{measurement:?}"))
        }
    })
    .await?)
}

/// Waits until it is said, or not said any more, why a link is not measured.
async fn until_fault(
    world: &World,
    (from, to): (&str, &str),
    is_it: impl Fn(&str) -> bool,
) -> Result<()> {
    wait::holds(&format!("whether {from} measures {to}"), ROUNDS, || async {
        let links = links(world).await.map_err(|error| error.to_string())?;
        let link = links.get(&(from.to_owned(), to.to_owned()));
        let why = link.ok_or_else(|| "no link".to_owned())?.measurement_message.as_str();
        if is_it(why) { Ok(()) } else { Err(why.to_owned()) }
    })
    .await?;
    Ok(())
}

fn ended(measurement: &LinkMeasurement) -> SystemTime {
    let time = measurement.time.unwrap_or_default();
    SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn milliseconds(duration: Option<prost_types::Duration>) -> Result<f64> {
    let duration = duration.context("not measured")?;
    Ok(duration.seconds as f64 * 1e3 + f64::from(duration.nanos) / 1e6)
}

/// Several rounds of one link, one after the other, of which the first whole one is past.
async fn rounds(world: &World, link: (&str, &str), number: usize) -> Result<Vec<LinkMeasurement>> {
    let mut after = ended(&next(world, link, SystemTime::now(), |_| true).await?);
    let mut rounds = Vec::new();
    for _ in 0..number {
        let round = next(world, link, after, |_| true).await?;
        after = ended(&round);
        rounds.push(round);
    }
    Ok(rounds)
}

#[expect(clippy::print_stdout, reason = "figures, for whoever wants to see them")]
fn near(what: &str, measured: f64, imposed: f64, share: f64, least: f64) -> Result<()> {
    println!("{what}: {measured:.4}, imposed: {imposed:.4}");
    let tolerance = (imposed * share).max(least);
    ensure!((measured - imposed).abs() <= tolerance, "{what}: {measured}, not {imposed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cable_imposes_is_what_is_measured() -> Result<()> {
    let mut world = World::of("a=a1*,a2 b=b1*", &Labels::new(), Vec::new()).await?;
    hurry_switches(&world)?;
    world.create_slice("s1").await?;
    let impaired = Impairment {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss: Loss::Independent { probability: 0.1 },
        // The delay of each frame is its own.
        reorder: true,
        ..Impairment::default()
    };
    let bits_per_second = 20_000_000;
    let slow = Impairment {
        delay: Duration::from_millis(10),
        rate: Some(Rate { bits_per_second, burst: 0, queue: 256 << 10 }),
        ..Impairment::default()
    };
    let between = world.lab.cable("a1", "b1", CableSpec::symmetric(5, impaired)).await?;
    let inside = world.lab.cable("a1", "a2", CableSpec::symmetric(6, slow)).await?;
    let lost_and_offered = || {
        Direction::BOTH.iter().fold((0.0, 0.0), |(lost, offered), direction| {
            let counters = between.counters(*direction);
            (lost + counters.lost as f64, offered + counters.offered as f64)
        })
    };
    let before = lost_and_offered();
    world.update_slice("s1", measured(Some(policy(11_000, 1_000, 500)))).await?;

    // Five rounds of a thousand probes in each direction: the loss is estimated to 3.3 % of itself
    // (one standard deviation), or to less, of what the cable has in fact lost.
    let (forth, back, slow_forth, slow_back) = futures::try_join!(
        rounds(&world, ("a1", "b1"), 5),
        rounds(&world, ("b1", "a1"), 5),
        rounds(&world, ("a1", "a2"), 5),
        rounds(&world, ("a2", "a1"), 5),
    )?;
    let after = lost_and_offered();
    let mut losses = Vec::new();
    for round in forth.iter().chain(&back) {
        near("round-trip time", milliseconds(round.round_trip_time)?, 40.0, 0.1, 0.2)?;
        losses.push(round.loss.context("no loss")?);
    }
    for (name, rounds) in [("a1-b1", &forth), ("b1-a1", &back)] {
        // Of two delays between 15 and 25 ms, the difference is a third of 10 ms on average. A round in
        // which the machine stood still for a moment has more.
        let jitters = rounds.iter().map(|round| milliseconds(round.jitter));
        let mut jitters = jitters.collect::<Result<Vec<f64>>>()?;
        jitters.sort_unstable_by(f64::total_cmp);
        near(&format!("jitter of {name}"), jitters[jitters.len() / 2], 10.0 / 3.0, 0.1, 0.2)?;
    }
    let loss = losses.iter().sum::<f64>() / losses.len() as f64;
    near("loss", loss, (after.0 - before.0) / (after.1 - before.1), 0.1, 0.0)?;

    for (name, rounds) in [("a1-a2", &slow_forth), ("a2-a1", &slow_back)] {
        // A train whose frames come late because the machine stood still tells none.
        let mut rates: Vec<u64> =
            rounds.iter().filter_map(|round| round.throughput_bits_per_second).collect();
        ensure!(rates.len() > rounds.len() / 2, "little throughput: {rounds:?}");
        rates.sort_unstable();
        let on_cable = rates[rates.len() / 2] as f64 / FRAME * FRAME_ON_CABLE;
        near(&format!("throughput of {name}"), on_cable, bits_per_second as f64, 0.15, 0.0)?;
        for round in rounds {
            near("round-trip time", milliseconds(round.round_trip_time)?, 20.0, 0.1, 0.2)?;
            ensure!(round.loss == Some(0.0), "{round:?}");
        }
    }
    ensure!(between.overlooked() == 0 && inside.overlooked() == 0, "the cables lost frames");

    // A link that is down has lost everything, and nothing is known of the rest.
    between.cut();
    for link in [("a1", "b1"), ("b1", "a1")] {
        let cut = next(&world, link, SystemTime::now(), |it| it.loss == Some(1.0)).await?;
        ensure!(cut.round_trip_time.is_none() && cut.jitter.is_none(), "stale: {cut:?}");
        ensure!(cut.throughput_bits_per_second.is_none(), "stale: {cut:?}");
    }
    between.heal();
    next(&world, ("a1", "b1"), SystemTime::now(), |it| it.round_trip_time.is_some()).await?;
    drop((between, inside));
    world.down().await
}

/// The bits of probes that a switch has got by its tunnels, as they were on the cable.
async fn probe_bits(world: &World, node: &str) -> Result<f64> {
    let number = |flow: &str, field: &str| -> Option<f64> {
        flow.split_once(field)?.1.split(',').next()?.parse().ok()
    };
    let mut bits = 0.0;
    for flow in world.lab.node(node)?.flows("br-sps").await? {
        if flow.contains("dl_type=0x88b5") && flow.contains("tun_id=0") {
            let bytes = number(&flow, "n_bytes=").context("no n_bytes")?;
            let frames = number(&flow, "n_packets=").context("no n_packets")?;
            bits += 8.0 * (bytes + frames * (FRAME_ON_CABLE - FRAME));
        }
    }
    Ok(bits)
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_take_no_more_than_their_share() -> Result<()> {
    let mut world = World::of("a=a1*,a2 b=b1*", &Labels::new(), Vec::new()).await?;
    world.create_slice("s1").await?;
    let bits_per_second = 20_000_000;
    let rate = Some(Rate { bits_per_second, burst: 0, queue: 256 << 10 });
    let slow = Impairment { rate, ..Impairment::default() };
    let _cable = world.lab.cable("a1", "a2", CableSpec::symmetric(7, slow)).await?;
    // Far more often than the share allows.
    world.update_slice("s1", measured(Some(policy(2_000, 20, 20)))).await?;
    // Both ends know by then what the link carries.
    let mut after = SystemTime::now();
    for link in [("a1", "a2"), ("a2", "a1"), ("a1", "a2")] {
        let is_whole = |it: &LinkMeasurement| it.throughput_bits_per_second.is_some();
        after = ended(&next(&world, link, after, is_whole).await?);
    }
    let (begin, bits_before) = (Instant::now(), probe_bits(&world, "a2").await?);
    let rounds = 4;
    for _ in 0..rounds {
        after = ended(&next(&world, ("a1", "a2"), after, |_| true).await?);
    }
    let bits = probe_bits(&world, "a2").await? - bits_before;
    let seconds = begin.elapsed().as_secs_f64();
    let share = bits / seconds / bits_per_second as f64;
    // A switch tells of its frames within a second, and the trains of one round more or less may
    // have been counted.
    let one_round = bits / f64::from(rounds);
    let most = 0.02 + one_round / seconds / bits_per_second as f64;
    ensure!(bits > 0.0 && share <= most, "{share} of the link in {rounds} rounds, {seconds} s");
    world.down().await
}

/// What a node hands to the agents, by the bridges' own ports.
fn watch_agents(world: &World, marker: [u8; 16]) -> Result<Vec<Sniffer>> {
    let mut sniffers = Vec::new();
    for node in world.lab.layout().nodes() {
        let namespace = Namespace::named(&node.namespace);
        sniffers.push(Sniffer::for_marker(&namespace, Some("br-sps"), marker)?);
        if node.gateway.is_some() {
            sniffers.push(Sniffer::for_marker(&namespace, Some("br-ned"), marker)?);
        }
    }
    Ok(sniffers)
}

fn is_probe(packet: &[u8]) -> bool {
    packet.get(12..14) == Some(&ETHERTYPE_PROBE.to_be_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_neither_see_nor_forge_probes_and_nothing_is_left_of_them() -> Result<()> {
    let mut world = World::of("a=a1*,a2 b=b1*", &Labels::new(), patient()).await?;
    world.create_slice("s1").await?;
    let members = members_of(&mut world, "blue").await?;
    let node = Namespace::named(&world.lab.node("a1")?.namespace);
    let genuine = Sniffer::start(&node, Some("br-sps"), is_probe)?;
    let watch = |member: &integration_tests::Member| {
        Sniffer::start(member.pod.namespace(), Some("net1"), is_probe)
    };
    let pods: Vec<_> = members.iter().map(watch).collect::<Result<_, _>>()?;
    world.update_slice("s1", measured(Some(policy(2_000, 20, 500)))).await?;
    let whole = |it: &LinkMeasurement| it.loss == Some(0.0) && it.throughput_samples > 0;
    let pairs = [("a1", "a2"), ("a2", "a1"), ("a1", "b1"), ("b1", "a1")];
    for link in pairs {
        next(&world, link, SystemTime::now(), whole).await?;
    }
    genuine.wait_for(41, LIMIT).await.context("probes that the agent of a1 sees")?;
    for (member, sniffer) in members.iter().zip(&pods) {
        ensure!(sniffer.count() == 0, "{} has seen a probe", member.pod.name());
    }

    // What a pod sends, as genuine as it may look, is its network's: pods get it, agents do not.
    let marker = *b"forged by a pod!";
    let agents = watch_agents(&world, marker)?;
    let peer = Sniffer::for_marker(members[1].pod.namespace(), Some("net1"), marker)?;
    let mut forged = Vec::new();
    for probe in genuine.frames().iter().rev().take(50) {
        let payload = [&probe[14..], &marker[..]].concat();
        let tunnel = MacAddress::new(probe[6..12].try_into()?);
        for destination in [tunnel, MacAddress::BROADCAST] {
            let source = members[0].mac;
            let ethertype = ETHERTYPE_PROBE;
            let payload = payload.clone();
            forged.push(Frame { destination, source, vlans: Vec::new(), ethertype, payload });
        }
    }
    probe::send_frames(members[0].pod.namespace(), "net1", &forged, 1)?;
    peer.wait_for(50, LIMIT).await?;
    // What is sent later, and arrives, arrives after them.
    for member in &members[1..] {
        members[0].reaches(member).await?;
    }
    if let Some(frame) = agents.iter().flat_map(Sniffer::frames).next() {
        bail!("an agent was given {frame:02x?}");
    }
    for link in pairs {
        next(&world, link, SystemTime::now(), whole).await?;
    }

    // Who does not measure is told.
    let silent = [
        (Unit::SpsAgent("a1".to_owned()), ("a1", "a2")),
        (Unit::NedAgent("a1".to_owned()), ("a1", "b1")),
    ];
    for (agent, link) in silent {
        world.lab.kill(&agent).await?;
        until_fault(&world, link, |why| why.contains("the agent of a/a1")).await?;
        world.lab.start(&agent).await?;
        until_fault(&world, link, str::is_empty).await?;
    }

    // Whoever restarts, measuring goes on.
    let (controller, sco) = (Unit::SdnController("a".to_owned()), Unit::ScoProvider);
    for unit in [Unit::SpsAgent("a1".to_owned()), Unit::NedAgent("a1".to_owned()), controller, sco]
    {
        world.lab.kill(&unit).await?;
        world.lab.start(&unit).await?;
        for link in pairs {
            next(&world, link, SystemTime::now(), whole).await.with_context(|| unit.to_string())?;
        }
    }

    // Nothing is left when nobody asks any more.
    world.update_slice("s1", measured(None)).await?;
    for node in world.lab.layout().nodes() {
        wait::holds(&format!("no probes on {}", node.name), LIMIT, || async {
            let mut left = Vec::new();
            for bridge in node.bridges().await.map_err(|error| error.to_string())? {
                let flows = node.flows(&bridge).await.map_err(|error| error.to_string())?;
                left.extend(flows.into_iter().filter(|flow| flow.contains("0x88b5")));
            }
            let namespace = Namespace::named(&node.namespace);
            let sockets =
                namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/packet"));
            let sockets = sockets.map_err(|error| error.to_string())?;
            left.extend(sockets.lines().filter(|it| it.contains(" 88b5 ")).map(str::to_owned));
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        })
        .await?;
    }
    wait::holds("no measurement is told", LIMIT, || async {
        let links = links(&world).await.map_err(|error| error.to_string())?;
        let stale = links.into_iter().filter(|(_, link)| link.measurement.is_some());
        let stale: Vec<_> = stale.map(|(ends, _)| ends).collect();
        if stale.is_empty() { Ok(()) } else { Err(format!("stale: {stale:?}")) }
    })
    .await?;
    drop((genuine, pods, agents, peer));
    world.delete_everything().await?;
    world.nothing_left().await?;
    world.down().await
}
