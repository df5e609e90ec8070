use l2sces_proto::measurement::v1::{LinkMetric, MeasurementPolicy};
use serde::{Deserialize, Serialize};

use super::envelope::is_default;

/// What is measured of the links of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measurement {
    metrics: Vec<Metric>,
    #[serde(default, alias = "intervalMs", skip_serializing_if = "is_default")]
    interval_ms: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    probes: u32,
    #[serde(default, alias = "maxSharePermille", skip_serializing_if = "is_default")]
    max_share_permille: u32,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Metric {
    #[serde(alias = "rtt")]
    RoundTripTime,
    Jitter,
    Loss,
    Throughput,
    /// One that this version does not know: printed only, and refused when it is applied.
    #[serde(skip_deserializing)]
    Unknown,
}

impl From<Metric> for i32 {
    fn from(metric: Metric) -> Self {
        let metric = match metric {
            Metric::RoundTripTime => LinkMetric::RoundTripTime,
            Metric::Jitter => LinkMetric::Jitter,
            Metric::Loss => LinkMetric::Loss,
            Metric::Throughput => LinkMetric::Throughput,
            Metric::Unknown => LinkMetric::Unspecified,
        };
        metric.into()
    }
}

impl From<Measurement> for MeasurementPolicy {
    fn from(measurement: Measurement) -> Self {
        Self {
            metrics: measurement.metrics.into_iter().map(Into::into).collect(),
            interval_ms: measurement.interval_ms,
            probes: measurement.probes,
            max_share_permille: measurement.max_share_permille,
        }
    }
}

impl From<MeasurementPolicy> for Measurement {
    fn from(policy: MeasurementPolicy) -> Self {
        let metric = |metric: LinkMetric| match metric {
            LinkMetric::RoundTripTime => Metric::RoundTripTime,
            LinkMetric::Jitter => Metric::Jitter,
            LinkMetric::Loss => Metric::Loss,
            LinkMetric::Throughput => Metric::Throughput,
            LinkMetric::Unspecified => Metric::Unknown,
        };
        Self {
            metrics: policy.metrics().map(metric).collect(),
            interval_ms: policy.interval_ms,
            probes: policy.probes,
            max_share_permille: policy.max_share_permille,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_printed() {
        let text = "metrics:\n- round-trip-time\n- loss\nprobes: 50\n";
        let measurement: Measurement = serde_norway::from_str(text).unwrap();
        assert_eq!(serde_norway::to_string(&measurement).unwrap(), text);
        let policy = MeasurementPolicy::from(measurement.clone());
        assert_eq!((policy.metrics.as_slice(), policy.probes), (&[1, 3][..], 50));
        assert_eq!(Measurement::from(policy), measurement);
        let short = text.replace("round-trip-time", "rtt");
        assert_eq!(serde_norway::from_str::<Measurement>(&short).unwrap(), measurement);
        assert!(serde_norway::from_str::<Measurement>("metrics: [speed]").is_err());
    }
}
