//! The example of an emergency response: three tenants with the same addresses, each of which calls
//! its units by SIP and speaks to them by RTP, and hears nobody else.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use integration_tests::{LIMIT, Labels, World};
use l2sces_lab::{
    Namespace, Pod,
    probe::{MulticastReceiver, Sniffer, send_multicast},
};

const TENANTS: [&str; 3] = ["police", "fire", "medical"];
/// Who there is of each tenant, on which node and with which address, as in `ports.yaml`.
const ROLES: [(&str, &str, Ipv4Addr); 3] = [
    ("dispatch", "a2", Ipv4Addr::new(10, 20, 0, 11)),
    ("unit-1", "b1", Ipv4Addr::new(10, 20, 0, 21)),
    ("unit-2", "b2", Ipv4Addr::new(10, 20, 0, 22)),
];
/// Ports of SIP (RFC 3261), and of the media that the calls agree on.
const SIP: u16 = 5060;
const MEDIA: u16 = 40_000;
/// The group that a dispatcher speaks to when all units are to hear.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 94, 1, 1), 40_002);
/// How long a request waits for its answer before it is sent again (RFC 3261, timer T1).
const RETRANSMISSION: Duration = Duration::from_millis(500);
/// G.711: a packet of 160 bytes every 20 ms (RFC 3551).
const PACKET_INTERVAL: Duration = Duration::from_millis(20);
const SPEECH: usize = 160;
const PACKETS: u16 = 100;

/// A tenant's pods, in the order of [`ROLES`].
struct Tenant {
    name: &'static str,
    pods: Vec<Pod>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_hears_only_itself() -> Result<()> {
    let mut world = World::bare().await?;
    world.register_clusters(&Labels::new()).await?;
    let mut tenants = Vec::new();
    for name in TENANTS {
        let mut pods = Vec::new();
        for (role, node, _) in ROLES {
            let pod = world.lab.pod(node, &format!("{name}-{role}")).await?;
            pod.namespace().set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
            pods.push(pod);
        }
        tenants.push(Tenant { name, pods });
    }
    let [networks, ports] = manifests(&world, &tenants)?;
    cli(&world, &["apply", "-f", &networks]).await?;
    cli(&world, &["apply", "-f", &ports]).await?;

    let mut detectors = Vec::new();
    for tenant in &tenants {
        for pod in &tenant.pods {
            detectors.push((tenant.name, pod, Sniffer::start(pod.namespace(), None, |_| true)?));
        }
    }
    // All at once, as in an emergency.
    try_join_all(tenants.iter().map(Tenant::respond)).await?;
    for (tenant, pod, detector) in &detectors {
        let frames = detector.frames();
        let heard: BTreeSet<_> = TENANTS
            .into_iter()
            .filter(|tenant| frames.iter().any(|frame| is_of(frame, tenant)))
            .collect();
        ensure!(heard == BTreeSet::from([*tenant]), "{} heard {heard:?}", pod.name());
    }

    cli(&world, &["delete", "-f", &ports]).await?;
    cli(&world, &["delete", "-f", &networks]).await?;
    world.delete_everything().await?;
    world.nothing_left().await?;
    world.down().await
}

/// The paths of the example's manifests; in that of ports, the pods' namespaces are filled in.
fn manifests(world: &World, tenants: &[Tenant]) -> Result<[String; 2]> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/emergency");
    let pod = &tenants[0].pods[0];
    let path = pod.path();
    let pods = path.strip_suffix(pod.name()).context("a path that ends in the pod's name")?;
    let ports = fs::read_to_string(example.join("ports.yaml"))?.replace("PODS", pods);
    let filled_in = world.lab.layout().directory.join("ports.yaml");
    fs::write(&filled_in, ports)?;
    Ok([example.join("networks.yaml"), filled_in].map(|path| path.display().to_string()))
}

/// Runs the command line as a person would.
async fn cli(world: &World, arguments: &[&str]) -> Result<()> {
    let program = world.lab.layout().binaries.join("l2sces");
    let mut l2sces = world.lab.control().command(program)?;
    l2sces.envs(world.lab.environment()?).args(arguments);
    let output = l2sces_lab::command::output(&mut l2sces).await?;
    ensure!(output.status.success(), "l2sces {arguments:?}: {}", output.stderr);
    Ok(())
}

/// What is in everything that a tenant's members send.
fn mark(tenant: &str) -> String {
    format!("@{tenant}.example")
}

fn is_of(frame: &[u8], tenant: &str) -> bool {
    let mark = mark(tenant);
    frame.windows(mark.len()).any(|window| window == mark.as_bytes())
}

impl Tenant {
    /// The dispatcher calls each unit, and then speaks to all at once.
    async fn respond(&self) -> Result<()> {
        for (unit, (role, ..)) in ROLES.iter().enumerate().skip(1) {
            self.call(unit).await.with_context(|| format!("{} calls {role}", self.name))?;
        }
        self.speak_to_all().await.with_context(|| format!("{} speaks to all", self.name))
    }

