//! Against a real Postgres that each test starts for itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test")]

mod support;

use std::{path::Path, time::Duration};

use l2sces_postgres::{Notification, PostgresArgs, PostgresError, connect, notifications};
use sqlx::{PgPool, migrate::Migrator};
use support::TemporaryPostgres;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

async fn migrator() -> Migrator {
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations")).await.unwrap()
}

async fn notify(pool: &PgPool, payload: &str) {
    sqlx::query("SELECT pg_notify('things', $1)").bind(payload).execute(pool).await.unwrap();
}

async fn next(receiver: &mut mpsc::Receiver<Notification>) -> Notification {
    let received = timeout(Duration::from_secs(20), receiver.recv()).await;
    received.expect("a notification in time").expect("the channel stays open")
}

#[tokio::test]
async fn waits_for_postgres_and_migrates_also_when_replicas_do_so_at_once() {
    let postgres = TemporaryPostgres::new();
    let (args, migrator) = (postgres.args(), migrator().await);
    let both = async { tokio::join!(connect(&args, &migrator), connect(&args, &migrator)) };
    tokio::pin!(both);
    let early = timeout(Duration::from_millis(300), &mut both).await;
    assert!(early.is_err(), "nobody answers yet");

    postgres.start();
    let (first, second) = timeout(Duration::from_secs(20), both).await.expect("connected in time");
    for pool in [first.unwrap(), second.unwrap()] {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(&pool).await.unwrap();
        assert_eq!(count, 0);
    }
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_an_error() {
    let postgres = TemporaryPostgres::new();
    postgres.start();
    let migrator = migrator().await;
    let args = PostgresArgs {
        database_url: postgres.args().database_url.replace("/postgres", "/missing"),
        ..postgres.args()
    };
    let error = connect(&args, &migrator).await.unwrap_err();
    assert!(matches!(error, PostgresError::Refused(_)), "{error}");
    let args = PostgresArgs { database_url: "nonsense".into(), ..args };
    let error = connect(&args, &migrator).await.unwrap_err();
    assert!(matches!(error, PostgresError::Url(_)), "{error}");
}

#[tokio::test]
async fn tells_notifications_and_a_resync_first_and_after_each_interruption() {
    let postgres = TemporaryPostgres::new();
    postgres.start();
    let pool = connect(&postgres.args(), &migrator().await).await.unwrap();
    let mut receiver = notifications(pool.clone(), "things");
    assert_eq!(next(&mut receiver).await, Notification::Resync);
    notify(&pool, "a").await;
    notify(&pool, "b").await;
    assert_eq!(next(&mut receiver).await, Notification::Payload("a".into()));
    assert_eq!(next(&mut receiver).await, Notification::Payload("b".into()));

    // One backend ends, as by an administrator.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(next(&mut receiver).await, Notification::Resync);
    notify(&pool, "c").await;
    assert_eq!(next(&mut receiver).await, Notification::Payload("c".into()));

    // All of Postgres goes away and comes back.
    postgres.stop();
    postgres.start();
    assert_eq!(next(&mut receiver).await, Notification::Resync);
    notify(&pool, "d").await;
    assert_eq!(next(&mut receiver).await, Notification::Payload("d".into()));
}

#[tokio::test]
async fn a_receiver_that_is_too_slow_gets_a_resync_for_what_it_missed() {
    let postgres = TemporaryPostgres::new();
    postgres.start();
    let pool = connect(&postgres.args(), &migrator().await).await.unwrap();
    let mut receiver = notifications(pool.clone(), "things");
    assert_eq!(next(&mut receiver).await, Notification::Resync);
    sqlx::query("SELECT pg_notify('things', n::text) FROM generate_series(1, 2000) AS n")
        .execute(&pool)
        .await
        .unwrap();
    // Wait until the queue is full, so that some do get lost.
    let full = async {
        while receiver.len() < receiver.max_capacity() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), full).await.expect("the queue gets full");
    let mut payloads = 0;
    while next(&mut receiver).await != Notification::Resync {
        payloads += 1;
    }
    assert!((1_024..2_000).contains(&payloads), "{payloads}");
    // Whatever was still on its way then is covered by the resync or told after it: for that and the
    // last one there is room.
    notify(&pool, "last").await;
    while next(&mut receiver).await != Notification::Payload("last".into()) {}
}

#[tokio::test]
async fn listening_ends_with_its_receiver() {
    let postgres = TemporaryPostgres::new();
    postgres.start();
    let pool = connect(&postgres.args(), &migrator().await).await.unwrap();
    let mut receiver = notifications(pool.clone(), "things");
    assert_eq!(next(&mut receiver).await, Notification::Resync);
    drop(receiver);
    let gone = async {
        while listeners(&pool).await > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("nobody listens any more");
}

async fn listeners(pool: &PgPool) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
