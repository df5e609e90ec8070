//! Nodes with two underlay interfaces: their tunnels use the one whose address was registered.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use integration_tests::{
    LIMIT, Labels, World, described, members_on,
    topology::{mesh, slice},
};
use l2sces_lab::{
    Namespace,
    probe::{Ping, Sniffer},
};

const NODES: [&str; 2] = ["a1", "a2"];

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from([10, 102, 0, u8::try_from(number).unwrap_or_default()])
}

/// Joins the nodes by a second cable, with an address of each on a bridge of its own.
async fn add_underlay(world: &World) -> Result<()> {
    let [one, other] = NODES.map(|node| world.lab.node(node));
    let (one, other) = (one?, other?);
    let cable = format!("link add eth-alt type veth peer name eth-alt netns {}\n", other.namespace);
    Namespace::named(&one.namespace).ip_batch(&cable).await?;
    for (number, node) in (1..).zip([one, other]) {
        let namespace = Namespace::named(&node.namespace);
        namespace.set_parameter("ipv6/conf/eth-alt/disable_ipv6", "1")?;
        let mac = format!("other_config:hwaddr=\"0a:70:0a:66:00:{number:02x}\"");
        let bridge = ["add-br", "br-alt", "--", "set", "Bridge", "br-alt", "datapath_type=netdev"];
        let port = ["--", "add-port", "br-alt", "eth-alt"];
        node.vsctl(bridge.into_iter().chain([mac.as_str()]).chain(port)).await?;
        let lines = format!(
            "link set eth-alt up\naddress add {}/24 dev br-alt\nlink set br-alt up\n",
            address(number)
        );
        namespace.ip_batch(&lines).await?;
    }
    let report = Ping::new(address(2), 3).run(&Namespace::named(&one.namespace)).await?;
    ensure!(report.received > 0, "the second underlay does not work: {report:?}");
    Ok(())
}

/// Whether a packet has one of our tunnels' destination port.
fn is_tunnelled(packet: &[u8]) -> bool {
    packet.get(36..38) == Some(&l2sces_model::SPS_TUNNEL_UDP_PORT.to_be_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_use_the_underlay_whose_address_is_registered() -> Result<()> {
    let mut world = World::bare().await?;
    add_underlay(&world).await?;
    let watch = |node: &str, interface: &str| -> Result<Sniffer> {
        let namespace = Namespace::named(&world.lab.node(node)?.namespace);
        Ok(Sniffer::start(&namespace, Some(interface), is_tunnelled)?)
    };
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for node in NODES {
        chosen.push(watch(node, "eth-alt")?);
        others.push(watch(node, "eth-phy")?);
    }
    let mut cluster = described(world.lab.layout().cluster("a")?, &Labels::new());
    for node in cluster.spec.iter_mut().flat_map(|spec| &mut spec.nodes) {
        let number = NODES.iter().position(|name| *name == node.name).context("a known node")?;
        node.underlay_address = address(number + 1).to_string();
    }
    world.register(vec![cluster]).await?;
    world.create_slice_of("s1", slice(vec![mesh("a", &[])], Vec::new())).await?;
    let blue = members_on(&mut world, "blue", &["a"], &NODES).await?;
    blue[0].reaches(&blue[1]).await?;
    for (node, sniffer) in NODES.iter().zip(&chosen) {
        sniffer.wait_for(3, LIMIT).await.with_context(|| format!("{node}, by the chosen one"))?;
    }
    for (node, sniffer) in NODES.iter().zip(&others) {
        ensure!(sniffer.count() == 0, "{node} received {} by the other", sniffer.count());
    }
    world.down().await
}
