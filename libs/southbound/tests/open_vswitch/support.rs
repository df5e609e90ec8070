//! A real Open vSwitch in a network namespace of its own.

use std::{ffi::OsStr, net::Ipv4Addr, path::PathBuf, process::Child};

use l2sces_southbound::{ListenArgs, Listener, SwitchConnection, SwitchEvent};
use tempfile::TempDir;
use tokio::time::timeout;

pub(crate) use crate::process::{PATIENCE, eventually, in_namespace, run};
use crate::process::{daemon, listens};

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
            directory.path(),
            "ovsdb-server.log",
            &[
                "ovsdb-server",
                path("conf.db").to_str().unwrap(),
                &remote,
                &control(&directory, "ovsdb-server"),
            ],
        );
        listens(&path("db.sock")).await;
        let switch = switch(&directory);
        let this = Self { directory, database, switch };
        this.vsctl("--no-wait init");
        this.vsctl(
            "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow13 other_config:datapath-id=000000000000002a \
             other_config:disable-in-band=true",
        );
        listens(&this.management()).await;
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
        listens(&self.management()).await;
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
    let words = ["ovs-vswitchd", &database, &control(directory, "ovs-vswitchd")];
    daemon(directory.path(), "ovs-vswitchd.log", &words)
}

fn control(directory: &TempDir, program: &str) -> String {
    format!("--unixctl={}", directory.path().join(format!("{program}.ctl")).display())
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
