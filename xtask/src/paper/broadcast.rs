//! H4: broadcast and multicast across clusters.

use std::{net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use l2sces_lab::{
    Pod, command,
    probe::{Ping, PingReport},
    wait,
};
use tokio::process::Child;

use super::{
    published,
    report::{Outcome, Section, rows},
    testbed::{Host, Testbed},
    timeline::{PING_INTERVAL, Recorded, Schedule, Timeline, frame},
};
use crate::{narrator::Narrator, networks::POD_INTERFACE};

const CIDR: &str = "10.1.0.0/16";
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 1, 255, 255);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 94, 1, 1);
const TIME_TO_LIVE: u8 = 32;
/// What happens, by its name in plots.
const PINGS: &str = "broadcast";
const STREAM: &str = "multicast";
const CONTROL: &str = "control";
/// How long iperf may take to join the group.
const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses of the emitter, the receivers, the outsider and its peer.
const ADDRESSES: [Ipv4Addr; 5] = [
    Ipv4Addr::new(10, 1, 64, 2),
    Ipv4Addr::new(10, 1, 128, 2),
    Ipv4Addr::new(10, 1, 128, 3),
    Ipv4Addr::new(10, 1, 128, 4),
    Ipv4Addr::new(10, 1, 64, 3),
];

pub(super) async fn run(
    binaries: &Path,
    directory: &Path,
    schedule: Schedule,
    narrator: &Narrator,
) -> Result<Section> {
    let testbed = Testbed::up(binaries, narrator).await?;
    let [emitter, first, second, outsider, peer] = ADDRESSES;
    let blue = [("a2", "ping", emitter), ("b2", "pong", first), ("b3", "pung", second)];
    // On the very node of a receiver.
    let red = [("b2", "outsider", outsider), ("a2", "peer", peer)];
    let [blue, red] = testbed.blue_and_red(CIDR, &blue, &red).await?;
    for host in blue.iter().chain(&red) {
        let route = format!("route add 239.0.0.0/8 dev {POD_INTERFACE}\n");
        host.pod.namespace().ip_batch(&route).await?;
    }
    let (replies, recorded) = observe(&blue, &red, directory, schedule).await?;
    testbed.lab.down().await?;
    recorded.write(directory, "broadcast")?;
    Ok(section(&replies, &recorded, &blue, &red))
}

async fn observe(
    blue: &[Host],
    red: &[Host],
    directory: &Path,
    schedule: Schedule,
) -> Result<(PingReport, Recorded)> {
    let pods = [
        (&blue[0], "ping, the emitter (network blue, cluster a)"),
        (&blue[1], "pong, a receiver (network blue, cluster b)"),
        (&blue[2], "pung, a receiver (network blue, cluster b)"),
        (&red[0], "the outsider (network red, cluster b)"),
    ];
    let mut timeline = Timeline::start(directory, "broadcast", &pods).await?;
    timeline.reach(schedule.first).await?;
    let pings = Ping { interval: PING_INTERVAL, ..Ping::new(BROADCAST, schedule.pings()) };
    let emitter = blue[0].pod.namespace();
    let replies = timeline.event(PINGS, async { Ok(pings.run(emitter).await?) }).await?;

    let mut receivers = Vec::new();
    for host in blue[1..].iter().chain(&red[..1]) {
        receivers.push(receive(&host.pod).await?);
    }
    timeline.reach(schedule.second).await?;
    timeline.event(STREAM, send(&blue[0], schedule.lasts)).await?;
    // The same detector sees a stream to the same group in the network of its pod.
    timeline.reach(schedule.control).await?;
    timeline.event(CONTROL, send(&red[1], schedule.lasts / 2)).await?;
    timeline.reach(schedule.whole).await?;
    drop(receivers);
    Ok((replies, timeline.stop().await?))
}

/// Joins the group, as the paper does.
async fn receive(pod: &Pod) -> Result<Child> {
    let mut iperf = pod.namespace().command("iperf")?;
    iperf.args(["-s", "-u", "-B", &GROUP.to_string(), "-i", "1"]);
    let iperf = iperf.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait::holds(&format!("{} is a member of {GROUP}", pod.name()), PATIENCE, || async {
        let groups = pod.namespace().ip(["maddress", "show", "dev", POD_INTERFACE]).await;
        let groups = groups.map_err(|error| error.to_string())?;
        if groups.contains(&GROUP.to_string()) { Ok(()) } else { Err(groups) }
    })
    .await?;
    Ok(iperf)
}

