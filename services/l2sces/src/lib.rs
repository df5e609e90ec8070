//! The command line of l2sces: clusters, slices, networks and ports by way of the slice-manager,
//! certificates for all services, and what a Kubernetes cluster needs to join.
//!
//! Exit status: 0 done (and ready, or gone, unless not waited for); 1 refused or failed; 2 wrong
//! usage; 3 not ready, or not gone, in time.

mod args;
mod commands;
mod error;
mod kubernetes;
mod link;
mod manifest;
mod output;
mod progress;
mod resource;
mod session;
mod trace;
mod wait;

pub use args::Cli;

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Does what the command line asks for, and reports what went wrong on stderr.
pub fn run(cli: Cli) -> ExitCode {
    // Traces are exported on the one thread while the other ends.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let result = match runtime.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime.block_on(trace::traced(commands::run(cli))),
        Err(error) => Err(error::CliError::Failed(format!("cannot start: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = io::stderr().lock();
            for line in error.lines() {
                // Nobody is left to tell if stderr is gone.
                let _ = writeln!(stderr, "error: {line}");
            }
            error.exit_code()
        }
    }
}
