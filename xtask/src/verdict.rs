//! What is claimed, and whether it holds.

use std::{fmt, process::ExitCode};

use comfy_table::{Table, presets};

/// What was claimed, and whether it held.
#[derive(Default)]
pub(crate) struct Verdicts {
    verdicts: Vec<Verdict>,
}

struct Verdict {
    claim: String,
    holds: bool,
    evidence: String,
}

impl Verdicts {
    /// Records a claim with the evidence for it, or against it.
    pub(crate) fn record(&mut self, claim: &str, result: Result<String, impl fmt::Display>) {
        let (holds, evidence) = match result {
            Ok(evidence) => (true, evidence),
            // With the causes, where there are any.
            Err(error) => (false, format!("{error:#}")),
        };
        self.verdicts.push(Verdict { claim: claim.to_owned(), holds, evidence });
    }

    /// Whether every claim held.
    pub(crate) fn all_hold(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }

    /// Success if every claim held.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.all_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for verdict in &self.verdicts {
            let mark = if verdict.holds { "ok" } else { "FAILED" };
            table.add_row([mark, &verdict.claim, &verdict.evidence]);
        }
        table.fmt(f)
    }
}
