//! Structured logs and OpenTelemetry traces.
//!
//! Logs go to stderr. Every span has a trace id, which log lines written in it show, so that the
//! logs of all services can be joined; spans are exported when OTEL_EXPORTER_OTLP_ENDPOINT (or
//! OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) is set, as OTLP over gRPC, sampled as OTEL_TRACES_SAMPLER
//! says.

mod format;
mod panic_log;
mod traces;

use std::io;

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, ParseError},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use format::{JsonFormat, TextFormat};

/// What is logged, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetryArgs {
    /// Form of log lines on stderr
    #[arg(long, env = "L2SCES_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace), or directives such as
    /// "info,l2sces_grpc=debug"
    #[arg(long, env = "L2SCES_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs and traces cannot be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is malformed.
    #[error("--log-filter: {0}")]
    Filter(#[from] ParseError),
    /// The exporter of traces cannot be made.
    #[error("cannot export traces: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// It was set up before.
    #[error(transparent)]
    SetUp(#[from] TryInitError),
}

/// Exports the spans that still wait when it is dropped: keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "spans are lost that are not exported when it is dropped"]
pub struct TelemetryGuard {
    provider: SdkTracerProvider,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "could not export the last spans");
        }
    }
}

/// Sets up logs and traces for the whole process, once. To be called inside a Tokio runtime with
/// more than one thread, which the exporter runs on.
///
/// # Errors
/// The filter or the OTEL_* variables are malformed, or it was called before.
pub fn init(service: &'static str, args: &TelemetryArgs) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&args.log_filter)?;
    let logs = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Text => logs.event_format(TextFormat::new()).boxed(),
        LogFormat::Json => {
            let fields = tracing_subscriber::fmt::format::JsonFields::new();
            logs.fmt_fields(fields).event_format(JsonFormat::new()).boxed()
        }
    };
    let provider = traces::provider(service)?;
    // Its own filter: the log filter must not break traces, and debug spans are of no use to others.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service))
        .with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(logs.with_filter(filter)).with(spans).try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    panic_log::install();
    Ok(TelemetryGuard { provider })
}
