//! Two networks with the same addresses and MAC addresses over two clusters: everyone is reached in
//! the own network, nobody in the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use integration_tests::{LIMIT, Member, World, members_of};
use l2sces_lab::{
    layout,
    probe::{self, Frame, MulticastReceiver, Ping, Sniffer},
    wait,
};
use l2sces_model::MacAddress;

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_one_switch_and_leaves_nothing_behind() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    let red = members_of(&mut world, "red").await?;
    for members in [&blue, &red] {
        everyone_reaches_everyone(members).await?;
    }
    unicast_reaches_no_third_port(&world, &blue).await?;
    broadcast_is_answered_by_every_member(&blue).await?;
    multicast_reaches_every_member_and_nobody_else(&blue, &red).await?;
    names_resolve(&world, &blue).await?;
    names_go_with_their_ports(&mut world, &blue).await?;
    full_frames_fit(&world, &blue).await?;
    world.delete_everything().await?;
    world.nothing_left().await?;
    world.down().await
}

async fn everyone_reaches_everyone(members: &[Member]) -> Result<()> {
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from.address != to.address);
    try_join_all(pairs.map(|(from, to)| from.reaches(to))).await?;
    Ok(())
}

/// Frames sent out of every pod's port, by pod.
async fn sent_to(world: &World, members: &[Member]) -> Result<BTreeMap<String, u64>> {
    let mut sent = BTreeMap::new();
    for member in members {
        let port = world.port("blue", member.pod.name()).await?;
        let interface = port.status.unwrap_or_default().interface_name;
        let counters = world.lab.node(member.pod.node())?.counters("br-sps").await?;
        sent.insert(member.pod.name().to_owned(), counters[&interface].sent);
    }
    Ok(sent)
}

async fn unicast_reaches_no_third_port(world: &World, members: &[Member]) -> Result<()> {
    let [from, .., to] = members else { unreachable!("there are four members") };
    let third: Vec<_> = members[1..members.len() - 1].to_vec();
    world.quiet(members).await?;
    let before = sent_to(world, &third).await?;
    let target = sent_to(world, std::slice::from_ref(to)).await?;
    // Seldom enough that a switch that has no processor for seconds has room for what comes meanwhile.
    let ping = Ping { interval: Duration::from_millis(20), ..Ping::new(to.address, 100) };
    let report = ping.run_until_answered(from.pod.namespace()).await?;
    ensure!(report.has_answers(100), "{report:?}");
    // The control: the counters of the port that the frames went to have moved.
    wait::holds("the target's counter moves", LIMIT, || async {
        let now = sent_to(world, std::slice::from_ref(to)).await.map_err(|e| e.to_string())?;
        let moved = now[to.pod.name()] - target[to.pod.name()];
        if moved >= 100 { Ok(()) } else { Err(format!("{moved} frames")) }
    })
    .await?;
    let after = sent_to(world, &third).await?;
    ensure!(before == after, "unicast was flooded: {before:?} then {after:?}");
    Ok(())
}

async fn broadcast_is_answered_by_every_member(members: &[Member]) -> Result<()> {
    for from in members {
        // The sender is told to answer broadcasts as well, and its own kernel hands it a copy: with
        // the last of those ping(8) may leave before the others have answered.
        let everyone: BTreeSet<IpAddr> =
            members.iter().map(|member| member.address.into()).collect();
        let responders = wait::holds("every member answers a broadcast", LIMIT, || async {
            let report = Ping::new([10, 1, 0, 255], 5).run(from.pod.namespace()).await;
            let found = report.map_err(|error| error.to_string())?.responders;
            // Whoever else answers has answered once and for all.
            if found.is_subset(&everyone) && found != everyone {
                return Err(format!("{found:?}"));
            }
            Ok(found)
        })
        .await?;
        ensure!(responders == everyone, "{} reached {responders:?}", from.pod.name());
        every_member_receives_each_broadcast_once(from, members).await?;
    }
    Ok(())
}

async fn every_member_receives_each_broadcast_once(
    from: &Member,
    members: &[Member],
) -> Result<()> {
    let (counted, last) = (probe::marker(), probe::marker());
    let others: Vec<_> = members.iter().filter(|member| member.address != from.address).collect();
    let watch = |marker| {
        let watch =
            |member: &&Member| Sniffer::for_marker(member.pod.namespace(), Some("net1"), marker);
        others.iter().map(watch).collect::<Result<Vec<_>, _>>()
    };
    let (watched, ends) = (watch(counted)?, watch(last)?);
    let broadcast = |marker: [u8; 16]| Frame::marked(from.mac, MacAddress::BROADCAST, &marker);
    probe::send_frames(from.pod.namespace(), "net1", &[broadcast(counted)], 20)?;
    // Sent last, on the same way: when it has arrived, nothing is under way any more.
    probe::send_frames(from.pod.namespace(), "net1", &[broadcast(last)], 1)?;
    for (sniffer, end) in watched.iter().zip(&ends) {
        end.wait_for(1, LIMIT).await?;
        sniffer.wait_for(20, LIMIT).await?;
        ensure!(sniffer.count() == 20, "{} of 20 broadcasts", sniffer.count());
    }
    Ok(())
}

