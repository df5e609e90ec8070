//! Cables under real sockets: first between two hosts and nothing else, where what a cable does can
//! be measured, then between the nodes of a lab. Needs root and the packages of
//! `l2sces_lab::packages::LAB`.
//!
//! What is measured holds on a busy machine: a cable can only be late, so of many delays the lower
//! ones are looked at, and without impairment as well as with it. It is never early, and in some
//! round not late.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]
#![expect(clippy::print_stderr, reason = "what was measured is worth more than that it was enough")]

use std::{
    collections::BTreeSet,
    io::{self, IoSliceMut, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use l2sces_lab::{
    Lab, LabOptions, Namespace,
    cable::{Cable, CableEnd, CableSpec, Counters, Direction, Impairment, Loss, Nat, Rate},
    probe::Ping,
    wait,
};
use l2sces_model::MacAddress;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);
/// Bytes that UDP, IPv4 and Ethernet put in front of a payload.
const HEADERS: usize = 8 + 20 + 14;

/// Two hosts, each a namespace, whose interfaces end in a third.
struct Bench {
    hosts: [Namespace; 2],
    middle: Namespace,
}

impl Bench {
    async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let namespace = |part: &str| {
            Namespace::create(&format!("cable-{}-{number}-{part}", std::process::id())).unwrap()
        };
        let bench = Self { hosts: ["a", "b"].map(namespace), middle: namespace("m") };
        bench.middle.set_parameter("ipv6/conf/default/disable_ipv6", "1").unwrap();
        for (n, host) in bench.hosts.iter().enumerate() {
            let (own, other) = (n + 1, 2 - n);
            host.set_parameter("ipv6/conf/default/disable_ipv6", "1").unwrap();
            let name = host.name();
            let lines = format!("link add m{own} type veth peer name e netns {name}\n");
            bench.middle.ip_batch(&format!("{lines}link set m{own} up\n")).await.unwrap();
            // With the neighbour known, nothing but what a test sends is on the cable.
            let lines = format!(
                "link set e address 02:00:00:00:00:0{own} up\n\
                 address add 10.9.0.{own}/24 dev e\n\
                 neighbour add 10.9.0.{other} lladdr 02:00:00:00:00:0{other} dev e\n"
            );
            host.ip_batch(&lines).await.unwrap();
            // The cable takes frames as they are on a wire, with checksums and in one piece each.
            host.run(["ethtool", "-K", "e", "tx", "off", "gso", "off", "tso", "off"])
                .await
                .unwrap();
            // Until the kernel has noticed that both ends are up, it drops what is sent.
            wait::holds("the interface takes frames", PATIENCE, || async {
                let shown = host.ip(["link", "show", "dev", "e"]).await.unwrap();
                let is_up = shown.contains(" state UP ") && !shown.contains(" qdisc noop ");
                if is_up { Ok(()) } else { Err(shown) }
            })
            .await
            .unwrap();
        }
        bench
    }

    fn cable(&self, spec: &CableSpec) -> Cable {
        let end = |n: u8| CableEnd {
            interface: format!("m{n}"),
            station: MacAddress::new([2, 0, 0, 0, 0, n]),
        };
        Cable::plug(&self.middle, &[end(1), end(2)], spec).unwrap()
    }

    /// The first host's socket, and the second's to receive what it sends.
    fn sockets(&self) -> [UdpSocket; 2] {
        let [one, other] = [1, 2].map(|n| {
            let address = SocketAddr::from((Ipv4Addr::new(10, 9, 0, n), 7000));
            let socket = self.hosts[usize::from(n) - 1].bind_udp(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            // Room for all that a test sends: the receiver may have to wait for a processor.
            setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).unwrap();
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
            socket
        });
        one.connect("10.9.0.2:7000").unwrap();
        other.connect("10.9.0.1:7000").unwrap();
        [one, other]
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.middle]) {
            namespace.delete().unwrap();
        }
    }
}

fn forth(impairment: Impairment) -> CableSpec {
    CableSpec { seed: 7, forth: impairment, ..CableSpec::default() }
}

/// Waits until the counters of a cable are as wanted.
async fn counted(cable: &Cable, what: &str, are_wanted: impl Fn(&Counters) -> bool) -> Counters {
    let counters = wait::holds(what, PATIENCE, || async {
        let counters = cable.counters(Direction::Forth);
        if are_wanted(&counters) { Ok(counters) } else { Err(format!("{counters:?}")) }
    });
    let counters = counters.await.unwrap();
    assert_eq!(cable.overlooked(), 0);
    counters
}

