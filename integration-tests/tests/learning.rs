//! Endpoints that nobody announced: learned from what the ports send that may have some behind them,
//! reached from everywhere, followed where they go, and told of when they are at two places.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, Member, World, members_of, port_of};
use l2sces_lab::{
    Unit, command,
    probe::{self, Frame, Sniffer, Stream, StreamId, StreamReceiver, StreamSpec},
    wait,
};
use l2sces_model::MacAddress;
use l2sces_proto::{
    resource::v1::{Condition, ConditionStatus},
    slice::v1::{AttachPortRequest, PortStatus},
};

const NETWORK: &str = "blue";
/// An address that nobody announces.
const NESTED: MacAddress = MacAddress::new([2, 0, 0, 0, 1, 1]);
/// Time between the frames of a stream.
const INTERVAL: Duration = Duration::from_millis(10);

/// The address of another endpoint that nobody announces.
fn nested(number: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 1, number])
}

/// A network with a pod on every node, which has nothing behind it, and another on every node but
/// the first that may have two endpoints behind it.
struct Story {
    world: World,
    /// On a1, a2, b1, b2.
    plain: Vec<Member>,
    /// On a1, a2, b2.
    hosts: Vec<Host>,
}

/// A pod that may have endpoints behind it, and notes what comes to it.
struct Host {
    member: Member,
    receiver: StreamReceiver,
}

impl Story {
    async fn begin() -> Result<Self> {
        let mut world = World::up().await?;
        let plain = members_of(&mut world, NETWORK).await?;
        let mut hosts = Vec::new();
        for (number, node) in (21..).zip(["a1", "a2", "b2"]) {
            let pod = world.lab.pod(node, &format!("host-{node}")).await?;
            pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
            let mac = MacAddress::new([2, 0, 0, 0, 0, number]);
            let address = [10, 1, 0, number].into();
            let mut port = port_of(&world.lab, NETWORK, &pod, Some(address), &mac.to_string());
            port.spec.get_or_insert_default().max_learned_addresses = 2;
            let request = AttachPortRequest { port: Some(port), ..Default::default() };
            world.networks.attach_port(request).await?;
            world.port_ready(NETWORK, pod.name()).await?;
            let receiver = StreamReceiver::start(pod.namespace())?;
            hosts.push(Host { member: Member { pod, address, mac }, receiver });
        }
        Ok(Self { world, plain, hosts })
    }

    async fn status(&self, host: &Host) -> Result<PortStatus, String> {
        let port = self.world.port(NETWORK, host.member.pod.name()).await;
        let port = port.map_err(|status| status.to_string())?;
        Ok(port.status.unwrap_or_default())
    }

    /// Waits until exactly these addresses are known behind a pod.
    async fn learned(&self, host: &Host, macs: &[MacAddress]) -> Result<()> {
        let expected: BTreeSet<String> = macs.iter().map(ToString::to_string).collect();
        let what = format!("{expected:?} are known behind {}", host.member.pod.name());
        wait::holds(&what, LIMIT, || async {
            let learned: BTreeSet<_> = self.status(host).await?.learned_macs.into_iter().collect();
            if learned == expected { Ok(()) } else { Err(format!("{learned:?}")) }
        })
        .await
        .with_context(|| self.world.errors_logged())
    }

