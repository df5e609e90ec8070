//! What the processes of a lab use: processor, memory, wake-ups.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, Unit};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// What a process has used since it was started.
#[derive(Clone, Copy, Default)]
struct Used {
    processor: Duration,
    wake_ups: u64,
}

/// What a process used over a time.
pub(crate) struct Usage {
    pub(crate) unit: Unit,
    /// How many processors were busy with it.
    pub(crate) cores: f64,
    /// Resident memory at the end, in MiB.
    pub(crate) memory: f64,
    /// How often a second a thread of it was woken.
    pub(crate) wake_ups: f64,
}

/// Does some work, and tells what every process of the lab used meanwhile.
pub(crate) async fn during<T>(
    lab: &Lab,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Vec<Usage>)> {
    let units: Vec<Unit> = lab.processes().into_iter().map(|process| process.spec.unit).collect();
    let pid = |unit: &Unit| lab.pid(unit).with_context(|| format!("{unit} does not run"));
    let start = Instant::now();
    let mut before = BTreeMap::new();
    for unit in &units {
        before.insert(unit.clone(), used(pid(unit)?, unit)?);
    }
    let done = work.await?;
    let mut usages = Vec::new();
    for unit in units {
        let pid = pid(&unit)?;
        let elapsed = start.elapsed().as_secs_f64();
        let now = used(pid, &unit)?;
        let then = before.remove(&unit).unwrap_or_default();
        usages.push(Usage {
            cores: now.processor.saturating_sub(then.processor).as_secs_f64() / elapsed,
            memory: memory(pid, &unit)?,
            wake_ups: now.wake_ups.saturating_sub(then.wake_ups) as f64 / elapsed,
            unit,
        });
    }
    Ok((done, usages))
}

/// What a process has used, with its children if it is Postgres: each connection has one.
fn used(pid: i32, unit: &Unit) -> Result<Used> {
    let mut used = used_alone(pid)?;
    if *unit == Unit::Postgres {
        for child in children(pid)? {
            // One that ends meanwhile is none of a service's, which keep their connections.
            if let Ok(more) = used_alone(child) {
                used.processor += more.processor;
                used.wake_ups += more.wake_ups;
            }
        }
    }
    Ok(used)
}

fn used_alone(pid: i32) -> Result<Used> {
    // The process's clock counts threads that have ended, too.
    let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
    let mut used = Used { processor: clock_gettime(clock)?.into(), wake_ups: 0 };
    for task in list(&process(pid).join("task"))? {
        // A thread may end at any time.
        if let Ok(status) = read(&task.join("status")) {
            used.wake_ups += field(&status, "voluntary_ctxt_switches:")?;
        }
    }
    Ok(used)
}

fn children(pid: i32) -> Result<Vec<i32>> {
    let path = process(pid).join("task").join(pid.to_string()).join("children");
    read(&path)?.split_whitespace().map(|child| Ok(child.parse()?)).collect()
}

/// Memory of a process, in MiB: resident; of Postgres, whose processes share most of theirs, in
/// proportion.
fn memory(pid: i32, unit: &Unit) -> Result<f64> {
    if *unit != Unit::Postgres {
        return Ok(field(&read(&process(pid).join("status"))?, "VmRSS:")? as f64 / 1024.0);
    }
    let mut kilobytes = 0;
    for pid in children(pid)?.into_iter().chain([pid]) {
        // A connection may end at any time.
        if let Ok(text) = read(&process(pid).join("smaps_rollup")) {
            kilobytes += field(&text, "Pss:")?;
        }
    }
    Ok(kilobytes as f64 / 1024.0)
}

/// The number after a name in a file of proc(5).
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| format!("no {name} in {text:?}"))?.parse()?)
}

fn process(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_processor_and_memory() {
        // Of this process: a new one may have next to no memory of its own until it has run a
        // while, and none in proportion when others run the same program.
        let pid = std::process::id().cast_signed();
        let before = used_alone(pid).unwrap().processor;
        let start = Instant::now();
        let has_worked = || used_alone(pid).unwrap().processor > before;
        while !has_worked() && start.elapsed() < Duration::from_secs(20) {}
        assert!(has_worked());
        for unit in [Unit::SliceManager, Unit::Postgres] {
            let mebibytes = memory(pid, &unit).unwrap();
            assert!(mebibytes > 0.1, "{mebibytes} MiB, read as of a {unit}");
        }
    }
}