/// Waits until `offered` frames have come to a cable, whatever becomes of them.
async fn taken(cable: &Cable, offered: u64) -> Counters {
    counted(cable, "every frame has come", |counters| counters.offered == offered).await
}

/// Waits until a cable knows what became of `offered` frames.
async fn settled(cable: &Cable, offered: u64) -> Counters {
    let are_settled =
        |counters: &Counters| counters.offered == offered && counters.under_way() == 0;
    counted(cable, "every frame has its fate", are_settled).await
}

/// Receives a datagram and returns when it came, by the kernel's clock: that the receiver has to wait
/// for a processor is no delay of the cable.
fn arrival(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<SystemTime> {
    let mut control = nix::cmsg_space!(nix::libc::timespec);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    Ok(SystemTime::UNIX_EPOCH + stamp.unwrap())
}

/// How long each of `count` datagrams takes, one after the other, in order of length.
fn delays([one, other]: &[UdpSocket; 2], count: u32) -> Vec<Duration> {
    let mut buffer = [0; 64];
    let mut delays: Vec<_> = (0..count)
        .map(|_| {
            let sent = SystemTime::now();
            one.send(&[0; 18]).unwrap();
            arrival(other, &mut buffer).unwrap().duration_since(sent).unwrap_or_default()
        })
        .collect();
    delays.sort_unstable();
    delays
}

/// The delay that a quarter of all does not exceed.
fn lower_quartile(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 4]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_what_was_asked_for() {
    let bench = Bench::new().await;
    let cable = bench.cable(&CableSpec::default());
    let sockets = bench.sockets();
    for delay in [MS, 10 * MS] {
        let tolerance = (MS / 5).max(delay / 10);
        wait::holds(&format!("{delay:?} is imposed"), PATIENCE, || async {
            // In turns, so that the machine is as busy with it as without.
            let (mut without, mut with) = (Vec::new(), Vec::new());
            for _ in 0..20 {
                cable.set(Direction::Forth, Impairment::default()).unwrap();
                without.extend(delays(&sockets, 10));
                cable.set(Direction::Forth, Impairment { delay, ..Default::default() }).unwrap();
                with.extend(delays(&sockets, 10));
            }
            without.sort_unstable();
            with.sort_unstable();
            let without = lower_quartile(&without);
            let imposed = lower_quartile(&with).saturating_sub(without);
            assert!(with[0] + tolerance >= delay, "{:?} instead of {delay:?}", with[0]);
            eprintln!("{delay:?} imposed as {imposed:?}, above {without:?} without");
            let is_exact = imposed.abs_diff(delay) <= tolerance;
            if is_exact { Ok(()) } else { Err(format!("{imposed:?}")) }
        })
        .await
        .unwrap();
    }
    assert_eq!(cable.counters(Direction::Back), Counters::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn jitter_spreads_the_delay_evenly() {
    let bench = Bench::new().await;
    let impairment = Impairment { delay: 10 * MS, jitter: 8 * MS, ..Default::default() };
    let sockets = bench.sockets();
    wait::holds("the delays are spread evenly", PATIENCE, || async {
        // A new one, for the same deviations in every round.
        let _cable = bench.cable(&forth(impairment));
        let sorted = delays(&sockets, 200);
        let quartiles = [50, 100, 150].map(|n| sorted[n].as_secs_f64() * 1e3);
        let state = format!("quartiles of 10 ms ± 8 ms: {quartiles:.2?} ms");
        eprintln!("{state}");
        let mut is_near = true;
        for (is, should) in quartiles.into_iter().zip([6.0, 10.0, 14.0]) {
            // Four standard deviations of a quartile of 200, and what the machine adds.
            assert!(is >= should - 2.3, "{is} ms instead of {should} ms");
            is_near &= is < should + 3.3;
        }
        if is_near { Ok(()) } else { Err(state) }
    })
    .await
    .unwrap();
}

/// The numbers of those of `count` datagrams that arrive.
async fn arrivals(bench: &Bench, spec: &CableSpec, count: u32) -> (BTreeSet<u32>, Counters) {
    let cable = bench.cable(spec);
    let [one, other] = bench.sockets();
    other.set_nonblocking(true).unwrap();
    let mut arrived = BTreeSet::new();
    let mut counters = Counters::default();
    // No more at a time than the receiver has room for.
    for batch in Vec::from_iter(0..count).chunks(100) {
        for number in batch {
            one.send(&number.to_be_bytes()).unwrap();
        }
        counters = settled(&cable, u64::from(batch[0]) + batch.len() as u64).await;
        wait::holds("what was carried arrives", PATIENCE, || {
            let mut buffer = [0; 4];
            while other.recv(&mut buffer).is_ok() {
                arrived.insert(u32::from_be_bytes(buffer));
            }
            let count = arrived.len() as u64;
            let state = format!("{count} of {counters:?}");
            async move { (count == counters.carried).then_some(()).ok_or(state) }
        })
        .await
        .unwrap();
    }
    (arrived, counters)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_loses_the_same_frames_again() {
    let bench = Bench::new().await;
    for loss in [
        Loss::Independent { probability: 0.1 },
        Loss::Bursts { probability: 0.1, mean_length: 4.0 },
    ] {
        let spec = forth(Impairment { loss, ..Default::default() });
        let (arrived, counters) = arrivals(&bench, &spec, 4_000).await;
        eprintln!("{loss:?}: {} of 4000 lost", counters.lost);
        assert_eq!(counters.lost, 4_000 - arrived.len() as u64);
        // More than four standard deviations, also of losses in bursts.
        assert!(counters.lost.abs_diff(400) < 200, "{counters:?}");
        assert_eq!(arrivals(&bench, &spec, 4_000).await, (arrived.clone(), counters));
        let (others, _) = arrivals(&bench, &CableSpec { seed: 8, ..spec }, 4_000).await;
        assert_ne!(others, arrived);
    }
}

/// Sends a thousand datagrams as fast as a cable takes them, and returns when each arrives.
async fn thousand_arrivals(
    cable: &Cable,
    [one, other]: &[UdpSocket; 2],
    datagram: &[u8],
) -> Vec<SystemTime> {
    let before = cable.counters(Direction::Forth).offered;
    for hundred in 1..=10 {
        for _ in 0..100 {
            one.send(datagram).unwrap();
        }
        taken(cable, before + 100 * hundred).await;
    }
    let counters = settled(cable, before + 1_000).await;
    assert_eq!(counters.carried, counters.offered);
    // The socket has room for all, and knows when they came.
    let mut buffer = vec![0; datagram.len()];
    (0..1_000).map(|_| arrival(other, &mut buffer).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_what_finds_no_room_dropped() {
    const SIZE: usize = 1_000;
    const BITS: usize = (SIZE + HEADERS) * 8;
    let bench = Bench::new().await;
    let rate = Rate { bits_per_second: 10_000_000, burst: 0, queue: 2 << 20 };
    let cable = bench.cable(&forth(Impairment { rate: Some(rate), ..Default::default() }));
    let sockets = bench.sockets();
    let frame_time = Duration::from_secs_f64(BITS as f64 / 1e7);
    let is_kept = |measured: f64| (measured / 1e7 - 1.0).abs() < 0.05;
    // The machine may be held up meanwhile, but not time and again.
    let mut measured = 0.0;
    for _ in 0..5 {
        let start = SystemTime::now();
        let arrivals = thousand_arrivals(&cable, &sockets, &[0; SIZE]).await;
        let all = arrivals[999].duration_since(start).unwrap();
        assert!(all >= 999 * frame_time, "{all:?}");
        // The median of how long half of them took, wherever the half begins: a cable that was late
        // once does not change it.
        let halves = arrivals.iter().zip(&arrivals[500..]);
        let mut took: Vec<_> =
            halves.map(|(from, to)| to.duration_since(*from).unwrap_or_default()).collect();
        took.sort_unstable();
        measured = (500 * BITS) as f64 / took[250].as_secs_f64();
        eprintln!("10 Mbit/s kept as {:.3} Mbit/s", measured / 1e6);
        if is_kept(measured) {
            break;
        }
    }
    assert!(is_kept(measured), "{measured} bit/s");
    // Two frames have room, the others come sooner than either can leave.
    let rate = Rate { bits_per_second: 80, burst: 0, queue: 3_000 };
    cable.set(Direction::Forth, Impairment { rate: Some(rate), ..Default::default() }).unwrap();
    let before = cable.counters(Direction::Forth).offered;
    for _ in 0..10 {
        sockets[0].send(&[0; SIZE]).unwrap();
    }
    assert_eq!(taken(&cable, before + 10).await.dropped_by_queue, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mtu_is_exact_and_nobody_is_told() {
    let bench = Bench::new().await;
    let cable = bench.cable(&forth(Impairment { mtu: Some(1_400), ..Default::default() }));
    let [one, other] = bench.sockets();
    one.send(&[1; 1_400 - 28]).unwrap();
    one.send(&[2; 1_400 - 28 + 1]).unwrap();
    let counters = settled(&cable, 2).await;
    assert_eq!((counters.carried, counters.dropped_by_mtu), (1, 1));
    let mut buffer = [0; 1_500];
    assert_eq!(other.recv(&mut buffer).unwrap(), 1_400 - 28);
    assert_eq!(cable.counters(Direction::Back).offered, 0);
    assert_eq!(one.take_error().unwrap().map(|error| error.to_string()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_cable_carries_nothing_until_it_heals() {
    let bench = Bench::new().await;
    let cable = bench.cable(&forth(Impairment { delay: PATIENCE / 2, ..Default::default() }));
    let [one, other] = bench.sockets();
    one.send(&[1]).unwrap();
    wait::until("the frame is under way", PATIENCE, || async {
        (cable.counters(Direction::Forth).under_way() == 1).then_some(())
    })
    .await
    .unwrap();
    cable.cut();
    one.send(&[2]).unwrap();
    assert_eq!(settled(&cable, 2).await.dropped_by_cut, 2);
    cable.heal();
    cable.set(Direction::Forth, Impairment::default()).unwrap();
    one.send(&[3]).unwrap();
    let mut buffer = [0];
    other.recv(&mut buffer).unwrap();
    assert_eq!(buffer, [3]);
    let refused = Impairment { jitter: MS, ..Default::default() };
    assert!(cable.set(Direction::Forth, refused).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_router_a_host_is_seen_at_one_address_and_port() {
    let bench = Bench::new().await;
    let [inside, outside] = [1, 101].map(|host| Ipv4Addr::new(10, 9, 0, host));
    let nat = Nat { inside, outside, timeout: PATIENCE };
    let cable = bench.cable(&CableSpec { nat: Some(nat), ..CableSpec::default() });
    let socket = |host: usize, address: &str| {
        let socket = bench.hosts[host].bind_udp(address.parse().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let host = socket(0, "10.9.0.1:7000");
    let [first, second] = ["10.9.0.2:7001", "10.9.0.2:7002"].map(|address| socket(1, address));
    let mut buffer = [0; 16];
    host.send_to(b"hello", "10.9.0.2:7001").unwrap();
    let (_, seen) = first.recv_from(&mut buffer).unwrap();
    assert_eq!(seen.ip(), outside);
    host.send_to(b"hello", "10.9.0.2:7002").unwrap();
    assert_eq!(second.recv_from(&mut buffer).unwrap().1, seen, "whomever it speaks to");
    // The second host finds the address by ARP, however long that takes, and its answer the first
    // host.
    for kind in ["mcast", "ucast"] {
        let requests = format!("ipv4/neigh/e/{kind}_solicit");
        bench.hosts[1].set_parameter(&requests, &PATIENCE.as_secs().to_string()).unwrap();
    }
    second.send_to(b"answer", seen).unwrap();
    let (length, from) = host.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.to_string().as_str()), (&b"answer"[..], "10.9.0.2:7002"));
    assert_eq!(cable.mappings().len(), 1);
    cable.forget_mappings();
    second.send_to(b"late", seen).unwrap();
    wait::until("the late answer is dropped", PATIENCE, || async {
        (cable.counters(Direction::Back).dropped_by_nat == 1).then_some(())
    })
    .await
    .unwrap();
    host.send_to(b"hello", "10.9.0.2:7001").unwrap();
    assert_ne!(first.recv_from(&mut buffer).unwrap().1, seen, "the router was switched on again");
}

/// Waits until the shortest of some round trips is in a range; none is ever below it.
async fn round_trip_is(lab: &Lab, from: &str, to: Ipv4Addr, range: &Range<Duration>) {
    let namespace = Namespace::named(&lab.node(from).unwrap().namespace);
    let ping = Ping { interval: 20 * MS, ..Ping::new(to, 10) };
    wait::holds(&format!("from {from} to {to} in {range:?}"), PATIENCE, || async {
        let report = ping.run(&namespace).await.unwrap();
        assert_eq!(report.duplicates, 0, "{from} to {to}");
        let shortest = report.shortest_round_trip.ok_or("no answer")?;
        eprintln!("{from} to {to}: {shortest:?}");
        assert!(shortest >= range.start, "{from} to {to}: {shortest:?}");
        if shortest < range.end { Ok(()) } else { Err(format!("{shortest:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_takes_the_place_of_one_path_of_a_lab() {
    let options = LabOptions { services: false, ..LabOptions::default() };
    let lab = Lab::up(&"a=a1*,a2,a3 b=b1*".parse().unwrap(), options).await.unwrap();
    let underlay = |node: &str| lab.node(node).unwrap().underlay_address;
    let wan = |node: &str| lab.node(node).unwrap().gateway.as_ref().unwrap().wan_address;
    let spec = CableSpec::symmetric(1, Impairment { delay: 50 * MS, ..Default::default() });
    let cable = lab.cable("a1", "a2", spec).await.unwrap();
    let across = lab.cable("a1", "b1", spec).await.unwrap();
    let second = lab.cable("a1", "a3", spec).await.unwrap();
    let [slow, fast] = [100 * MS..150 * MS, Duration::ZERO..50 * MS];
    for (from, to, range) in [
        ("a1", underlay("a2"), &slow),
        ("a2", underlay("a1"), &slow),
        ("a1", underlay("a3"), &slow),
        // Both have cables, but none between them.
        ("a2", underlay("a3"), &fast),
        ("a1", wan("b1"), &slow),
    ] {
        round_trip_is(&lab, from, to, range).await;
    }
    assert!(lab.cable("a2", "a1", spec).await.is_err(), "there is one");
    assert!(lab.cable("a2", "b1", spec).await.is_err(), "a2 is no gateway");
    assert!(lab.cable("a2", "a2", spec).await.is_err());
    cable.cut();
    let ping = Ping { patience: Duration::from_secs(1), ..Ping::new(underlay("a2"), 3) };
    let report = ping.run(&Namespace::named(&lab.node("a1").unwrap().namespace)).await.unwrap();
    assert_eq!(report.received, 0, "{report:?}");
    round_trip_is(&lab, "a1", underlay("a3"), &slow).await;
    // Without cables the paths are again what they were.
    for cable in [cable, across, second] {
        tokio::task::spawn_blocking(move || drop(cable)).await.unwrap();
    }
    for (from, to) in [("a1", underlay("a2")), ("a2", underlay("a3")), ("a1", wan("b1"))] {
        round_trip_is(&lab, from, to, &fast).await;
    }
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_between_nodes_gets_the_rate_of_their_cable() {
    const PART: usize = 125_000;
    // A segment has 1,448 bytes in a frame of 1,514.
    const EXPECTED: f64 = 2e7 * 1_448.0 / 1_514.0;
    let is_expected = |measured: f64| (measured / EXPECTED - 1.0).abs() < 0.15;
    let options = LabOptions { services: false, ..LabOptions::default() };
    let lab = Lab::up(&"a=a1,a2".parse().unwrap(), options).await.unwrap();
    let rate = Rate { bits_per_second: 20_000_000, burst: 0, queue: 256 << 10 };
    let impairment =
        Impairment { delay: 2 * MS, rate: Some(rate), mtu: Some(1_500), ..Default::default() };
    let cable = lab.cable("a1", "a2", CableSpec::symmetric(1, impairment)).await.unwrap();
    let [a1, a2] = ["a1", "a2"].map(|node| lab.node(node).unwrap().clone());
    let address = SocketAddr::from((a2.underlay_address, 7000));
    let listener =
        Namespace::named(&a2.namespace).enter(move || TcpListener::bind(address)).unwrap();
    let start = Instant::now();
    let receiver = std::thread::spawn(move || -> io::Result<f64> {
        let mut stream = listener.accept()?.0;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut part = vec![0; PART];
        let mut times = Vec::new();
        loop {
            let begin = Instant::now();
            stream.read_exact(&mut part)?;
            times.push(begin.elapsed());
            let all = (times.len() * PART * 8) as f64 / start.elapsed().as_secs_f64();
            assert!(all < 1.01 * EXPECTED, "{all} instead of {EXPECTED} bit/s");
            // The stream finds its pace, and finds it again after the machine was held up. The median
            // is the same though some parts were.
            let Some(last) = times.last_chunk::<20>() else { continue };
            let mut last = *last;
            last.sort_unstable();
            let measured = (PART * 8) as f64 / last[10].as_secs_f64();
            if is_expected(measured) || start.elapsed() > PATIENCE {
                return Ok(measured);
            }
        }
    });
    let mut stream = Namespace::named(&a1.namespace).connect(address).await.unwrap();
    // Until the receiver has seen enough.
    let data = vec![0; PART];
    let sent = async { while stream.write_all(&data).await.is_ok() {} };
    tokio::time::timeout(2 * PATIENCE, sent).await.unwrap();
    let received = tokio::task::spawn_blocking(|| receiver.join().unwrap()).await.unwrap();
    let measured = received.unwrap();
    let counters = cable.counters(Direction::Forth);
    eprintln!("20 Mbit/s give a stream {:.2} Mbit/s; {counters:?}", measured / 1e6);
    assert!(is_expected(measured), "{measured} instead of {EXPECTED} bit/s");
    assert_eq!(counters.dropped_by_mtu, 0, "frames come as they would be on a wire");
    assert_eq!(cable.overlooked(), 0);
}
