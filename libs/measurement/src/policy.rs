use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use l2sces_proto::measurement::v1::{LinkMetric, MeasurementPolicy};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const INTERVALS_MS: RangeInclusive<u32> = 2_000..=3_600_000;
const DEFAULT_INTERVAL_MS: u32 = 10_000;
const PROBES: RangeInclusive<u32> = 2..=10_000;
const DEFAULT_PROBES: u32 = 20;
const SHARES_PERMILLE: RangeInclusive<u32> = 1..=500;
const DEFAULT_SHARE_PERMILLE: u32 = 10;

/// What can be measured of a link, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// From sending a probe to its reflection.
    RoundTripTime,
    /// How much the delay varies.
    Jitter,
    /// Probes that are lost.
    Loss,
    /// What a short burst gets through.
    Throughput,
}

/// What is to be measured of links, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    metrics: BTreeSet<Metric>,
    interval_ms: u32,
    probes: u32,
    max_share_permille: u32,
}

/// Bytes that are no encoded policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is no l2sces.measurement.v1.MeasurementPolicy")]
pub struct PolicyDecodeError;

/// What is wrong with one field of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// The field, as in `metrics[0]`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Policy {
    /// What is measured; at least one.
    pub fn measures(&self, metric: Metric) -> bool {
        self.metrics.contains(&metric)
    }

    /// Whether any of what single probes tell is measured.
    pub fn needs_probes(&self) -> bool {
        self.metrics.iter().any(|metric| *metric != Metric::Throughput)
    }

    /// From the begin of a round to that of the next.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    /// Probes of a round.
    pub fn probes(&self) -> u32 {
        self.probes
    }

    /// The most of a link that all probes in one direction may take: 0.001 to 0.5.
    pub fn max_share(&self) -> f64 {
        f64::from(self.max_share_permille) / 1_000.0
    }

    /// What satisfies both: everything that one of them asks for, as often and as exactly as one of
    /// them does, with no more of the link than both allow.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        self.metrics.extend(&other.metrics);
        self.interval_ms = self.interval_ms.min(other.interval_ms);
        self.probes = self.probes.max(other.probes);
        self.max_share_permille = self.max_share_permille.min(other.max_share_permille);
        self
    }

    /// The policy's message as bytes, for keeping it in a database.
    pub fn encode(&self) -> Vec<u8> {
        MeasurementPolicy::from(self).encode_to_vec()
    }

    /// The policy that was encoded.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, PolicyDecodeError> {
        let message = MeasurementPolicy::decode(bytes).map_err(|_| PolicyDecodeError)?;
        Self::read(&message).map_err(|_| PolicyDecodeError)
    }

    /// The policy that a message describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(message: &MeasurementPolicy) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, description: String| {
            faults.push(PolicyFault { field: field.to_owned(), description });
        };
        if message.metrics.is_empty() {
            fault("metrics", "must name at least one".to_owned());
        }
        let mut metrics = BTreeSet::new();
        for (index, number) in message.metrics.iter().enumerate() {
            match LinkMetric::try_from(*number).ok().and_then(metric) {
                Some(metric) if metrics.insert(metric) => {}
                Some(_) => fault(&format!("metrics[{index}]"), "is there already".to_owned()),
                None => fault(&format!("metrics[{index}]"), "must be a known metric".to_owned()),
            }
        }
        let mut number = |field, value, default, range: RangeInclusive<u32>| match value {
            0 => default,
            _ if range.contains(&value) => value,
            _ => {
                let (least, most) = range.into_inner();
                fault(field, format!("must be from {least} to {most}, or 0 for {default}"));
                default
            }
        };
        let interval_ms =
            number("interval_ms", message.interval_ms, DEFAULT_INTERVAL_MS, INTERVALS_MS);
        let probes = number("probes", message.probes, DEFAULT_PROBES, PROBES);
        let share = message.max_share_permille;
        let max_share_permille =
            number("max_share_permille", share, DEFAULT_SHARE_PERMILLE, SHARES_PERMILLE);
        if faults.is_empty() {
            Ok(Self { metrics, interval_ms, probes, max_share_permille })
        } else {
            Err(faults)
        }
    }
}

fn metric(message: LinkMetric) -> Option<Metric> {
    Some(match message {
        LinkMetric::Unspecified => return None,
        LinkMetric::RoundTripTime => Metric::RoundTripTime,
        LinkMetric::Jitter => Metric::Jitter,
        LinkMetric::Loss => Metric::Loss,
        LinkMetric::Throughput => Metric::Throughput,
    })
}

