//! Numbered streams and the counters of links, in labs without our services. Needs root and the
//! packages of `l2sces_lab::packages::LAB`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::{collections::BTreeMap, ops::Range, time::Duration};

use l2sces_lab::{
    Lab, LabOptions, Namespace,
    layout::Node,
    probe::{LinkCounters, LinkName, Stream, StreamReceiver, StreamSpec},
    wait,
};
use l2sces_model::MacAddress;

const PATIENCE: Duration = Duration::from_secs(20);

async fn lab(topology: &str) -> Lab {
    let options = LabOptions { services: false, switches_first: true, ..LabOptions::default() };
    Lab::up(&topology.parse().unwrap(), options).await.unwrap()
}

fn mac(n: u8) -> MacAddress {
    MacAddress::new([2, 0, 0, 0, 0, n])
}

/// A pod on a plain bridge of a node, with MAC address number `n`.
async fn pod(lab: &Lab, node: &str, bridge: &str, n: u8) -> Namespace {
    let pod = lab.pod(node, &format!("p{n}")).await.unwrap();
    pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1").unwrap();
    let host = Namespace::named(&lab.node(node).unwrap().namespace);
    host.set_parameter("ipv6/conf/default/disable_ipv6", "1").unwrap();
    let (mac, name) = (mac(n), pod.namespace().name());
    let lines = format!(
        "link add v{n} type veth peer name net1 address {mac} netns {name}\nlink set v{n} up\n"
    );
    host.ip_batch(&lines).await.unwrap();
    pod.namespace().ip(["link", "set", "net1", "up"]).await.unwrap();
    lab.node(node).unwrap().vsctl(["add-port", bridge, &format!("v{n}")]).await.unwrap();
    takes_frames(&host, &format!("v{n}")).await;
    takes_frames(pod.namespace(), "net1").await;
    pod.namespace().clone()
}

/// Waits until an interface does not drop what it is given, as the queue of one that has just come up
/// does.
async fn takes_frames(namespace: &Namespace, interface: &str) {
    wait::holds(&format!("{interface} takes frames"), PATIENCE, || async {
        let shown = namespace.ip(["link", "show", "dev", interface]).await.unwrap();
        let is_up = shown.contains(" state UP ") && !shown.contains(" qdisc noop ");
        if is_up { Ok(()) } else { Err(shown) }
    })
    .await
    .unwrap();
}

async fn bridge(lab: &Lab, node: &str, name: &str) {
    let node = lab.node(node).unwrap();
    let bridge = ["--", "set", "Bridge", name, "datapath_type=netdev"];
    node.vsctl(["add-br", name].into_iter().chain(bridge)).await.unwrap();
}

fn stream(from: &Namespace, source: u8, destination: MacAddress, milliseconds: u64) -> Stream {
    let interval = Duration::from_millis(milliseconds);
    let interface = "net1".to_owned();
    Stream::start(from, StreamSpec { interface, source: mac(source), destination, interval })
        .unwrap()
}

async fn sent(stream: &Stream, frames: u32) {
    wait::until(&format!("{frames} frames are sent"), PATIENCE, || async {
        (stream.sent() >= frames).then_some(())
    })
    .await
    .unwrap();
}

async fn all_come(receiver: &StreamReceiver, stream: &Stream) {
    let frames = stream.sent();
    wait::holds(&format!("{frames} frames come"), PATIENCE, || async {
        let lost = receiver.of(stream.id()).lost(0..frames);
        if lost.is_empty() { Ok(()) } else { Err(format!("without {lost:?}")) }
    })
    .await
    .unwrap();
}

