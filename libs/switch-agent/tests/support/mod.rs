//! A node with a real Open vSwitch (userspace datapath) in a network namespace of its own, and pods.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    ffi::OsStr,
    fs::File,
    future::Future,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use l2sces_proto::switch::v1 as api;
use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

/// How long to wait for what must happen; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A network namespace with a unique name; ends with this value.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    pub fn new(prefix: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("l2t-{prefix}-{}-{number}", std::process::id()) };
        namespace.make();
        namespace
    }

    pub fn make(&self) {
        run("ip", ["netns", "add", &self.name]);
    }

    /// Removes it now.
    pub fn remove(&self) {
        run("ip", ["netns", "del", &self.name]);
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Moves the calling thread there.
    pub fn enter(&self) {
        setns(File::open(self.path()).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Output of a program in the namespace, which must succeed.
    pub fn run<const N: usize>(&self, program: &str, arguments: [&str; N]) -> String {
        output(self.command(program).args(arguments))
    }

    /// `ip -details -json link show` of one interface.
    pub fn link(&self, interface: &str) -> Option<serde_json::Value> {
        let mut command = self.command("ip");
        let shown = command.args(["-d", "-j", "link", "show", "dev", interface]).output().unwrap();
        let links: Vec<serde_json::Value> = serde_json::from_slice(&shown.stdout).ok()?;
        links.into_iter().next()
    }

    /// Names of the interfaces in it.
    pub fn links(&self) -> Vec<String> {
        let links: Vec<serde_json::Value> =
            serde_json::from_str(&self.run("ip", ["-j", "link"])).unwrap();
        links.iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
    }

    /// The addresses of an interface, but link-local ones.
    pub fn addresses(&self, interface: &str) -> Vec<String> {
        let shown = self.run("ip", ["-j", "addr", "show", "dev", interface, "scope", "global"]);
        let links: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
        let address = |info: &serde_json::Value| {
            format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"])
        };
        let infos = links.iter().flat_map(|link| link["addr_info"].as_array().unwrap());
        let mut addresses: Vec<_> =
            infos.filter(|info| info["local"].is_string()).map(address).collect();
        addresses.sort();
        addresses
    }

    /// Whether at least one of a few pings is answered.
    pub fn pings(&self, address: &str) -> bool {
        let patience = PATIENCE.as_secs().to_string();
        let mut command = self.command("ping");
        let status = command
            .args(["-c", "5", "-i", "0.2", "-W", &patience, address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }

    /// Runs something on a thread in the namespace.
    pub fn within<R: Send>(&self, task: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                task()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut command = Command::new("ip");
        let _ = command.args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

/// Sends a megabyte by TCP from one pod to another.
pub fn transfer(from: &Namespace, to: &Namespace, address: IpAddr) {
    const LENGTH: usize = 1 << 20;
    let listener = to.within(|| TcpListener::bind(SocketAddr::new(address, 0)).unwrap());
    let server = listener.local_addr().unwrap();
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map(|_| received)
    });
    let mut stream = from.within(|| TcpStream::connect_timeout(&server, PATIENCE).unwrap());
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&vec![7; LENGTH]).unwrap();
    drop(stream);
    let received = receiver.join().unwrap().unwrap();
    assert!(received.len() == LENGTH && received.iter().all(|byte| *byte == 7));
}

/// A node with an Open vSwitch. The thread that starts it moves into its namespace.
pub struct Node {
    pub namespace: Namespace,
    pub directory: TempDir,
    /// ovsdb-server, then ovs-vswitchd.
    processes: Vec<Child>,
}

impl Node {
    pub fn start() -> Self {
        let namespace = Namespace::new("node");
        namespace.enter();
        run("ip", ["link", "set", "lo", "up"]);
        let directory = tempfile::tempdir().unwrap();
        let mut node = Self { namespace, directory, processes: Vec::new() };
        let database = node.path("conf.db");
        run("ovsdb-tool", ["create", &database, "/usr/share/openvswitch/vswitch.ovsschema"]);
        let remote = format!("--remote=punix:{}", node.path("db.sock"));
        node.spawn("ovsdb-server", &[&database, &remote]);
        let started = Instant::now();
        while UnixStream::connect(node.path("db.sock")).is_err() {
            assert!(started.elapsed() < PATIENCE, "ovsdb-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        node.vsctl(["--no-wait", "init"]);
        // As Open vSwitch's own start script does.
        node.vsctl(["--no-wait", "set", "Open_vSwitch", ".", "ovs-version=3.1.0"]);
        let remote = node.ovsdb();
        node.spawn("ovs-vswitchd", &[&remote]);
        node
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let process = Command::new(program)
            .args(arguments)
            .arg(format!("--unixctl={}", self.path(&format!("{program}.ctl"))))
            .arg(format!("--log-file={}", self.path(&format!("{program}.log"))))
            .arg("-vconsole:off")
            .env("OVS_RUNDIR", self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.processes.push(process);
    }

    /// Sends ovs-vswitchd a signal, such as `STOP`.
    pub fn signal_switch(&self, signal: &str) {
        run("kill", [&format!("-{signal}"), &self.processes[1].id().to_string()]);
    }

    pub fn path(&self, file: &str) -> String {
        self.directory.path().join(file).display().to_string()
    }

    pub fn ovsdb(&self) -> String {
        format!("unix:{}", self.path("db.sock"))
    }

    pub fn vsctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new("ovs-vsctl");
        output(command.arg(format!("--db={}", self.ovsdb())).arg("--timeout=20").args(arguments))
            .trim()
            .to_owned()
    }

    /// A column of a row, as ovs-vsctl shows it, without quotation marks.
    pub fn column(&self, table: &str, record: &str, column: &str) -> String {
        self.vsctl(["get", table, record, column]).replace('"', "")
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> usize {
        let listed =
            self.vsctl(["--format=csv", "--no-headings", "--columns=_uuid", "list", table]);
        listed.lines().count()
    }

    pub fn ofctl<const N: usize>(&self, arguments: [&str; N]) -> String {
        let mut command = Command::new("ovs-ofctl");
        output(
            command
                .env("OVS_RUNDIR", self.directory.path())
                .args(["-O", "OpenFlow13"])
                .args(arguments),
        )
    }

    /// Lets a bridge learn and forward by itself.
    pub fn forward_normally(&self, bridge: &str) {
        self.ofctl(["add-flow", bridge, "actions=NORMAL"]);
    }

    /// Runs a test's asynchronous part on this thread, which is in the node's namespace.
    pub fn block_on<R>(&self, test: impl Future<Output = R>) -> R {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn run<const N: usize>(program: &str, arguments: [&str; N]) -> String {
    output(Command::new(program).args(arguments))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A switch without links, whose controller nobody is.
pub fn switch() -> api::Switch {
    api::Switch {
        datapath_id: 42,
        controllers: vec!["tcp:127.0.0.1:6653".to_owned()],
        links: Vec::new(),
        trunk: None,
    }
}

/// The port `l2p-<number>` into a pod, with MAC address and IP address by the number.
pub fn port(number: u8, pod: &Namespace) -> api::Port {
    api::Port {
        interface_name: format!("l2p-{number}"),
        owner: format!("s/n/p{number}"),
        attachment: Some(api::port::Attachment::Namespace(api::NamespaceAttachment {
            path: pod.path().display().to_string(),
            interface_name: "eth1".to_owned(),
            mac: format!("02:00:00:00:00:{number:02x}"),
            address: format!("10.1.0.{number}/24"),
            mtu: 1400,
        })),
    }
}

/// The namespace attachment of a port.
pub fn namespace_of(port: &mut api::Port) -> &mut api::NamespaceAttachment {
    match &mut port.attachment {
        Some(api::port::Attachment::Namespace(namespace)) => namespace,
        other => panic!("{other:?}"),
    }
}
