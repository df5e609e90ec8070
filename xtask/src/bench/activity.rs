//! What the processes of a lab use and do while nobody asks anything of it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use l2sces_lab::{Lab, Unit};

use crate::{
    calls,
    usage::{self, Usage},
};

/// What a process used and did over a time.
pub(super) struct Activity {
    pub(super) usage: Usage,
    /// The statements that it ran, and how often.
    pub(super) statements: BTreeMap<String, i64>,
    /// The calls that it served, and how often.
    pub(super) calls: BTreeMap<String, u64>,
}

/// Watches the lab for a time in which nobody asks anything of it.
pub(super) async fn of_quiet(lab: &Lab, time: Duration) -> Result<Vec<Activity>> {
    let units: Vec<Unit> = lab.processes().into_iter().map(|process| process.spec.unit).collect();
    let statements_before = statements(lab).await?;
    let mut calls_before = BTreeMap::new();
    for unit in units {
        let calls = calls(lab, &unit)?;
        calls_before.insert(unit, calls);
    }
    let quiet = async {
        tokio::time::sleep(time).await;
        Ok(())
    };
    let ((), usages) = usage::during(lab, quiet).await?;
    let mut activities = Vec::new();
    for usage in usages {
        let then = calls_before.remove(&usage.unit).unwrap_or_default();
        let calls = more(calls(lab, &usage.unit)?, &then);
        activities.push(Activity { usage, statements: BTreeMap::new(), calls });
    }
    let mut statements = statements(lab).await?;
    for Activity { usage, statements: ran, .. } in &mut activities {
        let then = statements_before.get(&usage.unit).cloned().unwrap_or_default();
        *ran = more(statements.remove(&usage.unit).unwrap_or_default(), &then);
    }
    Ok(activities)
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

/// How many calls a process has served, by method.
fn calls(lab: &Lab, unit: &Unit) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for call in calls::served(lab, unit)? {
        *counts.entry(call.method).or_default() += 1;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_grown_is_more() {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let (then, now) = (counts(&[("a", 1), ("b", 2)]), counts(&[("a", 1), ("b", 5), ("c", 1)]));
        assert_eq!(more(now, &then), counts(&[("b", 3), ("c", 1)]));
    }
}
