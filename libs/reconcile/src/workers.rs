use std::{
    fmt::{Debug, Display},
    hash::Hash,
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use tokio::time::Instant;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    Queue, backoff, measure,
    queue::{Finish, Running},
};

/// How a reconciliation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until the key is woken.
    Done,
    /// Run again after this long, or when the key is woken.
    After(Duration),
}

/// Reconciles keys of the queue for ever, up to `workers` at a time, on the calling task; drop the
/// future to stop.
///
/// A key is never reconciled twice at once. An error is logged and the key run again after a pause
/// that grows with each error in a row (at random up to 50 ms, 100 ms, ... 10 s) and that a wake
/// cuts short; a panic counts as an error. Each run has a span of its own, which calls made in it
/// carry on: a child of the span that woke the key, and without one the first of a trace.
pub async fn run<K, F, Fut, E>(queue: Queue<K>, workers: usize, reconcile: F)
where
    K: Clone + Eq + Hash + Debug + Send,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Outcome, E>>,
    E: Display,
{
    let worker = async || {
        loop {
            let running = queue.take().await;
            let span = info_span!("reconcile", key = ?running.key(), otel.status_code = Empty);
            running.causes().set_on(&span);
            reconcile_one(running, queue.name(), &reconcile).instrument(span).await;
        }
    };
    join_all((0..workers).map(|_| worker())).await;
}