/// Sends a stream to the group, as the paper does.
async fn send(from: &Host, time: Duration) -> Result<()> {
    let (address, time) = (from.address.to_string(), time.as_secs_f64().to_string());
    let mut iperf = from.pod.namespace().command("iperf")?;
    iperf.args(["-c", &GROUP.to_string(), "-u", "-B", &address, "-T", &TIME_TO_LIVE.to_string()]);
    iperf.args(["-t", &time, "-b", "200k", "-l", "1200"]);
    let output = command::output(&mut iperf).await?;
    ensure!(output.status.success(), "iperf: {}{}", output.stdout, output.stderr);
    Ok(())
}

fn section(replies: &PingReport, recorded: &Recorded, blue: &[Host], red: &[Host]) -> Section {
    let (emitter, receivers) = (&blue[0], &blue[1..]);
    let is_datagram = |frame: &[u8]| frame::is_datagram(frame, GROUP, TIME_TO_LIVE);
    let sent = recorded.sent(emitter, is_datagram);
    let received: Vec<_> =
        receivers.iter().map(|host| recorded.received(host, None, is_datagram)).collect();
    let pinged: Vec<_> =
        receivers.iter().map(|host| recorded.received(host, None, frame::is_ping)).collect();
    let strays = recorded.received(&red[0], Some(CONTROL), |_| true);
    let control = recorded.received(&red[0], None, is_datagram);
    let answered = |host: &&Host| replies.responders.contains(&host.address.into());
    let every_ping = usize::try_from(replies.sent).unwrap_or(usize::MAX);
    let holds = receivers.iter().all(|host| answered(&host))
        && pinged.iter().all(|count| *count == every_ping && *count > 0)
        && received.iter().all(|count| *count == sent && sent > 0)
        && strays == 0
        && control > 0;
    let list =
        |counts: &[usize]| counts.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ");
    let evidence = format!(
        "{} of {every_ping} broadcast pings and {} of {sent} datagrams came to the two receivers; \
         the outsider saw {strays} packets of them, and {control} datagrams of its own network",
        list(&pinged),
        list(&received),
    );
    let (paper_replies, paper_datagrams) =
        (published::BROADCAST_REPLIES, published::MULTICAST_DATAGRAMS);
    Section {
        title: "H4: broadcast and multicast",
        claim: "broadcast and multicast come to all of the network, in another cluster, and nobody \
                else",
        outcome: Outcome::of(holds, evidence),
        method: "tcpdump in four pods: an emitter and, in the other cluster, two receivers, all of \
                 one network, and an outsider in another with the same addresses, on the node of a \
                 receiver. The emitter pings the broadcast address, five times a second; then it \
                 sends a stream to 239.94.1.1, of 200 kbit/s with a time to live of 32, by \
                 `iperf -u -T 32 -b 200k -l 1200`. Both receivers are members of that group, and \
                 so is the outsider, which tells its own network so: the packets that it sends \
                 then are in the plot, too. At the end, as a control, another pod of the outsider's \
                 network sends to the group: its recording does see the stream.",
        table: rows(&[
            ["", "paper", "here"],
            ["broadcast pings sent", &paper_replies.to_string(), &every_ping.to_string()],
            [
                "broadcast pings received by the receivers",
                &format!("{paper_replies} and {paper_replies} (answered)"),
                &list(&pinged),
            ],
            [
                "replies to the first, and further ones",
                &format!("{paper_replies} + {paper_replies}"),
                &format!("{} + {}", replies.received, replies.duplicates),
            ],
            ["multicast datagrams sent", &paper_datagrams.to_string(), &sent.to_string()],
            [
                "multicast datagrams received by the receivers",
                &format!("{paper_datagrams} and {paper_datagrams}"),
                &list(&received),
            ],
            ["packets received by the outsider", "–", &strays.to_string()],
            ["datagrams received by the outsider in the control", "–", &control.to_string()],
        ]),
        plot: "h4_broadcast",
    }
}
