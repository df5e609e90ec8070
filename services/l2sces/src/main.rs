//! The command line of l2sces.

use std::process::ExitCode;

use clap::Parser;
use l2sces::Cli;

fn main() -> ExitCode {
    l2sces::run(Cli::parse())
}
