//! A real Open vSwitch in a network namespace of its own.

use std::{
    ffi::OsStr,
    future::Future,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use l2sces_southbound::{ListenArgs, Listener, SwitchConnection, SwitchEvent};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use tokio::{
    runtime,
    time::{Instant, sleep, timeout},
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a network namespace that goes with it. Needs root.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let test = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
        run("ip", ["link", "set", "lo", "up"]);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(2 * PATIENCE, test()).await.expect("the test hangs") });
    };
    if let Err(panic) = thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a command that must succeed; returns what it prints.
pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(program: &str, args: I) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {text}{errors}", output.status);
    text
}

/// `ovsdb-server` and `ovs-vswitchd` with the userspace datapath and one bridge, `br0`, with the
/// datapath id 0x2a. Ends with the thread that started it, whatever ends that.
pub(crate) struct OpenVswitch {
    directory: TempDir,
    database: Child,
    switch: Child,
}

impl OpenVswitch {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ovs-").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run("ovsdb-tool", [OsStr::new("create"), path("conf.db").as_ref(), schema.as_ref()]);
        let remote = format!("--remote=punix:{}", path("db.sock").display());
        let database = daemon(
            &directory,
            "ovsdb-server",
            &[path("conf.db").to_str().unwrap(), &remote, &control(&directory, "ovsdb-server")],
        );
        eventually("the database answers", || async { path("db.sock").exists() }).await;
        let switch = switch(&directory);
        let this = Self { directory, database, switch };
        this.vsctl("--no-wait init");
        this.vsctl(
            "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow13 other_config:datapath-id=000000000000002a \
             other_config:disable-in-band=true",
        );
        eventually("the bridge is there", || async { this.management().exists() }).await;
        this
    }

    /// The management socket of the bridge.
    pub(crate) fn management(&self) -> PathBuf {
        self.directory.path().join("br0.mgmt")
    }

    /// Runs `ovs-vsctl`; waits until the switch has done it.
    pub(crate) fn vsctl(&self, args: &str) -> String {
        let database = format!("--db=unix:{}", self.directory.path().join("db.sock").display());
        run("ovs-vsctl", [&*database, "--timeout=30"].into_iter().chain(args.split_whitespace()))
    }

    /// Runs `ovs-ofctl -O OpenFlow13 COMMAND br0 ARGUMENT`.
    pub(crate) fn ofctl(&self, command: &str, argument: &str) -> String {
        let bridge = format!("unix:{}", self.management().display());
        let argument = Some(argument).filter(|argument| !argument.is_empty());
        let words = ["-O", "OpenFlow13"].into_iter().chain(command.split_whitespace());
        run("ovs-ofctl", words.chain([&*bridge]).chain(argument))
    }

    /// What the switch has logged.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.directory.path().join("ovs-vswitchd.log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Adds a port that needs nothing of the system.
    pub(crate) fn add_port(&self, name: &str, number: u32) {
        self.vsctl(&format!(
            "add-port br0 {name} -- set interface {name} type=internal ofport_request={number}"
        ));
    }

    /// Makes the switch connect to a controller.
    pub(crate) fn set_controller(&self, target: &str) {
        self.vsctl(&format!(
            "set-controller br0 {target} -- set controller br0 max_backoff=1000 \
             inactivity_probe=60000"
        ));
    }

    /// Kills and restarts `ovs-vswitchd`.
    pub(crate) async fn restart(&mut self) {
        self.switch.kill().unwrap();
        self.switch.wait().unwrap();
        std::fs::remove_file(self.management()).unwrap();
        self.switch = switch(&self.directory);
        eventually("the bridge is back", || async {
            tokio::net::UnixStream::connect(self.management()).await.is_ok()
        })
        .await;
    }
}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for process in [&mut self.switch, &mut self.database] {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn switch(directory: &TempDir) -> Child {
    let database = format!("unix:{}", directory.path().join("db.sock").display());
    daemon(directory, "ovs-vswitchd", &[&database, &control(directory, "ovs-vswitchd")])
}

fn control(directory: &TempDir, program: &str) -> String {
    format!("--unixctl={}", directory.path().join(format!("{program}.ctl")).display())
}

/// A process that is killed when the thread that starts it ends.
fn daemon(directory: &TempDir, program: &str, args: &[&str]) -> Child {
    let log = std::fs::File::create(directory.path().join(format!("{program}.log"))).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", program])
        .args(args)
        .env("OVS_RUNDIR", directory.path())
        .env("OVS_LOGDIR", directory.path())
        .env("OVS_DBDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A listener on a free port of the loopback interface, without TLS.
pub(crate) async fn listener() -> Listener {
    Listener::bind(ListenArgs::new((Ipv4Addr::LOCALHOST, 0).into(), None)).await.unwrap()
}

/// The next event that `wanted` makes something of.
pub(crate) async fn event<T>(
    switch: &mut SwitchConnection,
    mut wanted: impl FnMut(SwitchEvent) -> Option<T>,
) -> T {
    let find = async {
        loop {
            let event = switch.events.recv().await.expect("the events go on");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, find).await.expect("no such event")
}
