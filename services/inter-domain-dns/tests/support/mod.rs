//! A real Postgres, the real program, and real clients.

#![allow(dead_code, reason = "every story uses a part")]

pub(crate) mod dig;
pub(crate) mod postgres;
pub(crate) mod server;

use std::time::{Duration, Instant};

use l2sces_proto::dns::v1::{Record, RecordKey};

/// Waits until a condition holds.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A key from its canonical name, `<host>.<cluster>.<network>.<slice>`.
pub(crate) fn key(name: &str) -> RecordKey {
    let [host, cluster, network, slice] =
        name.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    RecordKey { slice, network, cluster, host }
}

/// A record from its canonical name.
pub(crate) fn record(name: &str, addresses: &[&str]) -> Record {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Record { key: Some(key(name)), addresses, aliases: Vec::new() }
}

/// The same with aliases.
pub(crate) fn with_aliases(name: &str, addresses: &[&str], aliases: &[&str]) -> Record {
    let aliases = aliases.iter().map(ToString::to_string).collect();
    Record { aliases, ..record(name, addresses) }
}
