//! What the processes of a lab use: processor, memory, wake-ups, statements, calls.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use l2sces_lab::{Lab, Unit};

/// The log filter of a lab whose calls are to be counted.
pub(super) const LOG_FILTER: &str = "warn,l2sces_grpc=trace";
/// What a server logs of every call that comes in, after the span that names the call.
const CALL: &str = "call begins";

/// What a process has used since it was started.
#[derive(Clone, Copy, Default)]
struct Used {
    processor: Duration,
    wake_ups: u64,
}

/// What a process used over a time.
pub(super) struct Usage {
    pub(super) unit: Unit,
    /// How many processors were busy with it.
    pub(super) cores: f64,
    /// Resident memory, in MiB.
    pub(super) memory: f64,
    /// How often a second a thread of it was woken.
    pub(super) wake_ups: f64,
    /// The statements that it ran, and how often.
    pub(super) statements: BTreeMap<String, i64>,
    /// The calls that it served, and how often.
    pub(super) calls: BTreeMap<String, u64>,
}

/// Watches the lab for a time in which nobody asks anything of it.
pub(super) async fn of_quiet(lab: &Lab, time: Duration) -> Result<Vec<Usage>> {
    let units: Vec<Unit> = lab.processes().into_iter().map(|process| process.spec.unit).collect();
    let pid = |unit: &Unit| lab.pid(unit).with_context(|| format!("{unit} does not run"));
    let statements_before = statements(lab).await?;
    let start = Instant::now();
    let mut before = BTreeMap::new();
    for unit in &units {
        let calls = calls(lab, unit)?;
        before.insert(unit.clone(), (used(pid(unit)?, unit)?, calls));
    }
    tokio::time::sleep(time).await;
    let mut usages = Vec::new();
    for unit in &units {
        let pid = pid(unit)?;
        let elapsed = start.elapsed().as_secs_f64();
        let now = used(pid, unit)?;
        let (then, calls_then) = before.remove(unit).unwrap_or_default();
        usages.push(Usage {
            unit: unit.clone(),
            cores: now.processor.saturating_sub(then.processor).as_secs_f64() / elapsed,
            memory: resident(pid)?,
            wake_ups: now.wake_ups.saturating_sub(then.wake_ups) as f64 / elapsed,
            statements: BTreeMap::new(),
            calls: more(calls(lab, unit)?, &calls_then),
        });
    }
    let mut statements = statements(lab).await?;
    for usage in &mut usages {
        let then = statements_before.get(&usage.unit).cloned().unwrap_or_default();
        usage.statements = more(statements.remove(&usage.unit).unwrap_or_default(), &then);
    }
    Ok(usages)
}

/// Counts that have grown, and by how much.
fn more<N: Copy + Default + PartialOrd + std::ops::Sub<Output = N>>(
    now: BTreeMap<String, N>,
    then: &BTreeMap<String, N>,
) -> BTreeMap<String, N> {
    let grown = now.into_iter().filter_map(|(name, count)| {
        let before = then.get(&name).copied().unwrap_or_default();
        (count > before).then(|| (name, count - before))
    });
    grown.collect()
}

async fn statements(lab: &Lab) -> Result<BTreeMap<Unit, BTreeMap<String, i64>>> {
    let mut statements: BTreeMap<Unit, BTreeMap<String, i64>> = BTreeMap::new();
    for statement in lab.statements().await? {
        let text = statement.text.split_whitespace().collect::<Vec<_>>().join(" ");
        *statements.entry(statement.unit).or_default().entry(text).or_default() += statement.runs;
    }
    Ok(statements)
}

/// The calls that a process has served, by method.
fn calls(lab: &Lab, unit: &Unit) -> Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for line in lab.log(unit)?.lines().filter(|line| line.contains(CALL)) {
        let method = line.split_once("rpc.method=").map_or("?", |(_, rest)| rest);
        let end = method.find(|c: char| !c.is_ascii_alphanumeric() && c != '"');
        let method = method[..end.unwrap_or(method.len())].trim_matches('"');
        *calls.entry(method.to_owned()).or_default() += 1;
    }
    Ok(calls)
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
    let mut used = Used::default();
    for task in list(&process(pid).join("task"))? {
        // A thread may end at any time.
        let (Ok(schedule), Ok(status)) =
            (read(&task.join("schedstat")), read(&task.join("status")))
        else {
            continue;
        };
        // Nanoseconds on a processor come first (Documentation/scheduler/sched-stats).
        let nanoseconds = schedule.split_whitespace().next().unwrap_or_default().parse()?;
        used.processor += Duration::from_nanos(nanoseconds);
        used.wake_ups += field(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(used)
}

fn children(pid: i32) -> Result<Vec<i32>> {
    let path = process(pid).join("task").join(pid.to_string()).join("children");
    read(&path)?.split_whitespace().map(|child| Ok(child.parse()?)).collect()
}

/// Resident memory of a process, in MiB.
fn resident(pid: i32) -> Result<f64> {
    Ok(field(&read(&process(pid).join("status"))?, "VmRSS:")? as f64 / 1024.0)
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
        let busy = ["-c", "while :; do :; done"];
        let mut busy = std::process::Command::new("sh").args(busy).spawn().unwrap();
        let pid = busy.id().cast_signed();
        let before = used_alone(pid).unwrap().processor;
        let start = Instant::now();
        let has_worked = || used_alone(pid).unwrap().processor > before;
        while !has_worked() && start.elapsed() < Duration::from_secs(20) {}
        let outcome = (has_worked(), resident(pid).unwrap() > 0.1);
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert_eq!(outcome, (true, true));
    }

    #[test]
    fn only_what_has_grown_is_more() {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let (then, now) = (counts(&[("a", 1), ("b", 2)]), counts(&[("a", 1), ("b", 5), ("c", 1)]));
        assert_eq!(more(now, &then), counts(&[("b", 3), ("c", 1)]));
    }
}
