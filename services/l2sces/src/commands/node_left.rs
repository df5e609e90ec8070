use crate::{
    args::{Format, NodeLeftArgs},
    error::CliError,
    kubernetes::{Departure, connect, departure},
    output::Output,
};

/// Tells by success that a node has left.
pub(super) async fn run(args: &NodeLeftArgs) -> Result<(), CliError> {
    let client = connect(&args.kubeconfig).await?.client;
    let node = &args.node;
    match departure(&client, node, &args.daemon_set, args.timeout).await {
        Departure::Left(why) => {
            Output::stdout(Format::Table).line(&format!("node {node} has left: {why}"))
        }
        Departure::Stays => Err(CliError::Failed(format!("node {node} has not left"))),
        Departure::Unknown(why) => {
            Err(CliError::TimedOut(format!("nobody tells whether node {node} has left: {why}")))
        }
    }
}
