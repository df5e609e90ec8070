//! What others count is read when somebody scrapes, and only then.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod support;

use std::{
    error::Error,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use l2sces_telemetry::{Collector, LogFormat, Reading, TelemetryArgs, collect, init};
use tokio::time::{Instant, sleep, timeout};

/// For how long a reading is told to all who scrape.
const FRESH: Duration = Duration::from_secs(1);

/// A switch whose only port has another name whenever it is asked.
struct Switch {
    asked: Arc<AtomicU64>,
}

#[async_trait]
impl Collector for Switch {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        let times = self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(move || {
            metrics::describe_counter!("l2sces_test_frames_total", "Frames.");
            metrics::counter!("l2sces_test_frames_total", "port" => format!("p{times}"))
                .absolute(1 << 40);
        }))
    }
}

struct Broken;

#[async_trait]
impl Collector for Broken {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        Err("there is no switch".into())
    }
}

struct Silent;

#[async_trait]
impl Collector for Silent {
    async fn collect(&self) -> Result<Reading, Box<dyn Error + Send + Sync>> {
        pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_are_asked_when_somebody_scrapes_and_bad_ones_do_not_matter() {
    let asked = Arc::new(AtomicU64::new(0));
    // There is no endpoint yet.
    collect("early", Switch { asked: asked.clone() });
    let args = TelemetryArgs {
        log_format: LogFormat::Text,
        log_filter: "error".into(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
    };
    let guard = init("test-service", &args).unwrap();
    let address = guard.metrics_address().unwrap();
    collect("switch", Switch { asked: asked.clone() });
    collect("broken", Broken);

    let port =
        |number: u64| format!("\nl2sces_test_frames_total{{port=\"p{number}\"}} 1099511627776\n");
    let at_once = async {
        loop {
            let number = asked.load(Ordering::Relaxed);
            let start = Instant::now();
            let texts = tokio::join!(support::scrape(address), support::scrape(address));
            if start.elapsed() < FRESH {
                return (number, texts);
            }
            // One of them came so late that it may have been told another reading.
            sleep(2 * FRESH).await;
        }
    };
    let (number, (first, second)) = timeout(Duration::from_secs(60), at_once).await.unwrap();
    for text in [&first, &second] {
        assert!(text.contains(&port(number)), "{text}");
        assert!(text.contains("\nl2sces_build_info{"), "{text}");
        assert!(text.contains("\nl2sces_collector_success{collector=\"switch\"} 1\n"), "{text}");
        assert!(text.contains("\nl2sces_collector_success{collector=\"broken\"} 0\n"), "{text}");
        assert!(!text.contains("early"), "{text}");
        assert_eq!(support::complaints(text), "", "{text}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), number + 1, "both scrapes are told one reading");

    let later = async {
        loop {
            let text = support::scrape(address).await;
            if !text.contains(&port(number)) {
                return text;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let text = timeout(Duration::from_secs(20), later).await.expect("it is read anew");
    assert!(text.contains(&port(number + 1)), "{text}");

    collect("silent", Silent);
    let silence = async {
        loop {
            let text = support::scrape(address).await;
            if text.contains("\nl2sces_collector_success{collector=\"silent\"} 0\n") {
                return text;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let text = timeout(Duration::from_secs(20), silence).await.expect("nobody waits for it");
    assert!(text.contains("\nl2sces_collector_success{collector=\"switch\"} 1\n"), "{text}");
}