    /// Waits until a port is said to have a conflict or none, and returns what is said.
    async fn conflict(&self, host: &Host, mac: MacAddress) -> Result<String> {
        let what = format!("a conflict about {mac} is told of {}", host.member.pod.name());
        wait::holds(&what, LIMIT, || async {
            let status = self.status(host).await?;
            match conflict(&status.conditions) {
                Some(message) if message.contains(&mac.to_string()) => Ok(message.to_owned()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .with_context(|| self.world.errors_logged())
    }

    /// Streams from a pod of another node and from one of the other cluster to an address.
    fn streams(&self, to: MacAddress) -> Result<Vec<Stream>> {
        let from = [&self.plain[0], &self.plain[3]];
        from.into_iter().map(|from| stream(from, to)).collect()
    }

    /// Waits until what is sent to an address comes to a host, and to nobody else any more.
    async fn found(&self, mac: MacAddress, at: &Host) -> Result<()> {
        let watched: Vec<_> = self.plain.iter().map(|member| &member.pod).collect();
        let watched = watched.into_iter().map(|pod| StreamReceiver::start(pod.namespace()));
        let watched = watched.collect::<Result<Vec<_>, _>>()?;
        let others = self.hosts.iter().filter(|host| host.member.mac != at.member.mac);
        let others: Vec<_> = others.map(|host| &host.receiver).chain(&watched).collect();
        let what = format!("{mac} is found behind {} only", at.member.pod.name());
        wait::holds(&what, LIMIT, || async {
            let streams = self.streams(mac).map_err(|error| error.to_string())?;
            sent(&streams, 10).await.map_err(|error| error.to_string())?;
            let ended: Vec<_> =
                streams.into_iter().map(|stream| (stream.id(), stream.stop())).collect();
            for (id, sent) in ended {
                let arrived = wait::holds("all comes", Duration::from_secs(1), || async {
                    let lost = at.receiver.of(id).lost(0..sent);
                    if lost.is_empty() { Ok(()) } else { Err(format!("{lost:?} of {sent}")) }
                });
                arrived.await.map_err(|error| error.to_string())?;
                let astray: u64 = others.iter().map(|other| other.of(id).frames()).sum();
                if astray > 0 {
                    return Err(format!("{astray} of {sent} frames came to others"));
                }
            }
            Ok(())
        })
        .await
        .with_context(|| self.world.errors_logged())
    }

    /// No frame of a stream has come twice to any host, nor to two of them. While an address moves,
    /// it may be unknown for a moment where the frames come from: then they come to all, once.
    async fn nothing_twice(&self, id: StreamId, sent: u32) -> Result<()> {
        let of_hosts = || self.hosts.iter().map(|host| host.receiver.of(id)).collect::<Vec<_>>();
        // What comes to all does not come to all at the same time.
        wait::holds("no frame has come to two hosts", LIMIT, || async {
            let received = of_hosts();
            let times = |number| received.iter().filter(|received| received.has(number)).count();
            let several = |number: &u32| (2..self.hosts.len()).contains(&times(*number));
            let twice: Vec<_> = (0..=sent).filter(several).collect();
            if twice.is_empty() { Ok(()) } else { Err(format!("{twice:?} of {sent} did")) }
        })
        .await?;
        for (host, received) in self.hosts.iter().zip(of_hosts()) {
            let twice = received.duplicates();
            ensure!(twice.is_empty(), "{} got {twice:?} again", host.member.pod.name());
        }
        Ok(())
    }

    /// Rows of tables whose names are these, in all schemas.
    async fn rows(&self, table: &str) -> Result<i64, String> {
        let rows = self.world.lab.table_rows().await.map_err(|error| error.to_string())?;
        Ok(rows.iter().filter(|rows| rows.table == table).map(|rows| rows.rows).sum())
    }
}

fn conflict(conditions: &[Condition]) -> Option<&str> {
    let told = conditions.iter().find(|condition| condition.r#type == "AddressConflict")?;
    (told.status() == ConditionStatus::True).then_some(told.message.as_str())
}

fn stream(from: &Member, to: MacAddress) -> Result<Stream> {
    let interface = "net1".to_owned();
    let spec = StreamSpec { interface, source: from.mac, destination: to, interval: INTERVAL };
    Ok(Stream::start(from.pod.namespace(), spec)?)
}

/// Waits until every stream has sent so many frames more.
async fn sent(streams: &[Stream], frames: u32) -> Result<()> {
    let until: Vec<_> = streams.iter().map(|stream| stream.sent() + frames).collect();
    wait::holds("frames are sent", LIMIT, || async {
        let waits = streams.iter().zip(&until).any(|(stream, until)| stream.sent() < *until);
        if waits { Err("too few".to_owned()) } else { Ok(()) }
    })
    .await?;
    Ok(())
}

/// Sends one frame out of a pod, from any address; `watched` is where it should come.
async fn first_frame(
    host: &Member,
    source: MacAddress,
    to: MacAddress,
    watched: &Member,
) -> Result<()> {
    let marker = probe::marker();
    let sniffer = Sniffer::for_marker(watched.pod.namespace(), Some("net1"), marker)?;
    send(host, source, to, &marker)?;
    let came = sniffer.wait_for(1, LIMIT).await;
    came.with_context(|| format!("the first frame of {source} to {}", watched.pod.name()))?;
    Ok(())
}

fn send(from: &Member, source: MacAddress, to: MacAddress, marker: &[u8; 16]) -> Result<()> {
    let frame = Frame::marked(source, to, marker);
    Ok(probe::send_frames(from.pod.namespace(), "net1", &[frame], 1)?)
}

/// A frame to all from an address behind a pod comes to nobody. One from an address that is known
/// there is sent after it, on the same way.
async fn goes_nowhere(
    from: &Member,
    source: MacAddress,
    known: MacAddress,
    watched: &Member,
) -> Result<()> {
    let (unknown, last) = (probe::marker(), probe::marker());
    let sniff = |marker| Sniffer::for_marker(watched.pod.namespace(), Some("net1"), marker);
    let (sniffer, end) = (sniff(unknown)?, sniff(last)?);
    send(from, source, MacAddress::BROADCAST, &unknown)?;
    send(from, known, MacAddress::BROADCAST, &last)?;
    end.wait_for(1, LIMIT).await?;
    ensure!(sniffer.count() == 0, "a frame of {source} was let in at {}", from.pod.name());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_behind_a_port_are_learned_and_outlive_their_controller() -> Result<()> {
    let mut story = Story::begin().await?;
    let [_, host, _] = &story.hosts[..] else { unreachable!("there are three") };
    let (far, near) = (&story.plain[2], &story.plain[0]);
    // Its very first frame comes, to the other cluster and to another node.
    first_frame(&host.member, NESTED, far.mac, far).await?;
    first_frame(&host.member, NESTED, near.mac, near).await?;
    story.learned(host, &[NESTED]).await?;
    story.found(NESTED, host).await?;

    // Where nothing may be learned, nothing is.
    goes_nowhere(near, nested(9), near.mac, far).await?;
    // Two may be behind the host, and the third is not one of them.
    first_frame(&host.member, nested(2), far.mac, far).await?;
    story.learned(host, &[NESTED, nested(2)]).await?;
    for _ in 0..3 {
        goes_nowhere(&host.member, nested(3), NESTED, far).await?;
    }
    story.learned(host, &[NESTED, nested(2)]).await?;

    killed_controllers_lose_nothing(&story).await?;

    let name = host.member.pod.name().to_owned();
    story.world.detach(NETWORK, &name).await?;
    story.world.port_gone(NETWORK, &name).await?;
    wait::holds("nothing of what was behind the port is left", LIMIT, || async {
        // The seven ports themselves, but for the one that has gone.
        let rows = (story.rows("learned_mac").await?, story.rows("endpoint").await?);
        if rows != (0, 6) {
            return Err(format!("{rows:?} rows"));
        }
        for node in story.world.lab.layout().nodes() {
            for bridge in ["br-sps", "br-ned"] {
                let flows = node.flows(bridge).await.unwrap_or_default();
                let mac = NESTED.to_string();
                if let Some(flow) = flows.iter().find(|flow| flow.contains(&mac)) {
                    return Err(format!("{} {bridge}: {flow}", node.name));
                }
            }
        }
        Ok(())
    })
    .await?;
    story.world.delete_everything().await?;
    story.world.nothing_left().await?;
    story.world.down().await
}

/// Controllers are killed (SIGKILL) one after the other and come back, while frames go to what was
/// learned.
async fn killed_controllers_lose_nothing(story: &Story) -> Result<()> {
    let host = &story.hosts[1];
    for unit in [
        Unit::SdnController("a".to_owned()),
        Unit::SdnController("b".to_owned()),
        Unit::ScoProvider,
    ] {
        let streams = story.streams(NESTED)?;
        sent(&streams, 20).await?;
        story.world.lab.kill(&unit).await?;
        sent(&streams, 50).await?;
        story.world.lab.start(&unit).await?;
        story.world.slice_ready("s1").await?;
        story.world.network_ready(NETWORK).await?;
        story.learned(host, &[NESTED, nested(2)]).await?;
        sent(&streams, 100).await?;
        for stream in streams {
            let (id, sent) = (stream.id(), stream.stop());
            wait::holds(&format!("{unit} killed: every frame comes"), LIMIT, || async {
                let lost = host.receiver.of(id).lost(0..sent);
                if lost.is_empty() { Ok(()) } else { Err(format!("{lost:?} of {sent} lost")) }
            })
            .await?;
            story.nothing_twice(id, sent).await?;
        }
        story.found(NESTED, host).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_move_are_followed_and_those_at_two_places_told_of() -> Result<()> {
    let mut story = Story::begin().await?;
    let [other, first, beyond] = &story.hosts[..] else { unreachable!("there are three") };
    let (near, far) = (&story.plain[0], &story.plain[2]);
    first_frame(&first.member, NESTED, far.mac, far).await?;
    story.found(NESTED, first).await?;

    // To another node, to the other cluster, and back: one frame, and what is sent to it follows.
    for (from, to) in [(first, other), (other, beyond), (beyond, first)] {
        let streams = story.streams(NESTED)?;
        sent(&streams, 20).await?;
        first_frame(&to.member, NESTED, near.mac, near).await?;
        story.learned(to, &[NESTED]).await?;
        story.learned(from, &[]).await?;
        story.found(NESTED, to).await?;
        sent(&streams, 1).await?;
        for stream in streams {
            let id = stream.id();
            let what = format!("frames come to {}", to.member.pod.name());
            wait::holds(&what, LIMIT, || async {
                let came = to.receiver.of(id).frames();
                if came > 0 { Ok(()) } else { Err(format!("of {} none", stream.sent())) }
            })
            .await?;
            let sent = stream.stop();
            story.nothing_twice(id, sent).await?;
        }
    }

    announced_addresses_are_not_taken(&story).await?;
    one_that_moves_to_and_fro_stays(&story).await?;
    story.world.delete_everything().await?;
    story.world.nothing_left().await?;
    story.world.down().await
}

/// Frames from a port's own address come in at other ports, in its cluster and in the other.
async fn announced_addresses_are_not_taken(story: &Story) -> Result<()> {
    let [other, _, beyond] = &story.hosts[..] else { unreachable!("there are three") };
    let (victim, near, far) = (&story.plain[1], &story.plain[0], &story.plain[2]);
    goes_nowhere(&other.member, victim.mac, other.member.mac, far).await?;
    let told = story.conflict(other, victim.mac).await?;
    for place in ["s1/blue/blue-a2 on node a2", "s1/blue/host-a1 on node a1"] {
        ensure!(told.contains(place), "{told}");
    }
    goes_nowhere(&beyond.member, victim.mac, beyond.member.mac, near).await?;
    let told = story.conflict(beyond, victim.mac).await?;
    for place in ["cluster a", "s1/blue/host-b2 on node b2"] {
        ensure!(told.contains(place), "{told}");
    }
    for from in [near, far] {
        from.reaches(victim).await?;
    }
    let layout = story.world.lab.layout();
    let service = layout.service(&Unit::SliceManager)?;
    let mut cli = story.world.lab.control().command(layout.binaries.join("l2sces"))?;
    cli.args(["--endpoint", &service.endpoint]).args(layout.admin.flags());
    cli.args(["port", "get", "host-b2", "--slice", "s1", "--network", NETWORK]);
    let shown = command::run(&mut cli).await?;
    ensure!(shown.contains(&told), "{shown}");
    Ok(())
}

/// An address that is used at two places ends up at one of them, and is told of at the other.
async fn one_that_moves_to_and_fro_stays(story: &Story) -> Result<()> {
    let [other, first, _] = &story.hosts[..] else { unreachable!("there are three") };
    let far = &story.plain[2];
    let mac = nested(5);
    let mut moves = 0;
    let (loser, keeper) = loop {
        let (here, there) = if moves % 2 == 0 { (other, first) } else { (first, other) };
        wait::holds("it is known not to be there any more", LIMIT, || async {
            let learned = story.status(here).await?.learned_macs;
            if learned.contains(&mac.to_string()) { Err(format!("{learned:?}")) } else { Ok(()) }
        })
        .await?;
        send(&here.member, mac, far.mac, &probe::marker())?;
        let is_told = wait::holds("it moves or is told of", LIMIT, || async {
            let status = story.status(here).await?;
            if status.learned_macs.contains(&mac.to_string()) {
                return Ok(false);
            }
            match conflict(&status.conditions) {
                Some(message) if message.contains(&mac.to_string()) => Ok(true),
                other => Err(format!("{other:?}")),
            }
        });
        if is_told.await? {
            break (here, there);
        }
        moves += 1;
        ensure!(moves <= 6, "it has come to {moves} places, and goes on");
    };
    // RFC 7432, section 15.1: five moves, after it was first seen.
    ensure!(moves == 6, "it stayed after it had come to {moves} places");
    let told = story.conflict(loser, mac).await?;
    for host in [loser, keeper] {
        let (pod, node) = (host.member.pod.name(), host.member.pod.node());
        let place = format!("s1/blue/{pod} on node {node}");
        ensure!(told.contains(&place), "{told} does not name {place}");
    }
    goes_nowhere(&loser.member, mac, loser.member.mac, far).await?;
    story.found(mac, keeper).await
}