impl From<&Policy> for MeasurementPolicy {
    fn from(policy: &Policy) -> Self {
        let message = |metric: &Metric| match metric {
            Metric::RoundTripTime => LinkMetric::RoundTripTime,
            Metric::Jitter => LinkMetric::Jitter,
            Metric::Loss => LinkMetric::Loss,
            Metric::Throughput => LinkMetric::Throughput,
        };
        Self {
            metrics: policy.metrics.iter().map(|metric| message(metric).into()).collect(),
            interval_ms: policy.interval_ms,
            probes: policy.probes,
            max_share_permille: policy.max_share_permille,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(metrics: &[LinkMetric]) -> MeasurementPolicy {
        MeasurementPolicy {
            metrics: metrics.iter().map(|metric| (*metric).into()).collect(),
            ..MeasurementPolicy::default()
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let policy = Policy::read(&message(&[LinkMetric::Loss])).unwrap();
        assert_eq!((policy.interval(), policy.probes()), (Duration::from_secs(10), 20));
        assert_eq!(policy.max_share(), 0.01);
        assert!(policy.measures(Metric::Loss) && !policy.measures(Metric::Jitter));
        assert_eq!(Policy::read(&MeasurementPolicy::from(&policy)), Ok(policy.clone()));
        assert_eq!(Policy::decode(&policy.encode()), Ok(policy.clone()));
        assert_eq!(Policy::decode(&[]), Err(PolicyDecodeError));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }

    #[test]
    fn every_metric_is_told_by_its_name_and_only_throughput_needs_no_probes() {
        let metrics = [
            (LinkMetric::RoundTripTime, Metric::RoundTripTime, true),
            (LinkMetric::Jitter, Metric::Jitter, true),
            (LinkMetric::Loss, Metric::Loss, true),
            (LinkMetric::Throughput, Metric::Throughput, false),
        ];
        for (name, metric, needs_probes) in metrics {
            let policy = Policy::read(&message(&[name])).unwrap();
            assert!(policy.measures(metric), "{name:?}");
            assert_eq!(policy.needs_probes(), needs_probes, "{name:?}");
            assert_eq!(MeasurementPolicy::from(&policy).metrics, [i32::from(name)]);
        }
        let both = Policy::read(&message(&[LinkMetric::Loss, LinkMetric::Throughput])).unwrap();
        assert!(both.needs_probes());
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let limits = |interval_ms, probes, max_share_permille| MeasurementPolicy {
            interval_ms,
            probes,
            max_share_permille,
            ..message(&[LinkMetric::Loss])
        };
        for message in [limits(2_000, 2, 1), limits(3_600_000, 10_000, 500)] {
            let policy = Policy::read(&message).unwrap();
            assert_eq!(MeasurementPolicy::from(&policy), message);
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let good = || message(&[LinkMetric::Loss]);
        let cases = [
            (message(&[]), "metrics"),
            (message(&[LinkMetric::Unspecified]), "metrics[0]"),
            (MeasurementPolicy { metrics: vec![1, 99], ..good() }, "metrics[1]"),
            (message(&[LinkMetric::Loss, LinkMetric::Loss]), "metrics[1]"),
            (MeasurementPolicy { interval_ms: 1_999, ..good() }, "interval_ms"),
            (MeasurementPolicy { interval_ms: 3_600_001, ..good() }, "interval_ms"),
            (MeasurementPolicy { probes: 1, ..good() }, "probes"),
            (MeasurementPolicy { probes: 10_001, ..good() }, "probes"),
            (MeasurementPolicy { max_share_permille: 501, ..good() }, "max_share_permille"),
        ];
        for (message, field) in cases {
            let faults = Policy::read(&message).unwrap_err();
            let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
            assert_eq!(fields, [field], "{message:?}");
        }
    }

    #[test]
    fn of_two_policies_the_wishes_add_up_and_the_stricter_limit_holds() {
        let read = |metrics: &[LinkMetric], interval_ms, probes, max_share_permille| {
            let of = message(metrics);
            let of = MeasurementPolicy { interval_ms, probes, max_share_permille, ..of };
            Policy::read(&of).unwrap()
        };
        let one = read(&[LinkMetric::Loss], 5_000, 10, 20);
        let other = read(&[LinkMetric::Jitter], 60_000, 100, 5);
        let both = read(&[LinkMetric::Loss, LinkMetric::Jitter], 5_000, 100, 5);
        assert_eq!(one.clone().merged(&other), both);
        assert_eq!(other.merged(&one), both);
    }
}
