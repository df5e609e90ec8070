//! What each command does.

mod apply;
mod health;
mod join;
mod kinds;
mod leave;
mod link;
mod node_left;
mod pki;
mod read;
mod write;

use clap::CommandFactory;

use crate::{
    args::{Cli, ClusterCommand, Command, Format},
    error::CliError,
    output::Output,
    session::Session,
};

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<(), CliError> {
    let session = || Session::new(&cli.connection, cli.output);
    match cli.command {
        Command::Cluster(ClusterCommand::Join(args)) => {
            Box::pin(join::run(&cli.connection, cli.output, *args)).await
        }
        Command::Cluster(ClusterCommand::Leave(args)) => {
            Box::pin(leave::run(&cli.connection, cli.output, *args)).await
        }
        Command::Cluster(ClusterCommand::NodeLeft(args)) => Box::pin(node_left::run(&args)).await,
        Command::Cluster(ClusterCommand::Registered(command)) => {
            kinds::cluster(&mut session()?, *command).await
        }
        Command::Slice(command) => kinds::slice(&mut session()?, command).await,
        Command::Link(command) => link::run(&mut session()?, command).await,
        Command::Network(command) => kinds::network(&mut session()?, command).await,
        Command::Port(command) => kinds::port(&mut session()?, command).await,
        Command::Apply(args) => apply::apply(&mut session()?, args).await,
        Command::Delete(args) => apply::delete(&mut session()?, args).await,
        Command::Pki(command) => pki::run(&cli.connection, command).await,
        Command::Health => health::run(&cli.connection).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "l2sces", &mut script);
            Output::stdout(Format::Table).text(&String::from_utf8_lossy(&script))
        }
        Command::Version => {
            let version = concat!("l2sces ", env!("CARGO_PKG_VERSION"), "\n");
            Output::stdout(Format::Table).text(version)
        }
    }
}
