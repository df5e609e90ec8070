//! The network plugin of a node: a container runtime runs it for every sandbox of a pod that comes or
//! goes, as the Container Network Interface says (CNI 1.1.0, and back to 0.3.0). It asks the node's
//! sps-agent on a local socket, and knows nothing itself.
//!
//! - `invocation`: what the runtime wants, from the environment.
//! - `configuration`: how, from the standard input.
//! - `verbs`: doing it.
//! - `agent`: the sps-agent.
//! - `outcome`: what the runtime is told.
//! - `install`: putting the plugin into a node.

mod agent;
mod configuration;
mod error;
mod install;
mod invocation;
mod outcome;
mod verbs;
mod version;

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    configuration::Configuration,
    error::{CniError, Code},
    install::{InstallArgs, UninstallArgs},
    invocation::{Invocation, Verb},
    version::Version,
};

/// The network plugin of a node (CNI): attaches pods to the networks of l2sces. Container runtimes call
/// it without arguments, with CNI_COMMAND in the environment.
#[derive(Parser)]
#[command(name = "l2sces-cni", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts the plugin and its configuration into a node
    Install(InstallArgs),
    /// Takes them out again
    Uninstall(UninstallArgs),
}

/// The program.
pub fn main() -> ExitCode {
    if env::var_os("CNI_COMMAND").is_some() {
        return plugin();
    }
    let done = match Cli::parse().command {
        Command::Install(args) => install::install(&args),
        Command::Uninstall(args) => install::uninstall(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _ = writeln!(io::stderr(), "l2sces-cni: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs as a plugin: what comes of it goes to the standard output, be it an error.
fn plugin() -> ExitCode {
    let mut spoken = Version::LATEST;
    let (text, code) = match answer(&mut spoken) {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (error.to_json(spoken), ExitCode::FAILURE),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Does what the runtime wants. `spoken` becomes the version that it speaks as soon as that is known.
fn answer(spoken: &mut Version) -> Result<String, CniError> {
    let verb = Verb::from_environment()?;
    if verb == Verb::Version {
        return Ok(outcome::versions());
    }
    let mut input = Vec::new();
    io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| CniError::new(Code::Io, format!("cannot read the input: {error}")))?;
    let configuration = Configuration::parse(&input)?;
    *spoken = configuration.version;
    let invocation = Invocation::from_environment(verb)?;
    // One thread does: a plugin waits for one answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CniError::new(Code::Io, format!("cannot wait: {error}")))?;
    runtime.block_on(verbs::run(&invocation, &configuration))
}
