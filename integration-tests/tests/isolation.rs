//! Hostile pods: whatever a pod of one network sends, no pod of the other receives a frame.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use integration_tests::{LIMIT, Member, World, members_of};
use l2sces_lab::{
    probe::{self, Frame, Ping, Sniffer},
    wait,
};
use l2sces_model::MacAddress;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_networks() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    let red = members_of(&mut world, "red").await?;
    // Both networks are in use: their switches know the addresses of all.
    for members in [&blue, &red] {
        try_join_all(members[1..].iter().map(|other| members[0].reaches(other))).await?;
    }
    for (attackers, victims) in [(&blue, &red), (&red, &blue)] {
        // Or some would hear what their own network had said before.
        world.quiet(victims).await?;
        let watch =
            |victim: &Member| Sniffer::start(victim.pod.namespace(), Some("net1"), |_| true);
        let watched: Vec<_> = victims.iter().map(watch).collect::<Result<_, _>>()?;
        let peers = attackers[1..]
            .iter()
            .map(|peer| Sniffer::start(peer.pod.namespace(), Some("net1"), |_| true));
        let peers: Vec<_> = peers.collect::<Result<_, _>>()?;
        for attacker in attackers {
            scan(attacker, attackers).await?;
        }
        for attacker in attackers {
            forge(attacker, victims)?;
        }
        let flood = Ping { interval: Duration::from_millis(2), ..Ping::new([10, 1, 0, 255], 200) };
        try_join_all(attackers.iter().map(|attacker| flood.run(attacker.pod.namespace()))).await?;
        // The control: the attackers' own network received all that, by the same detector.
        for peer in &peers {
            peer.wait_for(1000, LIMIT).await?;
        }
        for (victim, sniffer) in victims.iter().zip(&watched) {
            let frames = sniffer.frames();
            ensure!(frames.is_empty(), "{} received {:02x?}", victim.pod.name(), frames[0]);
        }
        // And the victims' detectors work: they see what their own network sends.
        let marked = Frame::marked(victims[0].mac, MacAddress::BROADCAST, &probe::marker());
        wait::holds("every detector sees a frame", LIMIT, || async {
            probe::send_frames(
                victims[0].pod.namespace(),
                "net1",
                std::slice::from_ref(&marked),
                1,
            )
            .map_err(|error| error.to_string())?;
            let counts: Vec<_> = watched[1..].iter().map(Sniffer::count).collect();
            if counts.iter().all(|count| *count > 0) { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await?;
    }
    world.down().await
}

/// nmap finds the attacker's own network, and nothing else. It gives a host a third of a second, which
/// a busy machine does not always have: it may look again.
async fn scan(attacker: &Member, own: &[Member]) -> Result<()> {
    let others = |address: &IpAddr| *address != IpAddr::from(attacker.address);
    let wanted: BTreeSet<_> =
        own.iter().map(|member| IpAddr::from(member.address)).filter(others).collect();
    let found = wait::holds("nmap finds every member", LIMIT, || async {
        let hosts = probe::scan_arp(attacker.pod.namespace(), "net1", "10.1.0.0/24").await;
        let hosts = hosts.map_err(|error| error.to_string())?;
        let found: BTreeSet<_> = hosts.iter().map(|host| host.address).filter(others).collect();
        // Whoever else is found is found once and for all.
        if found.is_subset(&wanted) && found != wanted {
            Err(format!("{hosts:?}"))
        } else {
            Ok(found)
        }
    })
    .await?;
    ensure!(found == wanted, "{} found {found:?}", attacker.pod.name());
    Ok(())
}

/// Frames that try to get out: with the victims' addresses, VLAN tags, control protocols, ARP for
/// everyone.
fn forge(attacker: &Member, victims: &[Member]) -> Result<()> {
    let marker = probe::marker();
    let marked = |source, destination| Frame::marked(source, destination, &marker);
    let multicast = MacAddress::new([1, 0, 0x5e, 0x5e, 1, 1]);
    let mut frames = Vec::new();
    for victim in victims {
        for destination in [victim.mac, MacAddress::BROADCAST, multicast] {
            // The victims have the MAC addresses of the attacker's own peers, too.
            for source in [attacker.mac, victim.mac, MacAddress::new([2, 9, 9, 9, 9, 9])] {
                frames.push(marked(source, destination));
                frames.extend(
                    [0, 1, 2, 100, 4095].map(|vlan| marked(source, destination).tagged(vlan)),
                );
                frames.push(marked(source, destination).tagged(7).tagged(8));
            }
        }
    }
    for last in 0..=255 {
        let target = Ipv4Addr::new(10, 1, 0, last);
        frames.push(Frame::arp_request(attacker.mac, attacker.address, target, &marker));
    }
    for last in 0..16 {
        frames.push(marked(attacker.mac, MacAddress::new([1, 0x80, 0xc2, 0, 0, last])));
    }
    let lldp = MacAddress::new([1, 0x80, 0xc2, 0, 0, 0x0e]);
    frames.push(Frame { ethertype: 0x88cc, ..marked(attacker.mac, lldp) });
    frames.push(Frame { ethertype: 0x88cc, ..marked(attacker.mac, MacAddress::BROADCAST) });
    probe::send_frames(attacker.pod.namespace(), "net1", &frames, 3)?;
    Ok(())
}

/// What port security drops reaches nobody in the own network either, and LLDP and bridge control
/// frames of a pod go nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn spoofed_and_control_frames_go_nowhere() -> Result<()> {
    let mut world = World::up().await?;
    let members = members_of(&mut world, "blue").await?;
    let [attacker, peers @ ..] = &members[..] else { unreachable!("there are members") };
    let marker = probe::marker();
    let watch = |peer: &Member| Sniffer::for_marker(peer.pod.namespace(), Some("net1"), marker);
    let watched: Vec<_> = peers.iter().map(watch).collect::<Result<_, _>>()?;
    let marked = |source, destination| Frame::marked(source, destination, &marker);
    let mut frames = vec![
        marked(peers[0].mac, MacAddress::BROADCAST),
        marked(MacAddress::new([2, 9, 9, 9, 9, 9]), MacAddress::BROADCAST),
        Frame { ethertype: 0x88cc, ..marked(attacker.mac, MacAddress::BROADCAST) },
    ];
    frames.extend(
        (0..16).map(|last| marked(attacker.mac, MacAddress::new([1, 0x80, 0xc2, 0, 0, last]))),
    );
    probe::send_frames(attacker.pod.namespace(), "net1", &frames, 5)?;
    // The control, sent last: it arrives, so that the others would have arrived before it.
    probe::send_frames(
        attacker.pod.namespace(),
        "net1",
        &[marked(attacker.mac, MacAddress::BROADCAST)],
        1,
    )?;
    for sniffer in &watched {
        sniffer.wait_for(1, LIMIT).await?;
        ensure!(sniffer.count() == 1, "{:02x?}", sniffer.frames());
    }
    no_node_passes_for_another(&world).await?;
    attacker.reaches(&peers[0]).await?;
    world.down().await
}

/// Root on a node has its Open vSwitch tell the controllers that it is another node's, whose flows it
/// would get, and whose place it would take.
async fn no_node_passes_for_another(world: &World) -> Result<()> {
    let layout = world.lab.layout();
    for (bridge, of, by) in [("br-sps", "a1", "a2"), ("br-ned", "a1", "b1")] {
        let (of, by) = (layout.node(of)?, layout.node(by)?);
        let id = of.vsctl(["get", "bridge", bridge, "datapath_id"]).await?;
        let set_id = format!("other_config:datapath-id={}", id.trim().trim_matches('"'));
        let controller = of.vsctl(["get-controller", bridge]).await?;
        let forged = "br-forged";
        let mut make = vec!["add-br", forged, "--", "set", "bridge", forged, &set_id];
        make.extend(["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13"]);
        make.extend(["--", "set-controller", forged, controller.trim()]);
        by.vsctl(make).await?;
        wait::holds("the forged switch was let in and thrown out", LIMIT, || async {
            let state = by.vsctl(["get", "controller", forged, "is_connected", "status"]).await;
            let state = state.map_err(|error| error.to_string())?;
            let is_out = state.starts_with("false") && state.contains("sec_since_disconnect");
            if is_out { Ok(()) } else { Err(state) }
        })
        .await?;
        let flows = by.flows(forged).await?;
        ensure!(flows.is_empty(), "{flows:?}");
        let is_connected = of.vsctl(["get", "controller", bridge, "is_connected"]).await?;
        ensure!(is_connected.trim() == "true", "{} lost its place", of.name);
        by.vsctl(["del-br", forged]).await?;
    }
    Ok(())
}
