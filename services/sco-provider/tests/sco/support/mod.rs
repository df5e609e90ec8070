mod certificates;
mod downstream;
mod postgres;
mod values;
mod world;

use std::time::{Duration, Instant};

pub(crate) use certificates::Certificates;
pub(crate) use downstream::{FakeAgents, FakeFabric, FakeNames, Fuse};
pub(crate) use postgres::Database;
pub(crate) use values::*;
pub(crate) use world::{Process, World};

/// Waits until a condition holds, which must not take long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
