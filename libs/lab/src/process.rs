//! Processes that run for as long as a lab does.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Gid, Pid, Uid, User, setgid, setgroups, setsid, setuid},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    unit::Unit,
};

/// How a process is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Which process.
    pub unit: Unit,
    /// Path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables, beside the inherited ones.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Name of the network namespace that it runs in; none: the lab owner's.
    pub namespace: Option<String>,
    /// Name of the user that it runs as; none: root.
    pub user: Option<String>,
    /// Where its output goes.
    pub log: PathBuf,
}

impl ProcessSpec {
    /// The same at the highest priority below real time (nice(1)).
    #[must_use]
    pub(crate) fn coming_first(self) -> Self {
        let command = ["-n".to_owned(), "-20".to_owned(), self.program.display().to_string()];
        let arguments = command.into_iter().chain(self.arguments).collect();
        Self { program: "/usr/bin/nice".into(), arguments, ..self }
    }
}

/// Says which process a pid means: pids are used again, the pair is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did (proc(5), `starttime`).
    pub start_time: u64,
}

impl ProcessIdentity {
    /// The identity of this process.
    pub fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// The identity of a process that runs.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let start_time = fields.nth(18)?.parse().ok()?;
        // A zombie does nothing any more: it only waits for its parent.
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start_time })
    }

    /// Whether the process still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal if it still runs.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// What is known of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// How it is started.
    #[serde(flatten)]
    pub spec: ProcessSpec,
    /// Who it is, if it has been started and not been stopped since.
    pub identity: Option<ProcessIdentity>,
}

struct Entry {
    record: ProcessRecord,
    /// Our child, to be reaped; none if another process started it.
    child: Option<Child>,
}

