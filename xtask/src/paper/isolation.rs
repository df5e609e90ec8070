//! H3: what a pod of another network sees of a ping and of a scan for all pods.

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::Result;
use l2sces_lab::probe::{Ping, PingReport, scan_echo};

use super::{
    published,
    report::{Outcome, Section, rows},
    testbed::{Host, Testbed},
    timeline::{PING_INTERVAL, Recorded, Schedule, Timeline, frame},
};
use crate::{narrator::Narrator, networks::POD_INTERFACE};

const CIDR: &str = "10.8.64.0/24";
/// What happens, by its name in plots.
const PING: &str = "ping";
const SCAN: &str = "nmap";
const CONTROL: &str = "control";

/// Addresses of the pods: two of the first network, then two of the second.
const ADDRESSES: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 8, 64, 2),
    Ipv4Addr::new(10, 8, 64, 3),
    Ipv4Addr::new(10, 8, 64, 4),
    Ipv4Addr::new(10, 8, 64, 5),
];

pub(super) async fn run(
    binaries: &Path,
    directory: &Path,
    schedule: Schedule,
    narrator: &Narrator,
) -> Result<Section> {
    let testbed = Testbed::up(binaries, narrator).await?;
    let [ping, pong, pung, peer] = ADDRESSES;
    let blue = [("a2", "ping", ping), ("b2", "pong", pong)];
    // On the very node of a pod of the first network.
    let red = [("b2", "pung", pung), ("a2", "peer", peer)];
    let [blue, red] = testbed.blue_and_red(CIDR, &blue, &red).await?;
    let seen = observe(&blue, &red, directory, schedule).await?;
    testbed.lab.down().await?;
    seen.recorded.write(directory, "isolation")?;
    Ok(section(&seen, &blue, &red))
}

struct Seen {
    ping: PingReport,
    found: BTreeSet<Ipv4Addr>,
    recorded: Recorded,
}

async fn observe(
    blue: &[Host],
    red: &[Host],
    directory: &Path,
    schedule: Schedule,
) -> Result<Seen> {
    let pods = [
        (&blue[0], "ping (network blue, cluster a)"),
        (&blue[1], "pong (network blue, cluster b)"),
        (&red[0], "pung (network red, cluster b)"),
    ];
    let mut timeline = Timeline::start(directory, "isolation", &pods).await?;
    let scanner = blue[0].pod.namespace();
    timeline.reach(schedule.first).await?;
    let pings = pings(&blue[1], schedule);
    let ping = timeline.event(PING, async { Ok(pings.run(scanner).await?) }).await?;
    timeline.reach(schedule.second).await?;
    let scan = async { Ok(scan_echo(scanner, POD_INTERFACE, CIDR).await?) };
    let found = timeline.event(SCAN, scan).await?;
    // The same detector sees what the network of its pod sends.
    timeline.reach(schedule.control).await?;
    let control = Ping { count: schedule.pings() / 2, ..pings_to(&red[0]) };
    let peer = red[1].pod.namespace();
    timeline.event(CONTROL, async { Ok(control.run(peer).await?) }).await?;
    timeline.reach(schedule.whole).await?;
    let recorded = timeline.stop().await?;
    let found = found.into_iter().filter_map(|host| match host.address {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    });
    Ok(Seen { ping, found: found.collect(), recorded })
}

fn pings(to: &Host, schedule: Schedule) -> Ping {
    Ping { count: schedule.pings(), ..pings_to(to) }
}

fn pings_to(to: &Host) -> Ping {
    Ping { interval: PING_INTERVAL, patience: Duration::from_secs(1), ..Ping::new(to.address, 1) }
}

fn section(seen: &Seen, blue: &[Host], red: &[Host]) -> Section {
    let Seen { ping, found, recorded } = seen;
    let any = |_: &[u8]| true;
    let strays = recorded.received(&red[0], Some(CONTROL), any);
    let control = recorded.received(&red[0], None, frame::is_ping);
    let requests = recorded.received(&blue[1], None, frame::is_ping);
    let all = |host| (recorded.sent(host, any) + recorded.received(host, None, any)).to_string();
    let finds_its_own = found.contains(&blue[1].address);
    let finds_others = red.iter().any(|host| found.contains(&host.address));
    let holds = strays == 0
        && control > 0
        && requests > 0
        && ping.received > 0
        && finds_its_own
        && !finds_others;
    let evidence = format!(
        "the third pod saw {strays} packets of the others, and {control} pings of its own network; \
         the scan found {}",
        found.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ")
    );
    let (answered, sent) = published::ISOLATION_PINGS;
    Section {
        title: "H3: isolation",
        claim: "a pod of another network sees nothing of a ping and of a scan for all pods",
        outcome: Outcome::of(holds, evidence),
        method: "tcpdump in three pods: ping and pong of one network, in different clusters, and \
                 pung of another network with the same addresses, on the node of pong. ping pings \
                 pong, five times a second, and then scans the whole network as the paper does, \
                 with `nmap -sn -PE -T4`, but with more patience, so that no pod is missed that is \
                 busy; its addresses include pung's. At the end, as a control, \
                 another pod of pung's network pings pung: its recording does see packets. The \
                 paper's recordings hold frames of its controller's link discovery besides; in none \
                 of them is the third pod in another network.",
        table: rows(&[
            ["", "paper", "here"],
            [
                "pings answered, of as many sent",
                &format!("{answered} of {sent}"),
                &format!("{} of {}", ping.received, ping.sent),
            ],
            ["packets seen by ping, sent and received", "682", &all(&blue[0])],
            ["packets seen by pong", "682", &all(&blue[1])],
            [
                "packets received by an uninvolved pod, without the control",
                &format!("{} a minute, of link discovery", published::STRAY_FRAMES),
                &strays.to_string(),
            ],
            ["pings received by pung in the control", "–", &control.to_string()],
        ]),
        plot: "h3_isolation",
    }
}
