use std::{sync::Arc, time::Duration};

use l2sces_measurement::{
    Budget, Metric, Policy, TEST_FRAME, TRAIN_FRAME, TRAIN_LENGTH, TRAINS,
    estimate::{self, PATIENCE, Reply},
};
use l2sces_model::{InterfaceName, MacAddress};
use l2sces_proto::measurement::v1::LinkMeasurement;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};

use super::{MeasuredLink, exchange::Exchange};
use crate::Agent;

/// Measures one link, round after round.
pub(super) struct Rounds {
    link: MeasuredLink,
    agent: Arc<Agent>,
    exchange: Arc<Exchange>,
    /// Bits a second that the far end says it gets through towards here; 0: not known.
    back: u64,
}

/// What a round has found out.
#[derive(Default)]
struct Round {
    sent: u32,
    replies: Vec<Reply>,
    /// What each train got through, in bits a second; none: no train was sent.
    trains: Option<Vec<u64>>,
}

impl Rounds {
    pub(super) fn new(link: MeasuredLink, agent: Arc<Agent>, exchange: Arc<Exchange>) -> Self {
        Self { link, agent, exchange, back: 0 }
    }

    /// Runs until nobody wants to know any more.
    pub(super) async fn run(
        mut self,
        delay: Duration,
        measurements: mpsc::Sender<(InterfaceName, LinkMeasurement)>,
    ) {
        sleep(delay).await;
        loop {
            let begin = Instant::now();
            // Looked up anew: Open vSwitch gives a tunnel that is made again another number.
            let tunnel = self.agent.tunnel_address(&self.link.interface);
            let round = match tunnel {
                Some(tunnel) => self.round(tunnel).await,
                None => Round::default(),
            };
            let mut cost = Duration::ZERO;
            if let Some(tunnel) = tunnel {
                let trains = round.trains.clone().unwrap_or_default();
                if let Some(throughput) = estimate::median_throughput(trains) {
                    self.exchange.set_throughput(tunnel, throughput);
                }
                cost = self.cost(tunnel, &round);
            }
            let measurement = round.measurement(&self.link.policy);
            if measurements.send((self.link.interface.clone(), measurement)).await.is_err() {
                return;
            }
            let pause = self.link.policy.interval().max(cost);
            sleep_until(begin.checked_add(pause).unwrap_or(begin + Duration::from_hours(1))).await;
        }
    }

    fn budget(&self, tunnel: MacAddress) -> Budget {
        Budget::new(&self.link.policy, self.exchange.throughput(tunnel), self.back)
    }

    /// How long what a round has sent has the link's budget for itself.
    fn cost(&self, tunnel: MacAddress, round: &Round) -> Duration {
        let budget = self.budget(tunnel);
        let train_frames = if round.trains.is_some() { TRAINS * TRAIN_LENGTH } else { 0 };
        let trains = budget.time_for(train_frames, TRAIN_FRAME);
        budget.time_for(round.sent, TEST_FRAME).saturating_add(trains)
    }

    async fn round(&mut self, tunnel: MacAddress) -> Round {
        let mut round = Round::default();
        if self.link.policy.needs_probes() {
            round.sent = self.link.policy.probes();
            round.replies = self.probe(tunnel, round.sent).await;
        }
        if self.link.policy.measures(Metric::Throughput) {
            round.trains = self.trains(tunnel).await;
        }
        round
    }

    /// Sends single test packets, evenly over the interval.
    async fn probe(&mut self, tunnel: MacAddress, number: u32) -> Vec<Reply> {
        let interval = self.link.policy.interval();
        let spacing = (interval.saturating_sub(PATIENCE) / number)
            .max(self.budget(tunnel).time_for(1, TEST_FRAME));
        let mut session = self.exchange.session(tunnel, number);
        let mut ticks = interval_at(Instant::now(), spacing);
        // Those that are late do not go out together.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..number {
            ticks.tick().await;
            session.send(TEST_FRAME).await;
        }
        let replies = session.replies().await;
        if let Some(last) = replies.last() {
            self.back = last.packet.throughput;
        }
        replies
    }

    /// Sends trains of long frames one after the other: what each got through, in bits a second. None
    /// is sent where the link does not answer.
    async fn trains(&mut self, tunnel: MacAddress) -> Option<Vec<u64>> {
        // No two links of a node at the same time: they may have a cable in common.
        let agent = Arc::clone(&self.agent);
        let _alone = agent.train.lock().await;
        // The first packet after a while finds its way more slowly, and shows whether there is one.
        if self.train(tunnel, 1, TEST_FRAME).await.is_empty() {
            return None;
        }
        let mut rates = Vec::new();
        for _ in 0..TRAINS {
            let replies = self.train(tunnel, TRAIN_LENGTH, TRAIN_FRAME).await;
            rates.extend(estimate::throughput(&replies, TRAIN_FRAME));
        }
        Some(rates)
    }

    async fn train(&mut self, tunnel: MacAddress, frames: u32, length: usize) -> Vec<Reply> {
        let mut session = self.exchange.session(tunnel, frames);
        for _ in 0..frames {
            session.send(length).await;
        }
        let replies = session.replies().await;
        if let Some(last) = replies.last() {
            self.back = last.packet.throughput;
        }
        replies
    }
}

impl Round {
    fn measurement(self, policy: &Policy) -> LinkMeasurement {
        let Self { sent, replies, trains } = self;
        let mut measurement = LinkMeasurement {
            time: Some(std::time::SystemTime::now().into()),
            probes_sent: sent,
            probes_returned: estimate::returned(&replies),
            ..LinkMeasurement::default()
        };
        // None is longer than the patience.
        let message = |duration: Duration| prost_types::Duration::try_from(duration).ok();
        if policy.measures(Metric::RoundTripTime)
            && let Some((median, least)) = estimate::round_trip_time(&replies)
        {
            measurement.round_trip_time = message(median);
            measurement.min_round_trip_time = message(least);
        }
        if policy.measures(Metric::Jitter)
            && let Some((mean, samples)) = estimate::jitter(&replies)
        {
            measurement.jitter = message(mean);
            measurement.jitter_samples = samples;
        }
        if policy.measures(Metric::Loss) {
            measurement.loss = Some(estimate::loss(&replies));
        }
        let trains = trains.unwrap_or_default();
        measurement.throughput_samples = u32::try_from(trains.len()).unwrap_or_default();
        measurement.throughput_bits_per_second = estimate::median_throughput(trains);
        measurement
    }
}
