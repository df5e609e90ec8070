//! `cargo xtask test`: everything that must hold before a change is taken in.

mod room;

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result};
use l2sces_lab::{command, packages, require_root};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    demo,
    narrator::Narrator,
    paper, python,
    site::Compose,
    workspace::{self, Profile, cargo},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the stories of the whole system, or those whose names contain this
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    stories: Option<String>,
    /// Only a random walk of so many changes of a topology under traffic; shows its figures
    #[arg(long, value_name = "N", conflicts_with = "stories")]
    changes: Option<u32>,
    /// Which walk
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    require_root()?;
    let narrator = Narrator::new();
    workspace::ensure_packages(packages::LAB).await?;
    workspace::ensure_packages(packages::PROBES).await?;
    workspace::ensure_kubernetes().await?;
    let tools = Tools::ensure().await?;
    let _room = room::make();
    let is_everything = args.stories.is_none() && args.changes.is_none();
    if is_everything {
        narrator.chapter("Format");
        workspace::run(cargo()?.args(["fmt", "--all", "--check"])).await?;
        narrator.chapter("APIs");
        lint_apis(&tools).await?;
        narrator.chapter("Lints");
        let lint = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        workspace::run(cargo()?.args(lint)).await?;
    }
    narrator.chapter("Binaries, which the stories start");
    workspace::build(Profile::Dev).await?;
    let mut tally = Tally::default();
    let tests = |arguments: &[&str]| -> Result<Command> {
        let mut cargo = cargo()?;
        cargo.arg("test").args(arguments).env("PATH", tools.path());
        Ok(cargo)
    };
    if is_everything {
        narrator.chapter("Tests of the parts");
        let parts = ["--workspace", "--exclude", "integration-tests", "--no-fail-fast"];
        tally.add(&mut tests(&parts)?).await?;
    }
    narrator.chapter("Stories of the whole system");
    // Of the whole workspace: of one package alone, dependencies have other features and are built anew.
    let mut stories = tests(&["--workspace", "--exclude", "xtask", "--no-fail-fast"])?;
    for story in stories_by_name()? {
        stories.arg("--test").arg(story);
    }
    stories.args(args.stories.as_deref().filter(|filter| !filter.is_empty()));
    // One after the other: they look for lost frames, and each has the machine for itself.
    stories.args(["--", "--test-threads=1"]);
    if let Some(changes) = args.changes {
        stories = tests(&["--workspace", "--exclude", "xtask", "--test", "changes"])?;
        stories.args(["--", "--test-threads=1", "--nocapture"]);
        stories.env("L2SCES_CHANGES", changes.to_string());
        stories.env("L2SCES_SEED", args.seed.to_string());
    }
    tally.add(&mut stories).await?;
    if is_everything {
        narrator.chapter("The paper's experiments, tried out");
        tally.is_broken |= !paper::repeat(&paper::Args::smoke()).await?.all_hold();
        narrator.chapter("The containers of docker-compose.yml");
        match Compose::obstacle().await {
            Some(obstacle) => println!("skipped: {obstacle}"),
            None => {
                let status = demo::tell_in_containers(&narrator, false).await?;
                tally.is_broken |= status != ExitCode::SUCCESS;
            }
        }
    }
    for failure in &tally.failures {
        println!("\n{failure}");
    }
    println!("\n{tally}; finished in {:.2}s", narrator.elapsed());
    Ok(if tally.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the test programs that are stories.
fn stories_by_name() -> Result<Vec<OsString>> {
    let directory = workspace::root().join("integration-tests/tests");
    let mut names = Vec::new();
    for entry in directory.read_dir().with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().filter(|_| path.is_file()).map(OsStr::to_owned));
    }
    names.sort();
    Ok(names)
}

/// What is repeated of each test that fails, in lines.
const FAILURE_LINES: usize = 8;

