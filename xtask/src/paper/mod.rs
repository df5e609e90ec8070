//! `cargo xtask paper`: the experiments of the paper on L2S-CES, repeated on a lab.

mod broadcast;
mod data;
mod isolation;
mod processor;
mod published;
mod report;
mod setup_time;
mod testbed;
mod timeline;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use l2sces_lab::{packages, require_root};
use tokio::process::Command;

use self::{processor::Windows, report::Section, timeline::Schedule};
use crate::{
    narrator::Narrator,
    python,
    verdict::Verdicts,
    workspace::{self, Profile},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this experiment; may be given several times
    #[arg(long)]
    only: Vec<Experiment>,
    /// H1: networks set up one after the other, each timed
    #[arg(long, default_value_t = 100)]
    runs: u16,
    /// H2: windows of a minute, as many quiet as busy
    #[arg(long, default_value_t = 5)]
    windows: u16,
    /// Measure debug builds: for trying the experiments out, the figures mean nothing
    #[arg(long)]
    dev: bool,
    /// Try everything out in two minutes: debug builds, few runs, short times. Speed is not judged,
    /// but isolation, broadcast and multicast are
    #[arg(long, conflicts_with_all = ["runs", "windows"])]
    smoke: bool,
}

impl Args {
    /// Try everything out.
    pub(crate) fn smoke() -> Self {
        Self { only: Vec::new(), runs: 0, windows: 0, dev: true, smoke: true }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Experiment {
    /// Network set-up time
    H1,
    /// Processors used, quiet and busy
    H2,
    /// Isolation under a ping and a scan
    H3,
    /// Broadcast and multicast
    H4,
}

impl Experiment {
    const ALL: [Self; 4] = [Self::H1, Self::H2, Self::H3, Self::H4];

    fn title(self) -> &'static str {
        match self {
            Self::H1 => "H1: network set-up",
            Self::H2 => "H2: processors, quiet and busy",
            Self::H3 => "H3: isolation under a ping and a scan",
            Self::H4 => "H4: broadcast and multicast",
        }
    }
}

/// How much of everything is done.
struct Scale {
    runs: u16,
    windows: Windows,
    schedule: Schedule,
    judges_speed: bool,
    profile: Profile,
}

impl Scale {
    fn of(args: &Args) -> Self {
        if args.smoke {
            return Self {
                runs: 3,
                windows: Windows { count: 1, length: Duration::from_secs(3) },
                schedule: Schedule::SMOKE,
                judges_speed: false,
                profile: Profile::Dev,
            };
        }
        Self {
            runs: args.runs,
            windows: Windows { count: args.windows, length: Duration::from_secs(60) },
            schedule: Schedule::PAPER,
            judges_speed: !args.dev,
            profile: if args.dev { Profile::Dev } else { Profile::Release },
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    Ok(repeat(args).await?.exit_code())
}

/// Carries the experiments out, and tells what holds.
pub(crate) async fn repeat(args: &Args) -> Result<Verdicts> {
    require_root()?;
    for packages in [packages::LAB, packages::PROBES, packages::PAPER] {
        workspace::ensure_packages(packages).await?;
    }
    let python = python::ensure_packages(&["matplotlib"]).await?.join("python");
    let scale = Scale::of(args);
    println!("Building (the first time takes some minutes) ...");
    let binaries = workspace::build(scale.profile).await?;
    let directory = workspace::target()?.join("paper");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;

    let narrator = Narrator::new();
    let load_before = load()?;
    let mut sections = Vec::new();
    let mut verdicts = Verdicts::default();
    for experiment in Experiment::ALL {
        if !args.only.is_empty() && !args.only.contains(&experiment) {
            continue;
        }
        narrator.chapter(experiment.title());
        let section = carry_out(experiment, &scale, &binaries, &directory, &narrator).await?;
        verdicts
            .record(&format!("{}: {}", section.title, section.claim), section.outcome.verdict());
        sections.push(section);
    }
    narrator.chapter("Plots and report");
    plot(&python, &directory, &sections).await?;
    report::write(&directory, &conditions(&scale, &load_before)?, &sections)?;
    println!("\n{verdicts}\n\nwritten to {}", directory.join("report.md").display());
    Ok(verdicts)
}

async fn carry_out(
    experiment: Experiment,
    scale: &Scale,
    binaries: &Path,
    directory: &Path,
    narrator: &Narrator,
) -> Result<Section> {
    let Scale { runs, windows, schedule, judges_speed, .. } = *scale;
    match experiment {
        Experiment::H1 => setup_time::run(binaries, directory, runs, judges_speed, narrator).await,
        Experiment::H2 => {
            processor::run(binaries, directory, windows, judges_speed, narrator).await
        }
        Experiment::H3 => isolation::run(binaries, directory, schedule, narrator).await,
        Experiment::H4 => broadcast::run(binaries, directory, schedule, narrator).await,
    }
}

/// Draws the plots from the tables.
async fn plot(python: &PathBuf, directory: &Path, sections: &[Section]) -> Result<()> {
    let script = workspace::root().join("xtask/paper/plot.py");
    let plots = sections.iter().map(|section| section.plot);
    workspace::run(Command::new(python).arg(script).arg(directory).args(plots)).await
}

/// On what it was measured.
fn conditions(scale: &Scale, load_before: &str) -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let build = match scale.profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    Ok(format!(
        "Measured with {build} builds on one machine with {processors} processors, on which all \
         clusters, pods and measuring programs ran; its load averages were {load_before} before, \
         and {} afterwards.",
        load()?
    ))
}

/// The load averages of the machine: processes that run or want to, over 1, 5 and 15 minutes.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(", "))
}
