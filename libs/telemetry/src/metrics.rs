//! What the process measures: kept here, and rendered in Prometheus' text format when asked for.
//!
//! Libraries measure with the macros of the crate `metrics`, which do nothing in a process that has
//! no metrics endpoint. What others count already is read at each scrape (`collect`).

use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::collect;

/// Upper bounds of the buckets of durations, in seconds: from a look into memory to the longest call.
const DURATIONS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// How often samples of histograms are counted into their buckets if nobody scrapes. Until then they
/// take memory: less than a megabyte where a thousand durations are measured in a second.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Why the process cannot measure.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The buckets are none.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Something measures already.
    #[error("metrics were set up before")]
    SetUp,
}

/// Has everything measured from now on, by the whole process.
pub(crate) fn install(service: &'static str) -> Result<PrometheusHandle, MetricsError> {
    let durations = Matcher::Suffix("_duration_seconds".to_owned());
    let recorder =
        PrometheusBuilder::new().set_buckets_for_metric(durations, &DURATIONS)?.build_recorder();
    collect::enable();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::SetUp)?;
    metrics::describe_gauge!("l2sces_build_info", "Always 1; its labels say what runs.");
    metrics::gauge!(
        "l2sces_build_info",
        "service" => service,
        "version" => env!("CARGO_PKG_VERSION")
    )
    .set(1.0);
    Ok(handle)
}

/// A recorder of its own for what is read at one scrape: gauges and counters.
pub(crate) fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// Keeps the memory that samples take bounded, for ever, whether or not anybody scrapes.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
