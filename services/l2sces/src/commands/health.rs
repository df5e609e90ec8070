use l2sces_grpc::Callee;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    args::{ConnectionArgs, Format},
    error::CliError,
    output::Output,
    session,
};

/// Asks a service whether it serves, once: whoever watches over it asks again.
pub(super) async fn run(connection: &ConnectionArgs) -> Result<(), CliError> {
    let (endpoint, channel) = session::dial_to(Callee::Anybody, connection)?;
    match HealthClient::new(channel).check(HealthCheckRequest::default()).await {
        Err(status) => Err(CliError::Call { endpoint, status: Box::new(status) }),
        Ok(answer) => match answer.get_ref().status() {
            ServingStatus::Serving => Output::stdout(Format::Table).text("serving\n"),
            other => Err(CliError::Failed(format!("{endpoint} says {}", other.as_str_name()))),
        },
    }
}