/// Sum of the lines "test result: …" that test programs print.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Something went wrong without a failed test, as when it does not compile.
    is_broken: bool,
    /// What failed tests said first: it is far above the end of the output.
    failures: Vec<String>,
    /// How many more lines belong to the last of them.
    lines_to_keep: usize,
}

impl Tally {
    fn is_ok(&self) -> bool {
        self.failed == 0 && !self.is_broken && self.passed > 0
    }

    /// Runs a test command, showing what it prints, and counts its results.
    async fn add(&mut self, command: &mut Command) -> Result<()> {
        let line = workspace::describe(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{line}: cannot be started"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let failed_before = self.failed;
        while let Some(line) = lines.next_line().await? {
            println!("{line}");
            self.count(&line);
        }
        let status = child.wait().await?;
        self.is_broken |= !status.success() && self.failed == failed_before;
        Ok(())
    }

    fn count(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.failures.push(line.to_owned());
            self.lines_to_keep = FAILURE_LINES;
        } else if line.starts_with("stack backtrace:") || line == "failures:" {
            self.lines_to_keep = 0;
        } else if let (Some(failure), 1..) = (self.failures.last_mut(), self.lines_to_keep)
            && !line.is_empty()
        {
            self.lines_to_keep -= 1;
            *failure = format!("{failure}\n{line}");
        }
        let Some(results) = line.strip_prefix("test result: ") else { return };
        for part in results.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<u64>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "test result: {}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out",
            if self.is_ok() { "ok" } else { "FAILED" },
            self.passed,
            self.failed,
            self.ignored
        )
    }
}

async fn lint_apis(tools: &Tools) -> Result<()> {
    let buf = || {
        let mut buf = Command::new("buf");
        buf.current_dir(workspace::root()).env("PATH", tools.path()).kill_on_drop(true);
        buf
    };
    workspace::run(buf().args(["lint", "proto"])).await?;
    let mut main = command::command("git");
    main.current_dir(workspace::root());
    main.args(["rev-parse", "--verify", "--quiet", "main:proto/buf.yaml"]);
    // A clone of a single commit, as continuous integration makes, has no main to compare with.
    if command::output(&mut main).await?.status.success() {
        workspace::run(buf().args([
            "breaking",
            "proto",
            "--against",
            ".git#branch=main,subdir=proto",
        ]))
        .await?;
    } else {
        println!("no branch main to compare the APIs with");
    }
    Ok(())
}

/// Tools that Debian does not have: `buf`, and a Python that reads OTLP.
struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Installs them into a Python environment in the target directory.
    async fn ensure() -> Result<Self> {
        let packages = ["buf-bin", "grpcio", "opentelemetry-proto"];
        Ok(Self { directory: python::ensure_packages(&packages).await? })
    }

    /// The search path with the tools.
    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.directory.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_what_test_programs_print() {
        let mut tally = Tally::default();
        tally.count("running 3 tests");
        tally.count("test a ... ok");
        assert!(!tally.is_ok(), "no test at all is no success");
        tally.count("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s");
        tally.count("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 2.00s");
        assert!(tally.is_ok());
        assert_eq!((tally.passed, tally.ignored), (5, 1));
        tally.count("test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s");
        assert!(!tally.is_ok());
        assert!(
            tally.to_string().starts_with("test result: FAILED. 6 passed; 1 failed; 1 ignored;")
        );
    }

    #[test]
    fn repeats_what_failed_tests_said_first() {
        let mut tally = Tally::default();
        let printed = "failures:\n\n---- a::b stdout ----\n\nthread 'a::b' panicked at c.rs:1:2:\nno\n\
                       stack backtrace:\n   0: d\n\n---- e stdout ----\nError: not in time\n\n\n\
                       failures:\n    a::b\n    e\n\ntest result: FAILED. 0 passed; 2 failed";
        printed.lines().for_each(|line| tally.count(line));
        assert_eq!(
            tally.failures,
            [
                "---- a::b stdout ----\nthread 'a::b' panicked at c.rs:1:2:\nno",
                "---- e stdout ----\nError: not in time",
            ]
        );
    }
}
