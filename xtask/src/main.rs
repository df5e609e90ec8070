//! Tasks of the repository: demo, test, lab, bench, paper. `cargo xtask --help` explains them.

#![allow(clippy::print_stdout, reason = "these tasks talk to the person who runs them")]

mod base_images;
mod bench;
mod calls;
mod cli;
mod crds;
mod demo;
mod durations;
mod lab;
mod narrator;
mod networks;
mod paper;
mod python;
mod site;
mod test;
mod usage;
mod verdict;
mod workspace;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Tasks of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show two isolated networks across two clusters, every part real (root)
    Demo(demo::Args),
    /// Check format, lints and APIs, and run all tests (root)
    Test(test::Args),
    /// Bring up, look into and take down a lab that stays (root)
    #[command(subcommand)]
    Lab(lab::Command),
    /// Measure network set-up and flow-mods against OVN and the switch's own limit (root)
    Bench(bench::Args),
    /// Repeat the experiments of the paper on L2S-CES: report, plots and data in target/paper (root)
    Paper(paper::Args),
    /// Make the images that those of docker-compose.yml are made from, where none can be pulled (root)
    BaseImages,
    /// Write the manifests of the custom resources, k8s/crds, from their types
    Crds,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,sqlx=error")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    let result = match Args::parse().task {
        Task::Demo(args) => demo::run(args).await,
        Task::Test(args) => test::run(&args).await,
        Task::Lab(command) => lab::run(command).await,
        Task::Bench(args) => bench::run(&args).await,
        Task::Paper(args) => paper::run(&args).await,
        Task::BaseImages => base_images::run().await,
        Task::Crds => crds::run(),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            println!("\nFAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}
