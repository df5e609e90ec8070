//! What the demo shows, each with its evidence.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::future::{try_join, try_join_all};
use l2sces_lab::probe::{
    self, Frame, MulticastReceiver, Ping, Sniffer, send_frames, send_multicast,
};
use l2sces_model::MacAddress;
use l2sces_proto::{
    resource::v1::Metadata,
    slice::v1::{
        AttachPortRequest, CreateNetworkRequest, ListNetworksRequest, NamespaceAttachment,
        Network as ApiNetwork, NetworkSpec, Port, PortSpec,
        network_service_client::NetworkServiceClient, port_spec::Attachment,
    },
};

use super::{Member, Network, SLICE};
use crate::{narrator::Narrator, site::Site};

/// How long anything on the way may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last datagrams of a stream may take.
const SETTLED: Duration = Duration::from_secs(2);
/// Name of the interface in a pod.
const INTERFACE: &str = "net1";
/// The multicast group of the demo, and its port.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 94, 1, 1), 5001);

/// Every pod pings every other, one after the other. Single frames may be lost: the userspace
/// datapath does lose some for a second after interfaces were added to a node. The evidence tells
/// how many.
pub(super) async fn reachability(network: &Network, narrator: &Narrator) -> Result<String> {
    let (mut sent, mut answered, mut directions) = (0, 0, 0);
    let mut failures = Vec::new();
    let heads = network.members.iter().map(|member| format!("{:>9}", member.pod.node()));
    narrator.say(&format!("{:>8}{}", network.name, heads.collect::<String>()));
    for from in &network.members {
        let mut line = format!("{:>8}", from.pod.node());
        for to in &network.members {
            if from.address == to.address {
                line += &format!("{:>9}", "-");
                continue;
            }
            let report = Ping::new(to.address, 3).run(from.pod.namespace()).await?;
            directions += 1;
            sent += report.sent;
            answered += report.received;
            if report.received > 0 && report.duplicates == 0 {
                let time = report.round_trip.unwrap_or_default();
                line += &format!("{:>6.2} ms", time.as_secs_f64() * 1e3);
            } else {
                failures.push(format!("{} to {}: {report:?}", from.pod.node(), to.pod.node()));
                line += &format!("{:>9}", "NO");
            }
        }
        narrator.say(&line);
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(format!("{directions} of {directions} directions, {answered} of {sent} pings answered"))
}

/// Every pod of one network sends what might get out; every pod of the other listens.
pub(super) async fn isolation(from: &Network, to: &Network, narrator: &Narrator) -> Result<String> {
    let (marker, control) = (probe::marker(), probe::marker());
    let listen = |member: &Member, marker| {
        Sniffer::for_marker(member.pod.namespace(), Some(INTERFACE), marker)
    };
    let victims = listen_all(to, |member| listen(member, marker))?;
    let controls = listen_all(to, |member| listen(member, control))?;
    let peers = listen_all(from, |member| listen(member, marker))?;
    let mut sent = 0;
    for member in &from.members {
        let frames = forgeries(member, to, &marker);
        send_frames(member.pod.namespace(), INTERFACE, &frames, 5)?;
        sent += frames.len() * 5;
    }
    // What is honest among the frames comes to the others of the same network: five broadcasts and
    // more from each. By then all that was sent before has come, or will not.
    let honest = 5 * (u64::try_from(from.members.len())? - 1);
    for peer in &peers {
        peer.wait_for(honest, PATIENCE).await?;
    }
    // The same detectors, in the same pods, do see what is meant for them.
    let (speaker, _) = to.first()?;
    let frame = Frame::marked(speaker.mac, MacAddress::BROADCAST, &control);
    send_frames(speaker.pod.namespace(), INTERFACE, &[frame], 5)?;
    for control in &controls[1..] {
        control.wait_for(1, PATIENCE).await?;
    }
    let leaked: u64 = victims.iter().map(Sniffer::count).sum();
    let arrived: u64 = peers.iter().map(Sniffer::count).sum();
    narrator.say(&format!(
        "{sent} frames sent in {}: {arrived} receptions there, {leaked} in {}",
        from.name, to.name
    ));
    ensure!(leaked == 0, "{leaked} frames of {} arrived in {}", from.name, to.name);
    Ok(format!("0 of {sent} frames; control: {arrived} receptions in {}", from.name))
}

fn listen_all(
    network: &Network,
    listen: impl Fn(&Member) -> Result<Sniffer, l2sces_lab::LabError>,
) -> Result<Vec<Sniffer>> {
    Ok(network.members.iter().map(listen).collect::<Result<_, _>>()?)
}

/// An honest broadcast, and what might get into the victims' network: frames to and from their
/// addresses, plain and with VLAN tags.
fn forgeries(sender: &Member, victims: &Network, marker: &[u8]) -> Vec<Frame> {
    let mut frames = vec![Frame::marked(sender.mac, MacAddress::BROADCAST, marker)];
    for victim in victims.members.iter().filter(|victim| victim.mac != sender.mac) {
        let to_victim = Frame::marked(sender.mac, victim.mac, marker);
        let as_victim = Frame::marked(victim.mac, MacAddress::BROADCAST, marker);
        frames.extend([to_victim.clone().tagged(1), to_victim.clone().tagged(100).tagged(1)]);
        frames.extend([to_victim, as_victim.clone().tagged(1), as_victim]);
        let (own, other) = (sender.address, victim.address);
        frames.push(Frame::arp_request(sender.mac, own, other, marker));
    }
    frames
}

/// One pod pings the broadcast address; all others answer.
pub(super) async fn broadcast(network: &Network, narrator: &Narrator) -> Result<String> {
    let (sender, others) = network.first()?;
    let report =
        Ping { interval: Duration::from_millis(100), ..Ping::new(Ipv4Addr::new(10, 1, 0, 255), 5) }
            .run(sender.pod.namespace())
            .await?;
    // The sender's own host may answer, too.
    let answered = report.responders.iter().filter(|address| **address != sender.address);
    let answered: Vec<_> = answered.map(IpAddr::to_string).collect();
    narrator.say(&format!(
        "{:>8}: {} answered {}",
        network.name,
        answered.join(", "),
        sender.address
    ));
    let silent: Vec<_> = others
        .iter()
        .filter(|member| !report.responders.contains(&member.address.into()))
        .map(|member| member.pod.node())
        .collect();
    ensure!(silent.is_empty(), "{} did not answer", silent.join(", "));
    Ok(format!("{} of {} answered", others.len(), others.len()))
}

/// Two streams to one group at once, one in each network. Nine of ten datagrams must come to every
/// member, as UDP promises nothing; the evidence tells how many did.
pub(super) async fn multicast(
    blue: &Network,
    red: &Network,
    narrator: &Narrator,
) -> Result<String> {
    const DATAGRAMS: u32 = 100;
    let markers = [probe::marker(), probe::marker()];
    let join = |network: &Network, marker| {
        let join = |member: &Member| {
            let (group, port) = GROUP;
            MulticastReceiver::join(member.pod.namespace(), member.address, group, port, marker)
        };
        network.members.iter().map(join).collect::<Result<Vec<_>, _>>()
    };
    let networks = [blue, red];
    let mut own = Vec::new();
    let mut foreign = Vec::new();
    for (n, network) in networks.iter().enumerate() {
        own.push(join(network, markers[n])?);
        foreign.push(join(network, markers[1 - n])?);
    }
    let streams = networks.iter().zip(markers).map(|(network, marker)| async move {
        let (sender, _) = network.first()?;
        let (namespace, interval) = (sender.pod.namespace(), Duration::from_millis(3));
        send_multicast(namespace, sender.address, GROUP, marker, DATAGRAMS, interval).await?;
        Ok::<_, anyhow::Error>(())
    });
    try_join_all(streams).await?;
    let mut missing = Vec::new();
    let mut least = u64::from(DATAGRAMS);
    for (network, receivers) in networks.iter().zip(&own) {
        for (member, receiver) in network.members.iter().zip(receivers).skip(1) {
            // What does not come is reported below, with what does.
            drop(receiver.wait_for(u64::from(DATAGRAMS), SETTLED).await);
            let received = format!(
                "{}: {} received {} of {DATAGRAMS}",
                network.name,
                member.pod.node(),
                receiver.count()
            );
            narrator.say(&received);
            least = least.min(receiver.count());
            if receiver.count() < u64::from(DATAGRAMS * 9 / 10) {
                missing.push(received);
            }
        }
    }
    ensure!(missing.is_empty(), "{}", missing.join("; "));
    let leaked: u64 = foreign.iter().flatten().map(MulticastReceiver::count).sum();
    ensure!(leaked == 0, "{leaked} datagrams crossed from one network to the other");
    Ok(format!("at least {least} of {DATAGRAMS} at each member, 0 in the other network"))
}

/// Names and addresses are resolved from the control services' host and from a node of each
/// cluster, by dig and through the C library.
pub(super) async fn names(
    site: &impl Site,
    networks: &[Network],
    narrator: &Narrator,
) -> Result<String> {
    let (server, places) = (site.dns(), site.resolvers());
    let control = &places.first().context("no host asks for names")?.namespace;
    let mut count = 0;
    for network in networks {
        for member in &network.members {
            let (host, name) = (member.pod.node(), network.name);
            let cluster = site.cluster_of(host)?;
            for name in [
                format!("{host}.{cluster}.{name}.{SLICE}.inter.l2sces"),
                format!("{host}.{name}.inter.l2sm"),
            ] {
                let answers = places.iter().map(|place| async {
                    let answer = probe::resolve(&place.namespace, server, &name, "A").await?;
                    Ok::<_, anyhow::Error>(answer.data)
                });
                for data in try_join_all(answers).await? {
                    ensure!(data == [member.address.to_string()], "{name} is {data:?}");
                    count += 1;
                }
            }
        }
        let (member, _) = network.first()?;
        let node = member.pod.node();
        let name = format!("{node}.{}.inter.l2sces", network.name);
        let found = try_join_all(
            places.iter().map(|place| probe::look_up(&place.namespace, server.ip(), &name)),
        )
        .await?;
        for (place, addresses) in places.iter().zip(found) {
            ensure!(
                addresses == BTreeSet::from([member.address.into()]),
                "getent on {}: {name} is {addresses:?}",
                place.name
            );
            count += 1;
        }
        let reverse = probe::reverse(control, server, member.address.into()).await?;
        narrator.say(&format!(
            "{name} is {}; {} is {}",
            member.address,
            member.address,
            reverse.data.join(" and ")
        ));
    }
    let absent = probe::resolve(control, server, "nobody.blue.inter.l2sces", "A").await?;
    ensure!(absent.status == "NXDOMAIN", "a name that nobody has is {absent:?}");
    Ok(format!("{count} look-ups by dig and getent from {} hosts", places.len()))
}

/// Measures from the request for a network until the first ping between two of its pods, in
/// different clusters and not on gateways, is answered. The pods exist and ping beforehand.
pub(super) async fn time_to_first_ping(site: &impl Site, narrator: &Narrator) -> Result<String> {
    let addresses = [Ipv4Addr::new(10, 3, 0, 11), Ipv4Addr::new(10, 3, 0, 21)];
    let mut ports = Vec::new();
    for (node, address) in ["a2", "b2"].into_iter().zip(addresses) {
        let pod = site.pod(node, &format!("green-{node}")).await?;
        ports.push((port(site, node, &pod.path(), address)?, pod));
    }
    let [(first, from), (second, _)] = &ports[..] else { bail!("two ports were made") };
    let client = NetworkServiceClient::new(site.slice_manager()?);
    let network = ApiNetwork {
        metadata: named("green"),
        slice: SLICE.to_owned(),
        spec: Some(NetworkSpec { cidr: "10.3.0.0/24".to_owned(), ..Default::default() }),
        status: None,
    };
    let attach = |port: &Port| {
        let request = AttachPortRequest { port: Some(port.clone()), ..Default::default() };
        let mut client = client.clone();
        async move { Ok::<_, anyhow::Error>(client.attach_port(request).await?) }
    };
    let requested = async {
        // The connection to the slice-manager is not part of what is measured.
        let mut client = client.clone();
        client.list_networks(ListNetworksRequest::default()).await?;
        let start = Instant::now();
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        client.create_network(request).await?;
        Ok::<_, anyhow::Error>(start)
    };
    let answered = async {
        let interval = Duration::from_millis(5);
        Ok(probe::first_reply(from.namespace(), INTERFACE, addresses[1], interval, PATIENCE)
            .await?)
    };
    let attached = async {
        let start = requested.await?;
        try_join_all([attach(first), attach(second)]).await?;
        Ok::<_, anyhow::Error>((start, start.elapsed()))
    };
    let ((start, accepted), answered) = try_join(attached, answered).await?;
    let took = answered - start;
    narrator.say(&format!(
        "network and two ports accepted after {:.1} ms, first ping from a2 to b2 answered after {:.1} ms",
        accepted.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3
    ));
    Ok(format!("{:.1} ms", took.as_secs_f64() * 1e3))
}

fn port(site: &impl Site, node: &str, path: &str, address: Ipv4Addr) -> Result<Port> {
    Ok(Port {
        metadata: named(node),
        slice: SLICE.to_owned(),
        network: "green".to_owned(),
        spec: Some(PortSpec {
            cluster: site.cluster_of(node)?,
            node: node.to_owned(),
            attachment: Some(Attachment::Namespace(NamespaceAttachment {
                path: path.to_owned(),
                interface_name: INTERFACE.to_owned(),
            })),
            mac: String::new(),
            address: address.to_string(),
            max_learned_addresses: 0,
        }),
        status: None,
    })
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}
