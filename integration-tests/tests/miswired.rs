//! Two tunnels of a node end at the wrong peers: that is found, and said of which; frames go on, for
//! every label says whom it is for; and pods neither see nor forge the frames that found it. The
//! node's agent mends it as soon as it can.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use integration_tests::{LIMIT, Labels, Member, Traffic, World, members_of, patient};
use l2sces_lab::{
    Namespace, Unit,
    probe::{self, Frame, Sniffer},
    wait,
};
use l2sces_model::MacAddress;
use l2sces_proto::{
    fabric::v1::{ListLinksRequest, fabric_service_client::FabricServiceClient},
    slice::v1::GetSliceRequest,
};

/// Where discovery frames go to, and their EtherType (IEEE 802.1AB).
const DISCOVERY: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
const LLDP: u16 = 0x88cc;

/// Where in a packet a discovery frame begins, be it in a tunnel or not.
fn discovery_in(packet: &[u8]) -> Option<usize> {
    let is_it = |frame: &[u8]| frame.starts_with(&DISCOVERY) && frame[12..] == LLDP.to_be_bytes();
    packet.windows(14).position(is_it)
}

/// The discovery frame in a packet.
fn discovery_frame(packet: &[u8]) -> Option<Frame> {
    let (header, payload) = packet[discovery_in(packet)?..].split_at_checked(14)?;
    Some(Frame {
        destination: MacAddress::new(DISCOVERY),
        source: MacAddress::new(header[6..12].try_into().ok()?),
        vlans: Vec::new(),
        ethertype: LLDP,
        payload: payload.to_vec(),
    })
}

/// What the controller finds wrong with every link, in both directions, by its ends.
async fn faults(world: &World) -> Result<BTreeMap<(String, String), String>> {
    let channel = world.lab.channel(&Unit::SdnController("a".to_owned()))?;
    let request = ListLinksRequest::default();
    let response = FabricServiceClient::new(channel).list_links(request).await?;
    let links = response.into_inner().links.into_iter().map(|link| {
        let message = if link.up { String::new() } else { link.message };
        ((link.source_node, link.target_node), message)
    });
    Ok(links.collect())
}

async fn slice_message(world: &World) -> Result<String> {
    let request = GetSliceRequest { name: "s1".to_owned() };
    let slice = world.slices.clone().get_slice(request).await?.into_inner().slice;
    let conditions = slice.unwrap_or_default().status.unwrap_or_default().conditions;
    Ok(conditions.into_iter().map(|condition| condition.message).collect())
}

fn option(world: &World, peer: &str) -> Result<String> {
    Ok(format!("options:remote_ip={}", world.lab.node(peer)?.underlay_address))
}

/// The tunnel interface of a node that ends at another.
async fn tunnel_to(world: &World, node: &str, peer: &str) -> Result<String> {
    let question = ["--bare", "--columns=name", "find", "Interface", &option(world, peer)?];
    Ok(world.lab.node(node)?.vsctl(question).await?.trim().to_owned())
}

/// Has tunnels of a node end elsewhere.
async fn wire(world: &World, node: &str, [one, other]: [(&str, &str); 2]) -> Result<()> {
    let (first, second) = (option(world, one.1)?, option(world, other.1)?);
    let words = ["set", "Interface", one.0, &first, "--", "set", "Interface", other.0, &second];
    world.lab.node(node)?.vsctl(words).await?;
    Ok(())
}

/// Waits until the tunnels of a1 end at a2 and a3.
async fn mended(world: &World, tunnels: &[String; 2]) -> Result<()> {
    for (tunnel, peer) in tunnels.iter().zip(["a2", "a3"]) {
        wait::holds(&format!("{tunnel} ends at {peer}"), LIMIT, || async {
            let found = tunnel_to(world, "a1", peer).await.map_err(|error| error.to_string())?;
            if found == *tunnel { Ok(()) } else { Err(found) }
        })
        .await?;
    }
    Ok(())
}

