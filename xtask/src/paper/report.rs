//! The report: each hypothesis, whether it holds, and by which figures.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

/// What came of a hypothesis.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It holds, by this evidence.
    Holds(String),
    /// It does not.
    Fails(String),
    /// Its figures mean nothing: the experiment was only tried out.
    NotJudged(String),
}

impl Outcome {
    pub(super) fn of(holds: bool, evidence: String) -> Self {
        if holds { Self::Holds(evidence) } else { Self::Fails(evidence) }
    }

    /// The same, or no judgement.
    pub(super) fn judged(self, is_judged: bool) -> Self {
        match self {
            outcome if is_judged => outcome,
            Self::Holds(evidence) | Self::Fails(evidence) | Self::NotJudged(evidence) => {
                Self::NotJudged(evidence)
            }
        }
    }

    /// For the verdicts: what was not judged was at least measured.
    pub(super) fn verdict(&self) -> Result<String, String> {
        match self {
            Self::Holds(evidence) => Ok(evidence.clone()),
            Self::NotJudged(evidence) => Ok(format!("NOT JUDGED, only tried out: {evidence}")),
            Self::Fails(evidence) => Err(evidence.clone()),
        }
    }
}

/// What the report says of one hypothesis.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) claim: &'static str,
    pub(super) outcome: Outcome,
    /// What was measured, and how.
    pub(super) method: &'static str,
    /// Figures, the paper's, and ours; a head first.
    pub(super) table: Vec<[String; 3]>,
    /// Name of the plot's files, without their extensions.
    pub(super) plot: &'static str,
}

/// Owned rows of a table.
pub(super) fn rows(rows: &[[&str; 3]]) -> Vec<[String; 3]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

/// Writes `report.md`.
pub(super) fn write(directory: &Path, conditions: &str, sections: &[Section]) -> Result<()> {
    let path = directory.join("report.md");
    fs::write(&path, text(conditions, sections)?)
        .with_context(|| format!("write {}", path.display()))
}

fn text(conditions: &str, sections: &[Section]) -> Result<String> {
    let mut text = String::from(
        "# The paper's experiments, on l2sces\n\n\
         The experiments of \"Architecting Multi-Cluster Layer-2 Connectivity for Cloud-Native \
         Network Slicing\" (Future Internet 2026, 18(1), 39, doi:10.3390/fi18010039) on L2S-CES, \
         repeated by `cargo xtask paper`. The paper's figures are those of the data published with \
         it (github.com/Tjaarda1/paper-slices-2025); they were measured on other machines, so \
         compare orders, not digits.\n\n",
    );
    writeln!(text, "{conditions}\n")?;
    text += "| hypothesis | | figures |\n|---|---|---|\n";
    for Section { title, claim, outcome, .. } in sections {
        let (judgement, evidence) = judgement(outcome);
        writeln!(text, "| {title}: {claim} | **{judgement}** | {evidence} |")?;
    }
    for Section { title, claim, outcome, method, table, plot } in sections {
        let (judgement, evidence) = judgement(outcome);
        writeln!(text, "\n## {title}\n\nHypothesis: {claim}. **It {judgement}**: {evidence}.\n")?;
        writeln!(text, "{method}\n")?;
        for (number, [what, paper, ours]) in table.iter().enumerate() {
            writeln!(text, "| {what} | {paper} | {ours} |")?;
            if number == 0 {
                text += "|---|---|---|\n";
            }
        }
        writeln!(text, "\n![{title}]({plot}.svg)")?;
    }
    Ok(text)
}

fn judgement(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Holds(evidence) => ("holds", evidence),
        Outcome::Fails(evidence) => ("does not hold", evidence),
        Outcome::NotJudged(evidence) => ("was not judged, only tried out", evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(outcome: Outcome) -> Section {
        Section {
            title: "H9: pigs",
            claim: "pigs fly",
            outcome,
            method: "Pigs were watched.",
            table: rows(&[["", "paper", "here"], ["pigs", "1", "2"]]),
            plot: "h9",
        }
    }

    #[test]
    fn the_report_says_what_holds_and_what_does_not() {
        let told = |outcome| text("Alone.", &[section(outcome)]).unwrap();
        let held = told(Outcome::of(true, "they did".to_owned()));
        assert!(held.contains("**It holds**: they did.") && held.contains("| pigs | 1 | 2 |"));
        let failed = told(Outcome::of(false, "they did not".to_owned()));
        assert!(failed.contains("| **does not hold** | they did not |"), "{failed}");
    }

    #[test]
    fn what_was_only_tried_out_is_no_judgement() {
        for holds in [true, false] {
            let outcome = Outcome::of(holds, "figures".to_owned());
            assert!(outcome.verdict().is_ok() == holds);
            let outcome = outcome.judged(false);
            assert!(outcome.verdict().unwrap().starts_with("NOT JUDGED"));
        }
    }
}