    async fn call(&self, unit: usize) -> Result<()> {
        let [caller, callee] =
            [0, unit].map(|role| Phone::open(self.pods[role].namespace(), ROLES[role].2));
        let (caller, callee, mark) = (caller?, callee?, mark(self.name));
        let answering = thread::spawn({
            let mark = mark.clone();
            move || callee.answer(&mark)
        });
        let to = ROLES[unit].2;
        let heard = tokio::task::spawn_blocking(move || caller.call(to, &mark)).await??;
        let answered = answering.join();
        answered.map_err(|_| io::Error::other("the unit's phone panicked"))??;
        ensure!(heard == (0..PACKETS).collect::<Vec<_>>(), "of {PACKETS} packets came {heard:?}");
        Ok(())
    }

    async fn speak_to_all(&self) -> Result<()> {
        let mut marker = [b'.'; 16];
        let mark = mark(self.name);
        marker[..mark.len()].copy_from_slice(mark.as_bytes());
        let (group, port) = GROUP;
        let mut units = Vec::new();
        for (pod, (.., address)) in self.pods.iter().zip(ROLES).skip(1) {
            let unit = MulticastReceiver::join(pod.namespace(), address, group, port, marker)?;
            units.push(unit);
        }
        let dispatcher = self.pods[0].namespace();
        let packets = u32::from(PACKETS);
        send_multicast(dispatcher, ROLES[0].2, GROUP, marker, packets, PACKET_INTERVAL).await?;
        for unit in units {
            unit.wait_for(packets.into(), LIMIT).await?;
        }
        Ok(())
    }
}

/// Speaks SIP (RFC 3261) and RTP (RFC 3550), just enough of both for a call.
struct Phone {
    signalling: UdpSocket,
    media: UdpSocket,
}

impl Phone {
    fn open(namespace: &Namespace, address: Ipv4Addr) -> io::Result<Self> {
        let open = |port| {
            let socket = namespace.bind_udp(SocketAddr::from((address, port)))?;
            socket.set_read_timeout(Some(LIMIT))?;
            io::Result::Ok(socket)
        };
        Ok(Self { signalling: open(SIP)?, media: open(MEDIA)? })
    }

    /// Calls another phone, and returns the numbers of the packets of speech that come from it.
    fn call(&self, to: Ipv4Addr, mark: &str) -> io::Result<Vec<u16>> {
        let to = SocketAddr::from((to, SIP));
        self.ask(to, "INVITE", mark)?;
        self.signalling.send_to(message("ACK", mark).as_bytes(), to)?;
        let mut numbers = Vec::new();
        let mut packet = [0; 12 + SPEECH];
        while numbers.len() < usize::from(PACKETS) {
            self.media.recv(&mut packet)?;
            numbers.push(u16::from_be_bytes([packet[2], packet[3]]));
        }
        self.ask(to, "BYE", mark)?;
        Ok(numbers)
    }

    /// Sends a request again and again until it is answered, as a phone does over UDP.
    fn ask(&self, to: SocketAddr, method: &str, mark: &str) -> io::Result<()> {
        self.signalling.set_read_timeout(Some(RETRANSMISSION))?;
        let (start, mut answer) = (Instant::now(), [0; 1500]);
        while start.elapsed() < LIMIT {
            self.signalling.send_to(message(method, mark).as_bytes(), to)?;
            match self.signalling.recv(&mut answer) {
                Ok(length) if answer[..length].starts_with(b"SIP/2.0 200 OK") => return Ok(()),
                Ok(length) => return Err(io::Error::other(format!("{:?}", &answer[..length]))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{method} is not answered")))
    }

    /// Answers one call, and speaks.
    fn answer(&self, mark: &str) -> io::Result<()> {
        let mut request = [0; 1500];
        loop {
            let (length, from) = self.signalling.recv_from(&mut request)?;
            let is = |method: &[u8]| request[..length].starts_with(method);
            if is(b"ACK") {
                self.speak(SocketAddr::new(from.ip(), MEDIA), mark)?;
                continue;
            }
            self.signalling.send_to(message("SIP/2.0 200 OK", mark).as_bytes(), from)?;
            if is(b"BYE") {
                return Ok(());
            }
        }
    }

    fn speak(&self, to: SocketAddr, mark: &str) -> io::Result<()> {
        let speech: Vec<u8> = mark.bytes().cycle().take(SPEECH).collect();
        for number in 0..PACKETS {
            // Version 2, PCMU, the packet's number, its time in samples, the source.
            let time = u32::from(number) * u32::try_from(SPEECH).unwrap_or_default();
            let mut packet = vec![0x80, 0];
            packet.extend(number.to_be_bytes());
            packet.extend(time.to_be_bytes());
            packet.extend([0, 0, 0, 1]);
            packet.extend(&speech);
            self.media.send_to(&packet, to)?;
            thread::sleep(PACKET_INTERVAL);
        }
        Ok(())
    }
}

/// A message of a call: a request of some method, or an answer.
fn message(start: &str, mark: &str) -> String {
    let line = match start {
        "SIP/2.0 200 OK" => start.to_owned(),
        method => format!("{method} sip:unit{mark} SIP/2.0"),
    };
    format!("{line}\r\nFrom: <sip:dispatch{mark}>\r\nTo: <sip:unit{mark}>\r\n\r\n")
}