async fn multicast_reaches_every_member_and_nobody_else(
    members: &[Member],
    outsiders: &[Member],
) -> Result<()> {
    let (group, port) = ([239, 94, 1, 1].into(), 5001);
    let marker = probe::marker();
    let join = |member: &Member| {
        MulticastReceiver::join(member.pod.namespace(), member.address, group, port, marker)
    };
    let [sender, receivers @ ..] = members else { unreachable!("there are members") };
    let receivers: Vec<_> = receivers.iter().map(join).collect::<Result<_, _>>()?;
    let outside: Vec<_> = outsiders.iter().map(join).collect::<Result<_, _>>()?;
    let watch = |member: &Member| Sniffer::for_marker(member.pod.namespace(), Some("net1"), marker);
    let watched: Vec<_> = outsiders.iter().map(watch).collect::<Result<_, _>>()?;
    let send = |member: &Member| {
        let (namespace, address) = (member.pod.namespace().clone(), member.address);
        async move {
            let pace = Duration::from_millis(2);
            probe::send_multicast(&namespace, address, (group, port), marker, 100, pace).await
        }
    };
    send(sender).await?;
    for receiver in &receivers {
        receiver.wait_for(100, LIMIT).await?;
        ensure!(receiver.count() == 100, "{} datagrams instead of 100", receiver.count());
    }
    ensure!(outside.iter().all(|receiver| receiver.count() == 0));
    ensure!(watched.iter().all(|sniffer| sniffer.count() == 0));
    // The control: the outsiders' detectors see what their own network sends.
    send(&outsiders[0]).await?;
    for (receiver, sniffer) in outside.iter().zip(&watched).skip(1) {
        receiver.wait_for(100, LIMIT).await?;
        sniffer.wait_for(100, LIMIT).await?;
    }
    Ok(())
}

async fn names_resolve(world: &World, members: &[Member]) -> Result<()> {
    let server = world.lab.layout().control.dns;
    let control = world.lab.control();
    for member in members {
        let (pod, address) = (member.pod.name(), member.address.to_string());
        let cluster = &world.lab.node(member.pod.node())?.cluster;
        let canonical = format!("{pod}.{cluster}.blue.s1.inter.l2sces");
        let short = format!("{pod}.blue.inter.l2sces");
        for name in [canonical.clone(), short, format!("{pod}.blue.inter.l2sm")] {
            wait::holds(&format!("{name} resolves"), LIMIT, || async {
                let answer = probe::resolve(&control, server, &name, "A").await;
                match answer {
                    Ok(answer) if answer.authoritative && answer.data == [address.clone()] => {
                        Ok(())
                    }
                    other => Err(format!("{other:?}")),
                }
            })
            .await?;
        }
        let reverse = probe::reverse(&control, server, member.address.into()).await?;
        ensure!(reverse.data.contains(&format!("{canonical}.")), "{reverse:?}");
    }
    Ok(())
}

async fn names_go_with_their_ports(world: &mut World, members: &[Member]) -> Result<()> {
    let pod = world.lab.pod("a2", "fleeting").await?;
    world.attach("blue", &pod, None, "").await?;
    let port = world.port_ready("blue", "fleeting").await?;
    let address = port.status.unwrap_or_default().address;
    ensure!(address.starts_with("10.1.0.") && address.ends_with("/24"), "{address:?}");
    let taken = members.iter().any(|member| address == format!("{}/24", member.address));
    ensure!(!taken, "{address} was given twice");
    let (server, control) = (world.lab.layout().control.dns, world.lab.control());
    let name = "fleeting.blue.inter.l2sces";
    let status = |wanted: &'static str| {
        let control = control.clone();
        move || {
            let control = control.clone();
            async move {
                let answer = probe::resolve(&control, server, name, "A").await.ok()?;
                (answer.status == wanted).then_some(())
            }
        }
    };
    wait::until("the name is there", LIMIT, status("NOERROR")).await?;
    world.detach("blue", "fleeting").await?;
    world.port_gone("blue", "fleeting").await?;
    wait::until("the name is gone", LIMIT, status("NXDOMAIN")).await?;
    Ok(())
}

/// The MTU of the ports is what the tunnels can carry: frames of that size pass, unfragmented.
async fn full_frames_fit(world: &World, members: &[Member]) -> Result<()> {
    let [from, .., to] = members else { unreachable!("there are four members") };
    let mtu = world.network_ready("blue").await?.status.unwrap_or_default().mtu;
    // Less the headers of IPv4, UDP, Geneve with one option, and Ethernet.
    ensure!(mtu == layout::UNDERLAY_MTU - 62, "MTU {mtu}");
    let full = Ping { size: Some(mtu - 28), dont_fragment: true, ..Ping::new(to.address, 3) };
    let report = full.run_until_answered(from.pod.namespace()).await?;
    ensure!(report.has_answers(3), "frames of the full MTU: {report:?}");
    Ok(())
}