impl Entry {
    /// How the process ended, if it was ours and has.
    fn ended(&mut self) -> Option<String> {
        match self.child.as_mut()?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Reaps a process that has ended.
    fn forget(&mut self) {
        if let Some(mut child) = self.child.take() {
            // How it ended does not matter: it was told to.
            drop(child.wait());
        }
        self.record.identity = None;
    }

    fn is_alive(&mut self) -> bool {
        self.ended().is_none() && self.record.identity.is_some_and(ProcessIdentity::is_alive)
    }
}

/// The processes of a lab.
pub(crate) struct Supervisor {
    /// Whether the processes outlive us.
    survive: bool,
    /// The lab goes down: nothing is started any more.
    is_closed: AtomicBool,
    entries: Mutex<BTreeMap<Unit, Entry>>,
}

impl Supervisor {
    pub(crate) fn new(survive: bool, records: Vec<ProcessRecord>) -> Self {
        let entries = records
            .into_iter()
            .map(|record| (record.spec.unit.clone(), Entry { record, child: None }))
            .collect();
        Self { survive, is_closed: AtomicBool::new(false), entries: Mutex::new(entries) }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Unit, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of every process.
    pub(crate) fn records(&self) -> Vec<ProcessRecord> {
        self.entries().values().map(|entry| entry.record.clone()).collect()
    }

    /// Registers a process and starts it.
    pub(crate) async fn add(&self, spec: ProcessSpec) -> Result<(), LabError> {
        let unit = spec.unit.clone();
        let record = ProcessRecord { spec, identity: None };
        self.entries().insert(unit.clone(), Entry { record, child: None });
        self.start(&unit).await
    }

    /// Starts a registered process if it does not run.
    pub(crate) async fn start(&self, unit: &Unit) -> Result<(), LabError> {
        let spec = {
            let mut entries = self.entries();
            let entry = entries.get_mut(unit).ok_or_else(|| unknown(unit))?;
            if entry.is_alive() {
                return Ok(());
            }
            entry.record.spec.clone()
        };
        let mut child = spawn(spec, self.survive).await?;
        let identity = i32::try_from(child.id()).ok().and_then(ProcessIdentity::of);
        let mut entries = self.entries();
        if self.is_closed.load(Ordering::SeqCst) {
            // It has not done anything yet, and nobody else knows of it.
            drop(child.kill());
            drop(child.wait());
            return Err(LabError::Interrupted);
        }
        let entry = entries.get_mut(unit).ok_or_else(|| unknown(unit))?;
        entry.record.identity = identity;
        entry.child = Some(child);
        Ok(())
    }

    /// Sends a signal to a process and waits until it has ended.
    pub(crate) async fn end(&self, unit: &Unit, signal: Signal) -> Result<(), LabError> {
        let identity = {
            let entries = self.entries();
            entries.get(unit).ok_or_else(|| unknown(unit))?.record.identity
        };
        let Some(identity) = identity else { return Ok(()) };
        identity.signal(signal).context(|| format!("signal {unit}"))?;
        crate::wait::until(&format!("{unit} ends"), Duration::from_secs(20), || async {
            let mut entries = self.entries();
            let entry = entries.get_mut(unit)?;
            (!entry.is_alive()).then(|| entry.forget())
        })
        .await
    }

    /// The pid of a process that runs.
    pub(crate) fn pid(&self, unit: &Unit) -> Option<i32> {
        let mut entries = self.entries();
        let entry = entries.get_mut(unit)?;
        entry.is_alive().then_some(entry.record.identity?.pid)
    }

    /// An error if the process has ended.
    pub(crate) fn check_alive(&self, unit: &Unit) -> Result<(), LabError> {
        let mut entries = self.entries();
        let entry = entries.get_mut(unit).ok_or_else(|| unknown(unit))?;
        if entry.is_alive() {
            return Ok(());
        }
        let log = entry.record.spec.log.clone();
        Err(LabError::Ended {
            unit: unit.clone(),
            status: entry.ended().unwrap_or_else(|| "not running".to_owned()),
            tail: tail(&log),
            log,
        })
    }

    /// Ends every process: asks first, then kills. Synchronous, for use in `Drop`.
    pub(crate) fn end_all(&self) {
        let mut entries = self.entries();
        self.is_closed.store(true, Ordering::SeqCst);
        let alive = |entries: &mut BTreeMap<Unit, Entry>| -> Vec<(Unit, ProcessIdentity)> {
            entries
                .iter_mut()
                .filter_map(|(unit, entry)| Some((unit.clone(), entry.record.identity?, entry)))
                .filter_map(|(unit, identity, entry)| entry.is_alive().then_some((unit, identity)))
                .collect()
        };
        // What the processes hold is removed with the lab, so none of them needs to be let finish;
        // Postgres alone must be asked, for its children to go with it.
        for (unit, identity) in alive(&mut entries) {
            // A process that is gone already needs no signal, and no other failure is possible.
            drop(identity.signal(match unit {
                Unit::Postgres => Signal::SIGQUIT,
                _ => Signal::SIGKILL,
            }));
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if alive(&mut entries).is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        for (_, identity) in alive(&mut entries) {
            drop(identity.signal(Signal::SIGKILL));
        }
        entries.values_mut().for_each(Entry::forget);
    }
}

fn unknown(unit: &Unit) -> LabError {
    LabError::Unknown { kind: "process", name: unit.to_string() }
}

/// The last lines of a log file.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

type Job = (ProcessSpec, bool, oneshot::Sender<Result<Child, LabError>>);

/// Starts a process from a thread that lives as long as we do: the kernel sends the parent-death
/// signal when the *thread* that forked ends (prctl(2), PR_SET_PDEATHSIG), and threads of an
/// executor come and go.
async fn spawn(spec: ProcessSpec, survive: bool) -> Result<Child, LabError> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, mut queue) = mpsc::channel::<Job>(16);
        let thread = thread::Builder::new().name("lab-spawner".to_owned()).spawn(move || {
            while let Some((spec, survive, answer)) = queue.blocking_recv() {
                // Nobody waits for the answer any more: then nobody would supervise the child.
                if let Err(Ok(mut child)) = answer.send(spawn_here(&spec, survive)) {
                    drop(child.kill());
                    drop(child.wait());
                }
            }
        });
        drop(thread);
        jobs
    });
    let gone = || LabError::Io {
        what: "start a process".to_owned(),
        source: io::Error::other("there is no thread to start it"),
    };
    let (answer, answered) = oneshot::channel();
    spawner.send((spec, survive, answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

fn spawn_here(spec: &ProcessSpec, survive: bool) -> Result<Child, LabError> {
    let what = || format!("start {}", spec.unit);
    if !spec.program.exists() {
        return Err(LabError::NoBinary(spec.program.clone()));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log)
        .context(|| format!("open {}", spec.log.display()))?;
    let namespace = spec
        .namespace
        .as_deref()
        .map(|name| File::open(Namespace::named(name).path()))
        .transpose()
        .context(what)?;
    let user = spec.user.as_deref().map(user).transpose()?;
    let death_signal = match spec.unit {
        _ if survive => None,
        Unit::Postgres => Some(Signal::SIGQUIT),
        _ => Some(Signal::SIGKILL),
    };
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .envs(&spec.environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context(what)?)
        .stderr(log);
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe system calls are made.
    unsafe {
        command.pre_exec(move || {
            // A session of its own: a terminal's Ctrl-C is for the lab's owner, who then takes the
            // lab down in order.
            setsid()?;
            if let Some(namespace) = &namespace {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            }
            if let Some((uid, gid)) = user {
                setgroups(&[])?;
                setgid(gid)?;
                setuid(uid)?;
            }
            // Last, because a change of user clears it.
            if let Some(signal) = death_signal {
                prctl::set_pdeathsig(signal)?;
                if nix::unistd::getppid() != parent {
                    return Err(io::Error::other("the lab's owner is gone"));
                }
            }
            Ok(())
        });
    }
    command.spawn().context(what)
}

/// The ids of a user.
pub(crate) fn user(name: &str) -> Result<(Uid, Gid), LabError> {
    let user = User::from_name(name)
        .context(|| format!("look up user {name}"))?
        .ok_or_else(|| LabError::Unknown { kind: "user", name: name.to_owned() })?;
    Ok((user.uid, user.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_pid() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessIdentity { start_time: own.start_time + 1, ..own }.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = Instant::now();
        while ProcessIdentity::of(pid).is_some() {
            assert!(start.elapsed() < Duration::from_secs(20), "it never became a zombie");
            thread::yield_now();
        }
        child.wait().unwrap();
    }
}