/// What the stories need: twelve pods that send 200 frames a second each, to all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_dozen_pods_send_200_broadcasts_a_second_each() {
    let lab = lab("a=a1").await;
    bridge(&lab, "a1", "br0").await;
    let mut pods = Vec::new();
    for n in 1..=12 {
        pods.push(pod(&lab, "a1", "br0", n).await);
    }
    let receivers: Vec<_> = pods.iter().map(|pod| StreamReceiver::start(pod).unwrap()).collect();
    let streams: Vec<_> =
        (1..).zip(&pods).map(|(n, pod)| stream(pod, n, MacAddress::BROADCAST, 5)).collect();
    // The machine may be held up meanwhile, but not time and again.
    let last = streams.last().unwrap();
    let mut rate = 0.0;
    for _ in 0..5 {
        let (start, before) = (std::time::Instant::now(), streams[0].sent());
        sent(last, last.sent() + 400).await;
        rate = f64::from(streams[0].sent() - before) / start.elapsed().as_secs_f64();
        if rate > 150.0 {
            break;
        }
    }
    let streams: Vec<_> = streams.into_iter().map(|stream| (stream.id(), stream.stop())).collect();
    assert!(rate > 150.0, "{rate} frames a second");
    for (r, receiver) in receivers.iter().enumerate() {
        for (s, (stream, frames)) in streams.iter().enumerate() {
            let wanted = if r == s { 0 } else { *frames };
            wait::holds(&format!("pod {r} receives stream {s}"), PATIENCE, || async {
                let received = receiver.of(*stream).frames();
                if received >= u64::from(wanted) { Ok(()) } else { Err(received.to_string()) }
            })
            .await
            .unwrap();
            let received = receiver.of(*stream);
            assert!(received.lost(0..wanted).is_empty() && received.duplicates().is_empty());
            assert_eq!(received.frames(), u64::from(wanted));
        }
        assert_eq!(receiver.overlooked(), 0);
    }
}

/// Whether some frames of a range, in a row, are all as wanted.
fn some_in_a_row(numbers: Range<u32>, is_wanted: impl Fn(u32) -> bool) -> bool {
    Vec::from_iter(numbers).windows(18).any(|row| row.iter().all(|number| is_wanted(*number)))
}

