//! The pool of a process with a metrics endpoint is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod support;

use std::{
    collections::BTreeMap,
    io::{Write, read_to_string},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use l2sces_postgres::{PostgresArgs, connect};
use l2sces_telemetry::{LogFormat, TelemetryArgs, init};
use sqlx::migrate::Migrator;
use support::TemporaryPostgres;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is measured of the database, by name and labels.
async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    // In one go: who connects and says nothing is not waited for.
    let exchange = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
        read_to_string(stream)
    };
    let text = spawn_blocking(exchange).await.unwrap().unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("l2sces_database_")?.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Scrapes until it is told that so many connections are used, and whether one more was to be had.
async fn measured(address: SocketAddr, used: f64, available: f64) -> BTreeMap<String, f64> {
    let mut last = BTreeMap::new();
    let wait = async {
        loop {
            last = scrape(address).await;
            let is_so = |name: &str, value: f64| last.get(name) == Some(&value);
            if is_so("connections{state=\"used\"}", used) && is_so("available", available) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let found = timeout(PATIENCE, wait).await.is_ok();
    assert!(found, "not {used} used and {available}: {last:?}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_and_one_is_had_at_each_scrape() {
    let telemetry = TelemetryArgs {
        log_format: LogFormat::Text,
        log_filter: "error".into(),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
    };
    let telemetry = init("test", &telemetry).unwrap();
    let address = telemetry.metrics_address().unwrap();
    let postgres = TemporaryPostgres::new();
    postgres.start();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations");
    let args = PostgresArgs { database_connections: 2, ..postgres.args() };
    let pool = connect(&args, &Migrator::new(migrations).await.unwrap()).await.unwrap();

    let idle = measured(address, 0.0, 1.0).await;
    assert_eq!(idle["connections_max"], 2.0, "{idle:?}");
    assert!(idle.contains_key("acquire_seconds"), "{idle:?}");
    assert!(idle["connections{state=\"idle\"}"] >= 1.0, "{idle:?}");

    let _first = pool.acquire().await.unwrap();
    let second = pool.acquire().await.unwrap();
    let exhausted = measured(address, 2.0, 0.0).await;
    assert_eq!(exhausted["connections{state=\"idle\"}"], 0.0, "{exhausted:?}");
    drop(second);
    measured(address, 1.0, 1.0).await;

    postgres.stop();
    measured(address, 1.0, 0.0).await;
}
