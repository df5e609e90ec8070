//! What tests with real Open vSwitches share, here and in the controller's tests: namespaces,
//! commands and processes.

use std::{
    ffi::OsStr,
    fs,
    future::Future,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, unshare};
use tokio::{
    net::UnixStream,
    runtime,
    time::{Instant, sleep, timeout},
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a network namespace that goes with it. Needs root.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    in_namespace_within(3 * PATIENCE, test);
}

/// The same for a test that may take longer.
pub(crate) fn in_namespace_within<F: Future<Output = ()>>(
    limit: Duration,
    test: impl FnOnce() -> F + Send + 'static,
) {
    let test = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
        run("ip", ["link", "set", "lo", "up"]);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(limit, test()).await.expect("the test hangs") });
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

/// Waits until something listens on a socket. That its file is there does not say so: it may be one
/// that a former process left, or not be listened on yet.
pub(crate) async fn listens(socket: &Path) {
    let what = format!("{} is listened on", socket.display());
    eventually(&what, || async { UnixStream::connect(socket).await.is_ok() }).await;
}

/// Writes a file that Open vSwitch may read at any moment: what it reads is whole.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = format!("{}.new", path.display());
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
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

/// A process of Open vSwitch that is killed when the thread that starts it ends. Its files and its
/// log, of this name, are in the directory.
pub(crate) fn daemon(directory: &Path, log: &str, words: &[&str]) -> Child {
    let log = fs::File::options().create(true).append(true).open(directory.join(log));
    let log = log.unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(words)
        .env("OVS_RUNDIR", directory)
        .env("OVS_LOGDIR", directory)
        .env("OVS_DBDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
}