/// How many frames a bridge's flow that drops them has dropped, as far as it is known.
async fn dropped(node: &Node) -> u64 {
    let flows = node.flows("br0").await.unwrap();
    let flow = flows.iter().find(|flow| flow.contains("priority=10,")).unwrap();
    let frames = flow.split_once("n_packets=").unwrap().1.split(',').next().unwrap();
    frames.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_or_comes_twice_is_known_by_number() {
    let lab = lab("a=a1").await;
    bridge(&lab, "a1", "br0").await;
    let [one, two] = [pod(&lab, "a1", "br0", 1).await, pod(&lab, "a1", "br0", 2).await];
    let receiver = StreamReceiver::start(&two).unwrap();
    let stream = stream(&one, 1, mac(2), 5);
    sent(&stream, 20).await;
    all_come(&receiver, &stream).await;

    let node = lab.node("a1").unwrap();
    node.ofctl("add-flow", "br0", &["priority=9,in_port=v1,actions=output:v2,output:v2"])
        .await
        .unwrap();
    wait::until("a frame comes twice", PATIENCE, || async {
        (!receiver.of(stream.id()).duplicates().is_empty()).then_some(())
    })
    .await
    .unwrap();
    let twice = stream.sent();
    wait::holds("frames come twice", PATIENCE, || async {
        let received = receiver.of(stream.id());
        let is_twice = |number: u32| received.duplicates().get(&number) == Some(&1);
        let all_are = some_in_a_row(twice..stream.sent(), is_twice);
        if all_are { Ok(()) } else { Err(format!("{twice}: {received:?}")) }
    })
    .await
    .unwrap();

    node.ofctl("add-flow", "br0", &["priority=10,in_port=v1,actions=drop"]).await.unwrap();
    let first = wait::until("frames are dropped", PATIENCE, || async {
        Some(dropped(node).await).filter(|frames| *frames > 0)
    })
    .await
    .unwrap();
    // Those that are counted first may have been forwarded, by what the datapath had cached.
    wait::until("more frames are dropped", PATIENCE, || async {
        (dropped(node).await > first).then_some(())
    })
    .await
    .unwrap();
    let never = stream.sent();
    sent(&stream, never + 20).await;

    node.ofctl("del-flows", "br0", &["in_port=v1"]).await.unwrap();
    let resumed = stream.sent();
    wait::until("frames come again", PATIENCE, || async {
        let received = receiver.of(stream.id());
        (resumed..stream.sent()).any(|number| received.has(number)).then_some(())
    })
    .await
    .unwrap();
    let again = stream.sent();
    wait::until("all of some frames come", PATIENCE, || async {
        let received = receiver.of(stream.id());
        some_in_a_row(again..stream.sent(), |number| received.has(number)).then_some(())
    })
    .await
    .unwrap();

    // An interface that goes and comes back, as a pod's does that is detached and attached.
    one.ip(["link", "set", "net1", "down"]).await.unwrap();
    one.ip(["link", "set", "net1", "up"]).await.unwrap();
    sent(&stream, stream.sent() + 20).await;
    wait::until("the last frame comes", PATIENCE, || async {
        receiver.of(stream.id()).has(stream.sent() - 1).then_some(())
    })
    .await
    .unwrap();
    let received = receiver.of(stream.id());
    assert_eq!(received.lost(never..never + 18), Vec::from_iter(never..never + 18));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_count_the_frames_of_networks_and_streams_and_nothing_else() {
    let lab = lab("a=a1,a2").await;
    for (node, remote) in [("a1", "10.101.1.2"), ("a2", "10.101.1.1")] {
        bridge(&lab, node, "br0").await;
        let tunnel = format!("options:remote_ip={remote}");
        lab.node(node)
            .unwrap()
            .vsctl([
                "add-port",
                "br0",
                "t",
                "--",
                "set",
                "Interface",
                "t",
                "type=geneve",
                "options:key=77",
                "options:dst_port=7000",
                "bfd:enable=true",
                "bfd:min_tx=50",
                "bfd:min_rx=50",
                &tunnel,
            ])
            .await
            .unwrap();
    }
    let one = pod(&lab, "a1", "br0", 1).await;
    let two = pod(&lab, "a2", "br0", 2).await;
    let links = LinkCounters::start(lab.layout()).unwrap();
    let receiver = StreamReceiver::start(&two).unwrap();
    // The first frames may be lost while the switches ask for each other's underlay address.
    let first = stream(&one, 1, MacAddress::BROADCAST, 5);
    wait::until("a frame crosses the tunnel", PATIENCE, || async {
        (receiver.of(first.id()).frames() > 0).then_some(())
    })
    .await
    .unwrap();
    first.stop();
    let [broadcast, unicast] = [MacAddress::BROADCAST, mac(2)].map(|to| stream(&one, 1, to, 5));
    for stream in [&broadcast, &unicast] {
        sent(stream, 100).await;
    }
    let there = LinkName { from: "a1".to_owned(), to: "a2".to_owned() };
    let mut sum = 0;
    for stream in [broadcast, unicast] {
        let id = stream.id();
        let frames = u64::from(stream.stop());
        sum += frames;
        wait::holds("every frame crosses the link", PATIENCE, || async {
            let counted = links.of_stream(id);
            let wanted = BTreeMap::from([(there.clone(), frames)]);
            if counted == wanted { Ok(()) } else { Err(format!("{counted:?}, not {wanted:?}")) }
        })
        .await
        .unwrap();
        wait::holds("every frame is received", PATIENCE, || async {
            let received = receiver.of(id).frames();
            if received >= frames { Ok(()) } else { Err(received.to_string()) }
        })
        .await
        .unwrap();
        assert_eq!(receiver.of(id).frames(), frames);
    }
    // Beside the probe's frames the network carried BFD, which Open vSwitch sends with its key.
    assert!(links.of_network(77)[&there] >= sum);
    assert_eq!(links.of_network(78), BTreeMap::new());
    assert_eq!(links.overlooked(), 0);
}
