//! Taking a lab down, and seeing that nothing is left.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    error::{Context, LabError},
    kubernetes::cgroups,
    layout::Layout,
    namespace::Namespace,
    process::{ProcessIdentity, Supervisor},
    record::{self, Record},
};

/// Where labs keep their state. Not the temporary directory of the environment: paths of Unix
/// sockets have at most 107 bytes.
pub(crate) const STATE_ROOT: &str = "/tmp";

/// State directory of the lab with an id.
pub(crate) fn state_directory(id: &str) -> PathBuf {
    Path::new(STATE_ROOT).join(format!("l2s-{id}"))
}

/// How long removing may take; after that, what is left is an error. The kernel takes its time to end the
/// containers of a node, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes everything: processes, namespaces, files. Goes round until nothing is left, because
/// whoever was busy with the lab when it was interrupted may still be making something.
pub(crate) fn remove(
    layout: &Layout,
    link: Option<&Path>,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    let start = Instant::now();
    loop {
        supervisor.end_all();
        let result = remove_once(layout, link);
        let prefix = layout.prefix();
        if Namespace::list(&prefix).is_empty()
            && cgroups::list(&prefix).is_empty()
            && !layout.directory.exists()
        {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return result.and(Err(LabError::Residue(residue(&layout.id))));
        }
        thread::sleep(PAUSE);
    }
}

/// Goes on after an error and returns the first.
fn remove_once(layout: &Layout, link: Option<&Path>) -> Result<(), LabError> {
    end_inhabitants(layout);
    let mut result = Ok(());
    for name in Namespace::list(&layout.prefix()) {
        result = result.and(Namespace::named(&name).delete());
    }
    for group in cgroups::list(&layout.prefix()) {
        result = result.and(cgroups::remove(&group));
    }
    if let Some(link) = link {
        result = result.and(gone(fs::remove_file(link), link));
        // The directory was made for the link, and may have come to serve others too.
        drop(link.parent().map(fs::remove_dir));
    }
    result.and(gone(fs::remove_dir_all(&layout.directory), &layout.directory))
}

/// Takes something that is not there for removed.
fn gone(removed: io::Result<()>, path: &Path) -> Result<(), LabError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
    .context(|| format!("remove {}", path.display()))
}

/// Ends what people and tests left running in the namespaces, and our own children that work on the
/// lab's files, such as initdb.
fn end_inhabitants(layout: &Layout) {
    let start = Instant::now();
    let own = ProcessIdentity::own().map(|own| own.pid);
    loop {
        let children = mentioning(&layout.directory).filter(|pid| parent(*pid) == own);
        let targets: Vec<_> = inhabitants(&layout.prefix()).chain(children).collect();
        if targets.is_empty() || start.elapsed() > PATIENCE {
            return;
        }
        for process in targets.into_iter().filter_map(ProcessIdentity::of) {
            // One that has just ended by itself is as good; anything else is reported as residue.
            drop(process.signal(Signal::SIGKILL));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processes in namespaces whose names begin with `prefix`.
fn inhabitants(prefix: &str) -> impl Iterator<Item = i32> {
    let namespaces: HashSet<_> = Namespace::list(prefix)
        .iter()
        .filter_map(|name| inode(Namespace::named(name).path()))
        .collect();
    running().filter(move |pid| {
        inode(Path::new(&format!("/proc/{pid}/ns/net")))
            .is_some_and(|inode| namespaces.contains(&inode))
    })
}

/// The processes that were started with a path below a directory.
fn mentioning(directory: &Path) -> impl Iterator<Item = i32> {
    let directory = directory.display().to_string();
    running().filter(move |pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&directory))
    })
}

/// The parent of a process.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The processes that run, without those that only wait for their parents.
fn running() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| ProcessIdentity::of(*pid).is_some())
}

/// What is there of the lab with an id: namespaces, control groups, directories, and processes that run in its
/// namespaces or were started with a path of it. Nothing, once it has been taken down.
pub fn residue(id: &str) -> Vec<String> {
    let prefix = format!("l2s-{id}-");
    let directory = state_directory(id);
    let mut residue: Vec<_> =
        Namespace::list(&prefix).iter().map(|name| format!("namespace {name}")).collect();
    let groups = cgroups::list(&prefix);
    residue.extend(groups.iter().map(|group| format!("control group {}", group.display())));
    if directory.exists() {
        residue.push(format!("directory {}", directory.display()));
    }
    let own = ProcessIdentity::own().map(|own| own.pid);
    let started_with_path = mentioning(&directory).filter(|pid| Some(*pid) != own);
    let pids: BTreeSet<_> = inhabitants(&prefix).chain(started_with_path).collect();
    residue.extend(pids.into_iter().map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim())
    }));
    residue
}

/// Takes down every lab that was to end with its owner, who was killed before it could do so.
pub(crate) fn reap_abandoned() {
    for entry in fs::read_dir(STATE_ROOT).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with("l2s-") {
            continue;
        }
        let Ok(record) = Record::read(&entry.path().join(record::FILE)) else { continue };
        if !record.is_abandoned() {
            continue;
        }
        let id = record.layout.id.clone();
        let supervisor = Supervisor::new(true, record.processes);
        match remove(&record.layout, record.link.as_deref(), &supervisor) {
            Ok(()) => tracing::info!(lab = id, "removed an abandoned lab"),
            Err(error) => tracing::warn!(lab = id, %error, "an abandoned lab cannot be removed"),
        }
    }
}
