//! What others count already: read when somebody scrapes, and not before.

use std::{
    error::Error,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::time::timeout;

use crate::metrics::recorder;

const SUCCESS: &str = "l2sces_collector_success";

/// Longest that a collector may take: less than a scrape may.
const LONGEST_READING: Duration = Duration::from_secs(5);

static COLLECTORS: OnceLock<Mutex<Vec<Entry>>> = OnceLock::new();

#[derive(Clone)]
struct Entry {
    name: &'static str,
    collector: Arc<dyn Collector>,
}

/// What a collector has read: a function that describes and sets it with the macros of the crate
/// `metrics`. Each scrape begins with nothing, so what is not set any more is gone.
pub type Reading = Box<dyn FnOnce() + Send>;

/// Reads what somebody else counts, such as a switch.
#[async_trait]
pub trait Collector: Send + Sync + 'static {
    /// Reads it now, within seconds. No metric may be one that is measured elsewhere too.
    ///
    /// # Errors
    /// It cannot be read: the scrape goes without it.
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>>;
}

/// Has a collector asked at every scrape, for as long as the process runs. Does nothing in a process
/// that has no metrics endpoint.
pub fn collect(name: &'static str, collector: impl Collector) {
    if let Some(collectors) = COLLECTORS.get() {
        let entry = Entry { name, collector: Arc::new(collector) };
        collectors.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

/// Lets collectors be added from now on.
pub(crate) fn enable() {
    COLLECTORS.get_or_init(Mutex::default);
}

/// Asks all collectors at once, and renders what they have read.
pub(crate) async fn read() -> String {
    let Some(collectors) = COLLECTORS.get() else { return String::new() };
    let collectors = collectors.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let readings = join_all(collectors.iter().map(read_one)).await;
    let recorder = recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_gauge!(SUCCESS, "Whether what is read at each scrape could be: 1 or 0.");
        for (entry, reading) in collectors.iter().zip(readings) {
            let success = if reading.is_some() { 1.0 } else { 0.0 };
            metrics::gauge!(SUCCESS, "collector" => entry.name).set(success);
            if let Some(tell) = reading {
                tell();
            }
        }
    });
    recorder.handle().render()
}

async fn read_one(entry: &Entry) -> Option<Reading> {
    match timeout(LONGEST_READING, entry.collector.collect()).await {
        Ok(Ok(reading)) => Some(reading),
        Ok(Err(error)) => {
            tracing::debug!(collector = entry.name, error, "cannot read metrics");
            None
        }
        Err(_) => {
            tracing::debug!(collector = entry.name, "reading metrics takes too long");
            None
        }
    }
}
