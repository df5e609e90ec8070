//! Cutting and healing cables, tunnels and control channels, in labs without our services. Needs
//! root and the packages of `l2sces_lab::packages::LAB`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::{net::Ipv4Addr, time::Duration};

use l2sces_lab::{
    Lab, LabOptions, Namespace,
    probe::{Frame, Ping, Sniffer, send_frames},
    wait,
};
use l2sces_model::MacAddress;

const PATIENCE: Duration = Duration::from_secs(20);

async fn lab(topology: &str) -> Lab {
    let options = LabOptions { services: false, ..LabOptions::default() };
    Lab::up(&topology.parse().unwrap(), options).await.unwrap()
}

fn namespace(lab: &Lab, node: &str) -> Namespace {
    Namespace::named(&lab.node(node).unwrap().namespace)
}

/// Whether a single ping is answered soon. A cut is seen so; an answer may take longer on a busy
/// machine, and is waited for by [`reaches`].
async fn is_answered(lab: &Lab, from: &str, address: Ipv4Addr) -> bool {
    let ping = Ping { patience: Duration::from_millis(300), ..Ping::new(address, 1) };
    ping.run(&namespace(lab, from)).await.unwrap().received == 1
}

async fn reaches(lab: &Lab, from: &str, address: Ipv4Addr) {
    wait::until(&format!("{from} reaches {address}"), PATIENCE, || async {
        is_answered(lab, from, address).await.then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cables_are_cut_and_healed() {
    let lab = lab("a=a1*,a2 b=b1*").await;
    let [a1, a2, b1] = ["a1", "a2", "b1"].map(|node| lab.node(node).unwrap().clone());
    let wan = b1.gateway.unwrap().wan_address;
    lab.set_underlay(&a1.name, false).await.unwrap();
    assert!(!is_answered(&lab, "a1", a2.underlay_address).await);
    // The WAN has a cable of its own.
    reaches(&lab, "a1", wan).await;
    lab.set_underlay(&a1.name, true).await.unwrap();
    lab.set_wan(&b1.name, false).await.unwrap();
    reaches(&lab, "a1", a2.underlay_address).await;
    assert!(!is_answered(&lab, "a1", wan).await);
    lab.set_wan(&b1.name, true).await.unwrap();
    reaches(&lab, "a1", wan).await;
    assert!(lab.set_wan("a2", false).await.is_err(), "a2 is no gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_are_parted_and_nobody_else() {
    let lab = lab("a=a1*,a2,a3 b=b1* c=c1*").await;
    let underlay = |node: &str| lab.node(node).unwrap().underlay_address;
    let wan = |node: &str| lab.node(node).unwrap().gateway.as_ref().unwrap().wan_address;
    for (one, other) in [("a1", "a2"), ("a1", "b1")] {
        lab.set_pair(one, other, false).await.unwrap();
    }
    for (from, to, connected) in [
        ("a1", underlay("a2"), false),
        ("a2", underlay("a1"), false),
        ("a1", underlay("a3"), true),
        ("a2", underlay("a3"), true),
        ("a1", wan("b1"), false),
        ("b1", wan("a1"), false),
        ("a1", wan("c1"), true),
        ("b1", wan("c1"), true),
    ] {
        if connected {
            reaches(&lab, from, to).await;
        } else {
            assert!(!is_answered(&lab, from, to).await, "{from} to {to}");
        }
    }
    for (one, other) in [("a1", "a2"), ("a1", "b1")] {
        lab.set_pair(one, other, true).await.unwrap();
    }
    reaches(&lab, "a1", underlay("a2")).await;
    reaches(&lab, "b1", wan("a1")).await;
    assert!(lab.set_pair("a2", "b1", false).await.is_err(), "a2 is no gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_management_still_has_its_tunnels() {
    let lab = lab("a=a1*,a2 b=b1*").await;
    let control = lab.layout().control.address;
    lab.set_management("a1", false).await.unwrap();
    assert!(!is_answered(&lab, "a1", control).await);
    reaches(&lab, "a2", control).await;
    reaches(&lab, "a1", lab.node("a2").unwrap().underlay_address).await;
    let wan = lab.node("b1").unwrap().gateway.as_ref().unwrap().wan_address;
    reaches(&lab, "a1", wan).await;
    lab.set_management("a1", true).await.unwrap();
    reaches(&lab, "a1", control).await;
}

/// The kernel answers ARP for any of its addresses on any of its interfaces, unless told not to:
/// also on the interface of an underlay's bridge, and what is sent to that MAC address is lost.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_bridge_answers_for_the_underlay_address() {
    let lab = lab("a=a1,a2").await;
    let [a1, a2] = ["a1", "a2"].map(|node| lab.node(node).unwrap().clone());
    for _ in 0..3 {
        lab.set_underlay("a1", false).await.unwrap();
        lab.set_underlay("a1", true).await.unwrap();
    }
    reaches(&lab, "a2", a1.underlay_address).await;
    // Ethernet and IPv4, with the lengths of their addresses, and the operation "reply".
    let answer = [0, 1, 8, 0, 6, 4, 0, 2];
    let sender = a1.underlay_address.octets();
    let answers = Sniffer::start(&namespace(&lab, "a2"), Some("br-phy"), move |frame| {
        frame[12..14] == [8, 6] && frame[14..22] == answer && frame[28..32] == sender
    })
    .unwrap();
    let mac = MacAddress::new([0x0a, 0x70, 10, 101, 1, 2]);
    let request = Frame::arp_request(mac, a2.underlay_address, a1.underlay_address, &[0; 16]);
    send_frames(&namespace(&lab, "a2"), "br-phy", &[request], 20).unwrap();
    answers.wait_for(20, PATIENCE).await.unwrap();
    for frame in answers.frames() {
        assert_eq!(frame[22..28], [0x0a, 0x70, 10, 101, 1, 1], "{frame:02x?}");
    }
}