/// Every pod sends every discovery frame that was seen, as it is and in its own name.
async fn forge(members: &[Member], seen: &Sniffer) -> Result<()> {
    seen.wait_for(6, LIMIT).await.context("discovery frames")?;
    let genuine: Vec<_> = seen.frames().iter().filter_map(|it| discovery_frame(it)).collect();
    ensure!(genuine.len() >= 6, "only {} discovery frames were seen", genuine.len());
    for member in members {
        let own = |frame: &Frame| Frame { source: member.mac, ..frame.clone() };
        let frames: Vec<_> = genuine.iter().cloned().chain(genuine.iter().map(own)).collect();
        probe::send_frames(member.pod.namespace(), "net1", &frames, 3)?;
    }
    // What is sent later, and arrives, arrives after them.
    for (member, other) in members.iter().zip(members.iter().cycle().skip(1)) {
        member.reaches(other).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_that_end_at_the_wrong_peers_are_found_and_named() -> Result<()> {
    let mut world = World::of("a=a1,a2,a3", &Labels::new(), patient()).await?;
    let underlay = Namespace::named(&world.lab.layout().cluster("a")?.underlay.namespace);
    let seen = Sniffer::start(&underlay, None, |packet| discovery_in(packet).is_some())?;
    world.create_slice("s1").await?;
    let members = members_of(&mut world, "blue").await?;
    let watch = |member: &Member| {
        let namespace = member.pod.namespace();
        Sniffer::start(namespace, Some("net1"), |frame| discovery_in(frame).is_some())
    };
    let watched: Vec<_> = members.iter().map(watch).collect::<Result<_, _>>()?;
    forge(&members, &seen).await?;
    wait::holds("every link is as it should be", LIMIT, || async {
        let faults = faults(&world).await.map_err(|error| error.to_string())?;
        let are_up = faults.len() == 6 && faults.values().all(String::is_empty);
        if are_up { Ok(()) } else { Err(format!("{faults:#?}")) }
    })
    .await?;

    let traffic = Traffic::among(&members, Duration::from_millis(20))?;
    traffic.settled().await?;
    let tunnels = [tunnel_to(&world, "a1", "a2").await?, tunnel_to(&world, "a1", "a3").await?];
    // The agent would mend it.
    let agent = Unit::SpsAgent("a1".to_owned());
    world.lab.kill(&agent).await?;
    let wrong = [(tunnels[0].as_str(), "a3"), (tunnels[1].as_str(), "a2")];
    wire(&world, "a1", wrong).await?;
    let named = [
        (("a1", "a2"), format!("that a1 sends into {} come out at a3", tunnels[0])),
        (("a1", "a3"), format!("that a1 sends into {} come out at a2", tunnels[1])),
    ];
    wait::holds("the links are seen to end elsewhere", LIMIT, || async {
        let faults = faults(&world).await.map_err(|error| error.to_string())?;
        let is_named = named.iter().all(|((from, to), message)| {
            let fault = faults.get(&((*from).to_owned(), (*to).to_owned()));
            fault.is_some_and(|fault| fault.contains(message))
        });
        // The link that is as it should be is not suspected.
        let others = ["a2", "a3"].map(str::to_owned);
        let is_suspected = faults.iter().any(|((a, b), fault)| {
            [a, b].iter().all(|it| others.contains(it)) && !fault.is_empty()
        });
        if is_named && !is_suspected { Ok(()) } else { Err(format!("{faults:#?}")) }
    })
    .await?;
    wait::holds("the slice says so", LIMIT, || async {
        let message = slice_message(&world).await.map_err(|error| error.to_string())?;
        let is_named = named.iter().any(|((from, to), fault)| {
            message.contains(&format!("from {from} to {to}")) && message.contains(fault)
        });
        if is_named { Ok(()) } else { Err(message) }
    })
    .await?;
    traffic.settled().await.context("by the wrong tunnels")?;
    traffic.nothing_twice()?;

    world.lab.start(&agent).await?;
    world.slice_ready("s1").await?;
    traffic.settled().await.context("by the right tunnels")?;
    mended(&world, &tunnels).await.context("when the agent is back")?;
    wire(&world, "a1", wrong).await?;
    mended(&world, &tunnels).await.context("while the agent is there")?;
    traffic.settled().await.context("by tunnels that were mended at once")?;
    traffic.nothing_twice()?;
    forge(&members, &seen).await?;
    for (member, sniffer) in members.iter().zip(&watched) {
        let frames = sniffer.frames();
        if let Some(frame) = frames.first() {
            bail!("{} has seen {frame:02x?}", member.pod.name());
        }
    }
    world.down().await
}