async fn reconcile_one<K, F, Fut, E>(running: Running<K>, queue: &'static str, reconcile: &F)
where
    K: Clone + Eq + Hash + Debug + Send,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Outcome, E>>,
    E: Display,
{
    let key = running.key().clone();
    let begin = Instant::now();
    // One object's bug must not stop the others.
    let result = AssertUnwindSafe(async { reconcile(key).await }).catch_unwind().await;
    let duration = begin.elapsed();
    let (finish, error) = match result {
        Ok(Ok(Outcome::Done)) => (Finish::Done, None),
        Ok(Ok(Outcome::After(pause))) => (Finish::After(pause), None),
        Ok(Err(error)) => (Finish::Failed(backoff::pause), Some(error.to_string())),
        Err(_) => (Finish::Failed(backoff::pause), Some("panicked".to_owned())),
    };
    measure::reconciled(queue, finish.as_str(), duration);
    let pause = running.finish(&finish);
    if let Some(error) = error {
        Span::current().record("otel.status_code", "ERROR");
        tracing::warn!(error, retry_after = ?pause.unwrap_or_default(), "reconciliation failed");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::HashMap,
        future::pending,
    };

    use l2sces_trace::TraceContext;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tokio::{
        sync::Notify,
        time::{sleep, timeout},
    };
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    type Result = std::result::Result<Outcome, String>;

    /// Drives workers until the condition holds, with a paused clock: an hour is nothing.
    async fn run_until<F, Fut>(
        queue: &Queue<&'static str>,
        workers: usize,
        reconcile: F,
        condition: impl AsyncFnOnce(),
    ) where
        F: Fn(&'static str) -> Fut,
        Fut: Future<Output = Result>,
    {
        let both = async {
            tokio::select! {
                () = run(queue.clone(), workers, reconcile) => {}
                () = condition() => {}
            }
        };
        timeout(Duration::from_secs(3_600), both).await.expect("the condition holds in an hour");
    }

    /// Resolves when nothing is left to do: the paused clock only moves then.
    async fn idle() {
        sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_before_a_run_are_one_run() {
        let queue = Queue::new("test");
        let runs = RefCell::new(Vec::new());
        for key in ["a", "a", "b", "a"] {
            queue.wake(key);
        }
        let reconcile = async |key| {
            runs.borrow_mut().push(key);
            Result::Ok(Outcome::Done)
        };
        run_until(&queue, 2, reconcile, idle).await;
        assert_eq!(*runs.borrow(), ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_never_runs_twice_at_once_and_a_wake_during_a_run_runs_it_again() {
        let queue = Queue::new("test");
        let active: RefCell<HashMap<&str, u32>> = RefCell::default();
        let (most_active, runs) = (Cell::new(0), Cell::new(0));
        queue.wake("a");
        let reconcile = async |key| {
            {
                let mut active = active.borrow_mut();
                let count = active.entry(key).or_default();
                *count += 1;
                most_active.set(most_active.get().max(*count));
            }
            runs.set(runs.get() + 1);
            if runs.get() == 1 {
                queue.wake("a");
                queue.wake("a");
            }
            sleep(Duration::from_secs(1)).await;
            *active.borrow_mut().entry(key).or_default() -= 1;
            Result::Ok(Outcome::Done)
        };
        run_until(&queue, 4, reconcile, idle).await;
        assert_eq!((most_active.get(), runs.get()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn different_keys_run_at_once_up_to_the_number_of_workers() {
        let queue = Queue::new("test");
        let (active, most_active) = (Cell::new(0), Cell::new(0));
        for key in ["a", "b", "c", "d", "e"] {
            queue.wake(key);
        }
        let reconcile = async |_| {
            active.set(active.get() + 1);
            most_active.set(most_active.get().max(active.get()));
            sleep(Duration::from_secs(1)).await;
            active.set(active.get() - 1);
            Result::Ok(Outcome::Done)
        };
        run_until(&queue, 3, reconcile, idle).await;
        assert_eq!(most_active.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_are_retried_with_pauses_that_stay_under_their_ceiling() {
        let queue = Queue::new("test");
        let times = RefCell::new(Vec::new());
        let succeeded = Notify::new();
        queue.wake("a");
        let reconcile = async |_| {
            times.borrow_mut().push(Instant::now());
            let run = times.borrow().len();
            assert_ne!(run, 3, "a panic counts as an error");
            if run < 6 {
                return Err("not yet".to_owned());
            }
            succeeded.notify_one();
            Ok(Outcome::Done)
        };
        run_until(&queue, 1, reconcile, async || succeeded.notified().await).await;
        let times = times.borrow();
        for (index, pair) in times.windows(2).enumerate() {
            let ceiling = Duration::from_millis(50 << index) + Duration::from_millis(2);
            assert!(pair[1] - pair[0] <= ceiling, "pause {index}: {:?}", pair[1] - pair[0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn success_resets_the_back_off() {
        let queue = Queue::new("test");
        queue.wake("a");
        for run in 0..20 {
            let running = queue.take().await;
            let finish = if run == 18 { Finish::Done } else { Finish::Failed(failures_as_seconds) };
            let pause = running.finish(&finish);
            match run {
                18 => queue.wake("a"),
                19 => assert_eq!(pause, Some(Duration::from_secs(1))),
                _ => assert_eq!(pause, Some(Duration::from_secs(run + 1))),
            }
        }
    }

    fn failures_as_seconds(failures: u32) -> Duration {
        Duration::from_secs(failures.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_cuts_a_pause_short() {
        let queue = Queue::new("test");
        let times = RefCell::new(Vec::new());
        queue.wake("a");
        let reconcile = async |_| {
            times.borrow_mut().push(Instant::now());
            Result::Ok(Outcome::After(Duration::from_secs(600)))
        };
        let wake = async || {
            sleep(Duration::from_secs(5)).await;
            queue.wake("a");
            sleep(Duration::from_secs(700)).await;
        };
        run_until(&queue, 1, reconcile, wake).await;
        let times = times.borrow();
        let pauses: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses, [5, 600], "woken after 5 s, then left alone; no third run meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_key_does_not_come_back_by_itself() {
        let queue = Queue::new("test");
        let runs = RefCell::new(Vec::new());
        for key in ["ready", "delayed", "running"] {
            queue.wake(key);
        }
        queue.forget(&"ready");
        let reconcile = async |key| {
            runs.borrow_mut().push(key);
            if key == "running" {
                queue.forget(&"running");
                queue.forget(&"delayed");
                return Err("failed".to_owned());
            }
            Result::Ok(Outcome::After(Duration::from_secs(1)))
        };
        run_until(&queue, 1, reconcile, idle).await;
        assert_eq!(*runs.borrow(), ["delayed", "running"]);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_stopped_workers_are_run_by_the_next() {
        let queue = Queue::new("test");
        queue.wake("a");
        let hang = async |_| pending::<Result>().await;
        run_until(&queue, 1, hang, idle).await;
        let runs = Cell::new(0);
        let reconcile = async |_| {
            runs.set(runs.get() + 1);
            Result::Ok(Outcome::Done)
        };
        run_until(&queue, 1, reconcile, idle).await;
        assert_eq!(runs.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_continues_the_trace_that_woke_it_and_a_retry_does_not() {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans))
            .unwrap();
        // A test beside this one that came by first may have found that nobody listens.
        tracing::callsite::rebuild_interest_cache();
        let queue = Queue::new("test");
        let wake = || {
            info_span!("wake").in_scope(|| {
                queue.wake("a");
                TraceContext::current().unwrap()
            })
        };
        let runs = RefCell::new(Vec::new());
        let first = wake();
        let again = Cell::new(None);
        let reconcile = async |_| {
            runs.borrow_mut().push(TraceContext::current().unwrap());
            match runs.borrow().len() {
                // While it runs, after which it runs again.
                1 => again.set(Some(wake())),
                2 => return Err("not yet".to_owned()),
                _ => {}
            }
            Ok(Outcome::Done)
        };
        run_until(&queue, 1, reconcile, idle).await;
        let runs = runs.borrow();
        assert_eq!(runs.len(), 3);
        let again = again.get().unwrap();
        assert!(runs[0].is_same_trace(&first));
        assert!(runs[1].is_same_trace(&again));
        assert!(![first, again].iter().any(|wake| runs[2].is_same_trace(wake)), "the retry");
    }
}
