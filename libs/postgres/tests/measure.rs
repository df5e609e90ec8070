//! The pool of a process with a metrics endpoint is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod support;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use l2sces_postgres::{PostgresArgs, connect};
use l2sces_telemetry::{LogFormat, TelemetryArgs, init};
use sqlx::migrate::Migrator;
use support::TemporaryPostgres;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// What is measured of the database, by name and labels.
async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
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
            if last["connections{state=\"used\"}"] == used && last["available"] == available {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let found = timeout(Duration::from_secs(20), wait).await.is_ok();
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
