//! Streams that the controller follows, each with a task of its own that connects again and again.

mod agents;
mod directory;
mod exchange;
mod unconfirmed;
mod uplink;

use std::{iter, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};

pub(crate) use agents::AgentWatches;
pub(crate) use exchange::ExchangeWatch;
#[cfg(test)]
pub(crate) use uplink::Carried;
pub(crate) use uplink::Uplink;

/// Pauses between attempts to connect: some 50 ms at first, at most some 2 s.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    const LONGEST: Duration = Duration::from_secs(1);
    let growing = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build();
    growing.chain(iter::repeat(LONGEST))
}
