//! What is of links, in the words of resources.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use l2sces_custom_resources::{LinkStatus, MetricValue};
use l2sces_kubernetes::conditions;
use l2sces_proto::measurement::v1::{LinkMeasurement, MeasurementPolicy};
use l2sces_reconcile::Outcome;

/// The most links that a status lists, of up to some 400 bytes each: an API server keeps no resource of more
/// than 1.5 MiB, and each of many nodes may be linked with each.
const MOST_LINKS: usize = 1_000;

/// Least time between looks at what is measured.
const SHORTEST_PAUSE: Duration = Duration::from_secs(15);

/// What a status says of links.
#[derive(Debug, PartialEq)]
pub(super) struct Links {
    pub(super) metrics: Vec<LinkStatus>,
    /// That they are not all, if so.
    pub(super) truncated: Option<Condition>,
}

impl Links {
    /// What is said of these, by their state and status; where there are too many, of those that are down
    /// rather than of those that are up.
    pub(super) fn of<L>(
        mut links: Vec<L>,
        is_up: impl Fn(&L) -> bool,
        status: impl Fn(L) -> LinkStatus,
        generation: Option<i64>,
    ) -> Self {
        let all = links.len();
        if all > MOST_LINKS {
            links.sort_by_key(is_up);
            links.truncate(MOST_LINKS);
        }
        let metrics: Vec<_> = links.into_iter().map(status).collect();
        let truncated = conditions::truncated("links", metrics.len(), all, generation);
        Self { metrics, truncated }
    }
}

/// When to look again at links that are measured: nobody tells of what is measured.
pub(super) fn look_again(policy: Option<&MeasurementPolicy>) -> Outcome {
    policy.map_or(Outcome::Done, |policy| {
        let interval = Duration::from_millis(policy.interval_ms.into());
        Outcome::After(interval.max(SHORTEST_PAUSE))
    })
}

/// The status of a link.
pub(super) fn status(
    source: &str,
    target: &str,
    up: bool,
    measurement: Option<&LinkMeasurement>,
) -> LinkStatus {
    LinkStatus {
        source_node: source.to_owned(),
        target_node: target.to_owned(),
        status: if up { "Up" } else { "Down" }.to_owned(),
        metrics: measurement.map(metrics).unwrap_or_default(),
    }
}

fn metrics(measurement: &LinkMeasurement) -> Vec<MetricValue> {
    let milliseconds = |duration: &prost_types::Duration| {
        let nanoseconds = f64::from(duration.nanos);
        // Durations of links are far from where a double is not exact.
        Duration::from_secs(duration.seconds.try_into().unwrap_or_default()).as_secs_f64() * 1e3
            + nanoseconds / 1e6
    };
    let value = |name: &str, value: String| MetricValue { name: name.to_owned(), value };
    let rtt = measurement.round_trip_time.as_ref().map(milliseconds);
    let jitter = measurement.jitter.as_ref().map(milliseconds);
    let kilobits = measurement.throughput_bits_per_second.map(|bits| bits / 1_000);
    [
        rtt.map(|rtt| value("rtt", format!("{rtt:.3}"))),
        jitter.map(|jitter| value("jitter", format!("{jitter:.3}"))),
        measurement.loss.map(|loss| value("loss", format!("{loss:.4}"))),
        kilobits.map(|kilobits| value("throughput", kilobits.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_numbers_in_the_units_of_upstream() {
        let measurement = LinkMeasurement {
            round_trip_time: Some(prost_types::Duration { seconds: 1, nanos: 2_345_678 }),
            jitter: Some(prost_types::Duration { seconds: 0, nanos: 1_500 }),
            loss: Some(0.25),
            throughput_bits_per_second: Some(12_345_678),
            ..LinkMeasurement::default()
        };
        let status = status("a1", "a2", true, Some(&measurement));
        let metrics: Vec<_> =
            status.metrics.iter().map(|metric| (&*metric.name, &*metric.value)).collect();
        assert_eq!(
            metrics,
            [("rtt", "1002.346"), ("jitter", "0.002"), ("loss", "0.2500"), ("throughput", "12345")]
        );
        assert_eq!(status.status, "Up");
    }

    #[test]
    fn of_too_many_links_those_are_told_that_are_down() {
        let links = |count: usize| -> Vec<(String, bool)> {
            (0..count).map(|number| (format!("a{number}"), number % 500 != 499)).collect()
        };
        let of = |links: Vec<(String, bool)>| {
            Links::of(links, |(_, up)| *up, |(source, up)| status(&source, "b", up, None), None)
        };
        let all = of(links(MOST_LINKS));
        assert_eq!((all.metrics.len(), all.truncated), (MOST_LINKS, None));
        assert_eq!(all.metrics[0].source_node, "a0", "their order is as it was");

        let some = of(links(MOST_LINKS * 3));
        assert_eq!(some.truncated.unwrap().message, "1000 of 3000 links are listed");
        let (down, up) = some.metrics.split_at(6);
        assert!(down.iter().all(|link| link.status == "Down"), "{down:?}");
        assert_eq!(up.len(), MOST_LINKS - 6);
        assert_eq!(up[0].source_node, "a0");
    }

    #[test]
    fn what_is_not_measured_is_not_looked_at_again() {
        assert_eq!(look_again(None), Outcome::Done);
        let policy = MeasurementPolicy { interval_ms: 60_000, ..MeasurementPolicy::default() };
        assert_eq!(look_again(Some(&policy)), Outcome::After(Duration::from_secs(60)));
        let policy = MeasurementPolicy::default();
        assert_eq!(look_again(Some(&policy)), Outcome::After(SHORTEST_PAUSE));
    }
}
