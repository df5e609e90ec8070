//! Structured logs, OpenTelemetry traces and Prometheus metrics.
//!
//! Logs go to stderr. Every span has a trace id, which log lines written in it show, so that the
//! logs of all services can be joined; spans are exported when OTEL_EXPORTER_OTLP_ENDPOINT (or
//! OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) is set, as OTLP over gRPC, sampled as OTEL_TRACES_SAMPLER
//! says. Metrics are served to Prometheus where --metrics-listen says.

mod collect;
mod endpoint;
mod format;
mod metrics;
mod panic_log;
mod traces;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
};

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Tracer},
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, ParseError, dynamic_filter_fn},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::{SubscriberInitExt, TryInitError},
};

pub use collect::{Collector, Reading, collect};
pub use metrics::MetricsError;

use format::{JsonFormat, TextFormat};

/// What is logged, and how, and where metrics are served.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetryArgs {
    /// Form of log lines on stderr
    #[arg(long, env = "L2SCES_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace), or directives such as
    /// "info,l2sces_grpc=debug"
    #[arg(long, env = "L2SCES_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
    /// Where metrics are served to Prometheus, at /metrics over plain HTTP and to anybody; they are
    /// not measured unless this is set
    #[arg(long, env = "L2SCES_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs, traces and metrics cannot be set up.
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
    /// Nothing can be measured.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The address of metrics is in use, or is none of this host's.
    #[error("--metrics-listen: cannot listen on {address}: {source}")]
    MetricsListen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Exports the spans that still wait when it is dropped, and ends the endpoint of metrics: keep it
/// until the end of `main`, so that the last things a service does are measured too.
#[derive(Debug)]
#[must_use = "spans are lost that are not exported when it is dropped"]
pub struct TelemetryGuard {
    provider: SdkTracerProvider,
    metrics: Option<MetricsEndpoint>,
}

/// Where metrics are served, until it is dropped.
#[derive(Debug)]
struct MetricsEndpoint {
    address: SocketAddr,
    _stop: DropGuard,
}

impl TelemetryGuard {
    /// Where metrics are served: with the port that the system chose, if it was asked to.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|endpoint| endpoint.address)
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "could not export the last spans");
        }
    }
}

/// Sets up logs, traces and metrics for the whole process, once. To be called inside a Tokio runtime
/// with more than one thread, which the exporter runs on.
///
/// # Errors
/// The filter or the OTEL_* variables are malformed, the address of metrics cannot be used, or it was
/// called before.
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
    let logs = logs.with_filter(filter);
    tracing_subscriber::registry().with(logs).with(spans(service, &provider)).try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    panic_log::install();
    let metrics = args.metrics_listen.map(|address| serve_metrics(service, address)).transpose()?;
    Ok(TelemetryGuard { provider, metrics })
}

/// Sets up traces for the whole process, once, and nothing else: for a program whose output is for
/// people. To be called where [`init`] may be.
///
/// # Errors
/// The OTEL_* variables are malformed, or it was set up before.
pub fn init_traces(service: &'static str) -> Result<TelemetryGuard, TelemetryError> {
    let provider = traces::provider(service)?;
    tracing_subscriber::registry().with(spans(service, &provider)).try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(TelemetryGuard { provider, metrics: None })
}

/// Makes spans. With a filter of its own: that of logs must not break traces, and debug spans are of
/// no use to others.
///
/// The filter is asked about every span and event anew. Otherwise one would be lost here and in the
/// logs whenever somebody has asked whether something else is logged, as sqlx does about statements
/// by way of the crate `log`: the layers' filters remember their last answer until it is used.
fn spans<S>(service: &'static str, provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let layer: OpenTelemetryLayer<S, Tracer> =
        tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
    let is_wanted = |metadata: &Metadata<'_>, _: &Context<'_, S>| *metadata.level() <= Level::INFO;
    layer.with_filter(dynamic_filter_fn(is_wanted).with_max_level_hint(LevelFilter::INFO))
}

fn serve_metrics(
    service: &'static str,
    address: SocketAddr,
) -> Result<MetricsEndpoint, TelemetryError> {
    let (listener, address) =
        listen(address).map_err(|source| TelemetryError::MetricsListen { address, source })?;
    let handle = metrics::install(service)?;
    let stopping = CancellationToken::new();
    tokio::spawn(stopping.clone().run_until_cancelled_owned(metrics::upkeep(handle.clone())));
    tokio::spawn(endpoint::serve(listener, handle, stopping.clone()));
    tracing::info!(%address, "serving metrics");
    Ok(MetricsEndpoint { address, _stop: stopping.drop_guard() })
}

/// Listens at once, so that an address that cannot be used ends the service when it starts.
fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = StdTcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
