//! The trace of a command.

use std::env;

use l2sces_trace::TraceContext;
use tracing::{Instrument, field::Empty, info_span};

use crate::error::CliError;

/// What the environment says of the span that a command is to be a child of, as OpenTelemetry has it:
/// so that several commands can be one trace.
const TRACEPARENT: &str = "TRACEPARENT";

/// Carries out a command in a span, which is exported if the OTEL_* variables say where to.
pub(crate) async fn traced(
    command: impl Future<Output = Result<(), CliError>>,
) -> Result<(), CliError> {
    let _exported = l2sces_telemetry::init_traces("l2sces")
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let span = info_span!(
        "l2sces",
        process.command_line = env::args().collect::<Vec<_>>().join(" "),
        otel.status_code = Empty,
    );
    let parent = env::var(TRACEPARENT).ok();
    TraceContext::set_parent(parent.as_deref().and_then(TraceContext::received), &span);
    let result = Box::pin(command).instrument(span.clone()).await;
    if matches!(&result, Err(error) if !matches!(error, CliError::OutputClosed)) {
        span.record("otel.status_code", "ERROR");
    }
    result
}
