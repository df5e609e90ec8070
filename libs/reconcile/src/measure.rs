//! What is measured of queues and of what workers do.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

const DURATION: &str = "l2sces_reconcile_duration_seconds";
const DEPTH: &str = "l2sces_reconcile_queue_depth";
const FAILING: &str = "l2sces_reconcile_failing_keys";
const RETRIES: &str = "l2sces_reconcile_retries_total";

/// How a queue is now.
#[derive(Debug)]
pub(crate) struct QueueMeasure {
    depth: Gauge,
    failing: Gauge,
    retries: Counter,
}

impl QueueMeasure {
    /// Describes what is measured, and begins at nothing.
    pub(crate) fn new(queue: &'static str) -> Self {
        describe_histogram!(DURATION, Unit::Seconds, "How long reconciliations took, in seconds.");
        describe_gauge!(DEPTH, "Keys that may be reconciled and wait for a worker.");
        describe_gauge!(FAILING, "Keys whose last reconciliation failed.");
        describe_counter!(RETRIES, "Reconciliations of keys whose last one had failed.");
        let measure = Self {
            depth: gauge!(DEPTH, "queue" => queue),
            failing: gauge!(FAILING, "queue" => queue),
            retries: counter!(RETRIES, "queue" => queue),
        };
        measure.set(0, 0);
        measure.retries.increment(0);
        measure
    }

    /// How many keys wait for a worker, and of how many the last reconciliation failed.
    pub(crate) fn set(&self, depth: usize, failing: usize) {
        self.depth.set(depth as f64);
        self.failing.set(failing as f64);
    }

    /// A key is taken again after a failure.
    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }
}

impl Drop for QueueMeasure {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// Counts one reconciliation: `outcome` is `done`, `waiting` or `failed`.
pub(crate) fn reconciled(queue: &'static str, outcome: &'static str, duration: Duration) {
    histogram!(DURATION, "queue" => queue, "outcome" => outcome).record(duration.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use crate::{Outcome, Queue, queue::Finish};

    fn wait(_: u32) -> std::time::Duration {
        std::time::Duration::from_secs(3_600)
    }

    /// Every line that is measured of the queue `q`, without its labels.
    fn lines(text: &str) -> BTreeMap<&str, &str> {
        let lines = text.lines().filter(|line| line.contains("{queue=\"q\"}"));
        lines.filter_map(|line| Some((line.split_once('{')?.0, line.rsplit_once(' ')?.1))).collect()
    }

    #[test]
    fn the_depth_and_what_fails_are_told_at_every_step() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let told = |depth, failing, retries| {
            let text = recorder.handle().render();
            let expected = [(super::DEPTH, depth), (super::FAILING, failing)];
            let expected = expected.into_iter().chain([(super::RETRIES, retries)]).collect();
            assert_eq!(lines(&text), expected, "{text}");
        };
        metrics::with_local_recorder(&recorder, || {
            let take = |queue: &Queue<_>| futures::executor::block_on(queue.take());
            let queue = Queue::new("q");
            told("0", "0", "0");
            queue.wake("a");
            queue.wake("b");
            queue.wake("a");
            told("2", "0", "0");
            take(&queue).finish(&Finish::Failed(wait));
            told("1", "1", "0");
            queue.forget(&"b");
            told("0", "1", "0");
            queue.wake("a");
            told("1", "1", "0");
            let running = take(&queue);
            told("0", "1", "1");
            drop(running);
            told("1", "1", "1");
            take(&queue).finish(&Finish::Done);
            told("0", "0", "2");
            queue.wake("c");
            take(&queue).finish(&Finish::Failed(wait));
            queue.forget(&"c");
            told("0", "0", "2");
            queue.wake("d");
            take(&queue).finish(&Finish::Failed(wait));
            drop(queue);
            told("0", "0", "2");
        });
    }

    #[test]
    fn a_reconciliation_is_counted_by_its_outcome() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let queue = Queue::new("q");
            ["done", "waiting", "failed", "panics"].into_iter().for_each(|key| queue.wake(key));
            let work = crate::run(queue, 1, |key| async move {
                match key {
                    "done" => Ok(Outcome::Done),
                    "waiting" => Ok(Outcome::After(wait(0))),
                    "failed" => Err("it failed"),
                    _ => panic!("it panics"),
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let first_minute = async { tokio::time::timeout(wait(0) / 3_600, work).await };
            runtime.block_on(first_minute).unwrap_err();
        });
        let text = recorder.handle().render();
        let count = |outcome: &str| {
            let name = format!("{}_count{{queue=\"q\",outcome=\"{outcome}\"}} ", super::DURATION);
            text.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
        };
        assert_eq!(count("done").as_deref(), Some("1"), "{text}");
        assert_eq!(count("waiting").as_deref(), Some("1"), "{text}");
        assert!(count("failed").is_some_and(|count| count != "0"), "{text}");
    }
}
