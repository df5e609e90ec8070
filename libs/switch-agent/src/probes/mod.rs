//! Measuring links: probes go by the bridge's own port into the switch, whose flows take them over one
//! tunnel to the agent at its far end, which reflects them.

mod clock;
mod exchange;
mod reflector;
mod rounds;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use l2sces_measurement::Policy;
use l2sces_model::{InterfaceName, MacAddress, tunnel_address};
use l2sces_proto::measurement::v1::LinkMeasurement;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Agent, AgentError, state::SwitchState};
use exchange::Exchange;
use rounds::Rounds;

/// How many measurements may wait for the caller.
const MOST_WAITING: usize = 64;

/// After so long, at most, the first round of every link has begun.
const FIRST_ROUNDS: Duration = Duration::from_secs(5);

/// A link that is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredLink {
    /// Its tunnel's interface.
    pub interface: InterfaceName,
    /// What is to be measured, and how.
    pub policy: Policy,
}

/// What is measured, until this is dropped.
#[derive(Debug)]
pub struct MeasurementWatch {
    measurements: mpsc::Receiver<(InterfaceName, LinkMeasurement)>,
    ended: CancellationToken,
    _tasks: JoinSet<()>,
}

impl MeasurementWatch {
    /// The next measurement; none when another watch has begun, or the bridge is gone.
    pub async fn next(&mut self) -> Option<(InterfaceName, LinkMeasurement)> {
        let ended = self.ended.clone();
        ended.run_until_cancelled(self.measurements.recv()).await.flatten()
    }
}

/// The watch that measures now, if any.
#[derive(Debug, Default)]
pub(crate) struct Measuring(Mutex<CancellationToken>);

impl Measuring {
    /// Ends the watch that there was: there is another one now.
    fn begin(&self) -> CancellationToken {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.cancel();
        *current = CancellationToken::new();
        current.clone()
    }
}

impl Agent {
    /// Measures links, and reflects the probes of other agents, until the watch is dropped or another
    /// one begins.
    ///
    /// # Errors
    /// There is no bridge, or the kernel or the database failed.
    pub async fn watch_measurements(
        self: &Arc<Self>,
        links: Vec<MeasuredLink>,
    ) -> Result<MeasurementWatch, AgentError> {
        self.check_connected()?;
        self.read(|tables| self.identity.bridge(tables).map(drop))?;
        let bridge = self.identity.bridge.as_str();
        let ended = self.measuring.begin();
        let port = self.host.links.find(bridge).await?;
        let port = port.ok_or_else(|| AgentError::NoInterface(bridge.to_owned()))?;
        // It stays up when nothing is measured any more: without an address nobody uses it.
        self.host.silence_ipv6(bridge)?;
        self.host.links.set_up(&port).await?;
        let exchange = Exchange::open(bridge);
        let exchange = Arc::new(
            exchange
                .map_err(|source| AgentError::Probes { interface: bridge.to_owned(), source })?,
        );

        info!(links = links.len(), "measuring");
        let (sender, measurements) = mpsc::channel(MOST_WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (exchange, ended) = (Arc::clone(&exchange), ended.clone());
            async move {
                let error = exchange.run().await;
                warn!(%error, "measuring ends");
                ended.cancel();
            }
        });
        for (number, link) in (0_u32..).zip(&links) {
            let rounds = Rounds::new(link.clone(), Arc::clone(self), Arc::clone(&exchange));
            let delay = first_delay(number, links.len(), link);
            let sender = sender.clone();
            tasks.spawn(rounds.run(delay, sender));
        }
        Ok(MeasurementWatch { measurements, ended, _tasks: tasks })
    }

    /// The address of a tunnel in probes, if Open vSwitch has made the tunnel.
    fn tunnel_address(&self, interface: &InterfaceName) -> Option<MacAddress> {
        let state = self.read(|tables| SwitchState::read(tables, &self.identity)).ok()??;
        let link = state.links.into_iter().find(|link| link.interface == interface.as_str())?;
        link.ofport.map(tunnel_address)
    }
}

/// When a link's first round begins: spread, so that the probes of an agent's links, and those of the
/// two ends of a link, do not go all at once.
fn first_delay(number: u32, links: usize, link: &MeasuredLink) -> Duration {
    let part = link.policy.interval().min(FIRST_ROUNDS) / u32::try_from(links).unwrap_or(u32::MAX);
    let mut hash = DefaultHasher::new();
    link.interface.hash(&mut hash);
    part * number + part.mul_f64(f64::from(hash.finish() as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use l2sces_proto::measurement::v1::MeasurementPolicy;

    use super::*;

    fn delays(interval_ms: u32, links: u32) -> Vec<Duration> {
        let policy =
            MeasurementPolicy { metrics: vec![1], interval_ms, ..MeasurementPolicy::default() };
        let policy = Policy::read(&policy).unwrap();
        let link = |number| MeasuredLink {
            interface: format!("l2v-{number}").parse().unwrap(),
            policy: policy.clone(),
        };
        (0..links).map(|number| first_delay(number, links as usize, &link(number))).collect()
    }

    #[test]
    fn first_rounds_are_spread_over_the_interval_or_a_few_seconds() {
        for (interval_ms, longest) in [(2_000, 2), (60_000, 5)] {
            let delays = delays(interval_ms, 10);
            let part = Duration::from_secs(longest) / 10;
            for (number, delay) in (0..).zip(&delays) {
                assert!((part * number..=part * (number + 1)).contains(delay), "{delays:?}");
            }
            // Ends of a link that are both the only one of their nodes have other names.
            let alone = |number: u32| delays[number as usize] - part * number;
            assert!((1..10).all(|number| alone(number) != alone(0)), "{delays:?}");
        }
    }
}
