//! What is measured of links, out of the words of resources.

use std::collections::BTreeSet;

use l2sces_custom_resources::{LinkMetric, MeasurementPolicy, Monitor};
use l2sces_proto::measurement::v1 as proto;

/// Milliseconds of a minute, in which L2S-M gives intervals.
const MINUTE_MS: u32 = 60_000;
/// The longest interval between rounds that there is.
const LONGEST_INTERVAL_MS: u32 = 3_600_000;

/// What a resource asks to be measured: its policy, or what L2S-M's way of asking comes to.
pub fn measurement_policy(
    policy: Option<&MeasurementPolicy>,
    monitor: Option<&Monitor>,
) -> Option<proto::MeasurementPolicy> {
    policy.map(of_policy).or_else(|| monitor.and_then(of_monitor))
}

fn of_policy(policy: &MeasurementPolicy) -> proto::MeasurementPolicy {
    let number = |number: Option<i32>| {
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    };
    proto::MeasurementPolicy {
        metrics: policy.metrics.iter().map(|metric| metric_of(*metric).into()).collect(),
        interval_ms: number(policy.interval_milliseconds),
        probes: number(policy.probes),
        max_share_permille: number(policy.max_share_permille),
    }
}

fn of_monitor(monitor: &Monitor) -> Option<proto::MeasurementPolicy> {
    let known = monitor.metrics.iter().filter_map(|spec| Some((named(&spec.name)?, spec.interval)));
    let metrics: BTreeSet<i32> =
        known.clone().map(|(metric, _)| metric_of(metric).into()).collect();
    // One interval for all: nothing is measured less often than it was asked for.
    let minutes = known.filter_map(|(_, interval)| u32::try_from(interval?).ok()).min();
    let interval_ms =
        minutes.map_or(0, |minutes| minutes.saturating_mul(MINUTE_MS).min(LONGEST_INTERVAL_MS));
    (!metrics.is_empty()).then(|| proto::MeasurementPolicy {
        metrics: metrics.into_iter().collect(),
        interval_ms,
        ..proto::MeasurementPolicy::default()
    })
}

/// The names of metrics that L2S-M's way of asking has, and that cannot be measured.
fn unknown_metrics(monitor: &Monitor) -> Vec<&str> {
    let names = monitor.metrics.iter().map(|metric| metric.name.as_str());
    names.filter(|name| named(name).is_none()).collect()
}

/// What of a monitor is not carried out: paths of fields.
pub fn ignored_of_monitor(monitor: &Monitor) -> Vec<String> {
    let mut fields = Vec::new();
    if monitor.export_metric.is_some() {
        fields.push("spec.monitor.exportMetric".to_owned());
    }
    if monitor.network_cidr.is_some() {
        fields.push("spec.monitor.networkCIDR".to_owned());
    }
    if monitor.ip_cidr.is_some() {
        fields.push("spec.monitor.ipCIDR".to_owned());
    }
    if monitor.metrics.iter().any(|metric| metric.script_source.is_some()) {
        fields.push("spec.monitor.metrics[].scriptSource".to_owned());
    }
    let unknown = unknown_metrics(monitor).into_iter();
    fields.extend(unknown.map(|name| format!("spec.monitor.metrics: {name}")));
    fields
}

fn named(name: &str) -> Option<LinkMetric> {
    match name {
        "rtt" => Some(LinkMetric::Rtt),
        "jitter" => Some(LinkMetric::Jitter),
        "loss" => Some(LinkMetric::Loss),
        "throughput" => Some(LinkMetric::Throughput),
        _ => None,
    }
}

fn metric_of(metric: LinkMetric) -> proto::LinkMetric {
    match metric {
        LinkMetric::Rtt => proto::LinkMetric::RoundTripTime,
        LinkMetric::Jitter => proto::LinkMetric::Jitter,
        LinkMetric::Loss => proto::LinkMetric::Loss,
        LinkMetric::Throughput => proto::LinkMetric::Throughput,
    }
}

#[cfg(test)]
mod tests {
    use l2sces_custom_resources::MetricSpec;

    use super::*;

    fn monitor(metrics: &[(&str, Option<i32>)]) -> Monitor {
        let metrics = metrics.iter().map(|(name, interval)| MetricSpec {
            name: (*name).to_owned(),
            interval: *interval,
            script_source: None,
        });
        Monitor {
            metrics: metrics.collect(),
            spread_factor: "0.2".to_owned(),
            export_metric: None,
            network_cidr: None,
            ip_cidr: None,
        }
    }

    #[test]
    fn a_monitor_asks_for_what_it_names_and_as_often_as_the_most_frequent() {
        let asked = monitor(&[
            ("rtt", Some(10)),
            ("throughput", Some(2)),
            ("rtt", None),
            ("custom", Some(1)),
        ]);
        let policy = measurement_policy(None, Some(&asked)).unwrap();
        assert_eq!(
            policy.metrics().collect::<Vec<_>>(),
            [proto::LinkMetric::RoundTripTime, proto::LinkMetric::Throughput]
        );
        assert_eq!(policy.interval_ms, 120_000);
        assert_eq!(unknown_metrics(&asked), ["custom"]);
        assert_eq!(measurement_policy(None, Some(&monitor(&[("custom", None)]))), None);
        let daily = measurement_policy(None, Some(&monitor(&[("rtt", Some(1_440))]))).unwrap();
        assert_eq!(daily.interval_ms, LONGEST_INTERVAL_MS);
    }

    #[test]
    fn a_policy_counts_before_a_monitor() {
        let exact = MeasurementPolicy {
            metrics: vec![LinkMetric::Loss],
            interval_milliseconds: Some(2_000),
            probes: None,
            max_share_permille: Some(5),
        };
        let policy = measurement_policy(Some(&exact), Some(&monitor(&[("rtt", None)]))).unwrap();
        assert_eq!(policy.metrics().collect::<Vec<_>>(), [proto::LinkMetric::Loss]);
        assert_eq!((policy.interval_ms, policy.probes, policy.max_share_permille), (2_000, 0, 5));
    }
}
