//! Links and their measurements, as they are printed.

use l2sces_proto::slice::v1::{LinkEnd, LinkStatus};
use prost_types::Duration;
use serde::Serialize;

use crate::resource::Now;

pub(crate) const COLUMNS: [&str; 9] =
    ["FROM", "TO", "UP", "RTT", "JITTER", "LOSS", "THROUGHPUT", "AGE", "REASON"];

/// A link in one direction, for programs. Times in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    from: String,
    to: String,
    up: bool,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    measurement: Option<Measurement>,
    measurement_message: String,
}

#[derive(Debug, Serialize)]
struct Measurement {
    time: String,
    probes_sent: u32,
    probes_returned: u32,
    round_trip_time: Option<f64>,
    min_round_trip_time: Option<f64>,
    jitter: Option<f64>,
    jitter_samples: u32,
    loss: Option<f64>,
    throughput_bits_per_second: Option<u64>,
    throughput_samples: u32,
}

impl From<LinkStatus> for Link {
    fn from(link: LinkStatus) -> Self {
        let measurement = link.measurement.map(|it| Measurement {
            time: it.time.as_ref().map(ToString::to_string).unwrap_or_default(),
            probes_sent: it.probes_sent,
            probes_returned: it.probes_returned,
            round_trip_time: it.round_trip_time.as_ref().map(seconds),
            min_round_trip_time: it.min_round_trip_time.as_ref().map(seconds),
            jitter: it.jitter.as_ref().map(seconds),
            jitter_samples: it.jitter_samples,
            loss: it.loss,
            throughput_bits_per_second: it.throughput_bits_per_second,
            throughput_samples: it.throughput_samples,
        });
        Self {
            from: end(link.source.as_ref()),
            to: end(link.target.as_ref()),
            up: link.up,
            message: link.message,
            measurement,
            measurement_message: link.measurement_message,
        }
    }
}

/// What stands in the columns; "-": not measured, or not known.
pub(crate) fn cells(link: &LinkStatus, now: Now) -> Vec<String> {
    let measured = link.measurement.unwrap_or_default();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |time: Option<&Duration>| {
        or_dash(time.map(|time| format!("{:.2}ms", seconds(time) * 1_000.0)))
    };
    vec![
        end(link.source.as_ref()),
        end(link.target.as_ref()),
        if link.up { "yes" } else { "no" }.to_owned(),
        time(measured.round_trip_time.as_ref()),
        time(measured.jitter.as_ref()),
        or_dash(measured.loss.map(|loss| format!("{:.1}%", loss * 100.0))),
        or_dash(measured.throughput_bits_per_second.map(bits)),
        link.measurement.as_ref().map_or("-".to_owned(), |it| now.age(it.time.as_ref())),
        reason(link),
    ]
}

/// Why the link is down, and why it is not measured; empty: nothing is wrong.
fn reason(link: &LinkStatus) -> String {
    let unmeasured = match link.measurement_message.as_str() {
        "" => String::new(),
        why => format!("not measured: {why}"),
    };
    let reasons = [link.message.as_str(), unmeasured.as_str()];
    reasons.into_iter().filter(|reason| !reason.is_empty()).collect::<Vec<_>>().join("; ")
}

fn end(end: Option<&LinkEnd>) -> String {
    end.map(|end| format!("{}/{}", end.cluster, end.node)).unwrap_or_default()
}

fn seconds(duration: &Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

fn bits(per_second: u64) -> String {
    let of = per_second as f64;
    match per_second {
        1_000_000_000.. => format!("{:.2}Gbit/s", of / 1e9),
        1_000_000.. => format!("{:.1}Mbit/s", of / 1e6),
        _ => format!("{:.1}kbit/s", of / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use l2sces_proto::measurement::v1::LinkMeasurement;

    use super::*;

    fn link(measurement: Option<LinkMeasurement>) -> LinkStatus {
        let end = |node: &str| Some(LinkEnd { cluster: "a".into(), node: node.into() });
        let (source, target) = (end("a1"), end("a2"));
        LinkStatus { source, target, up: true, measurement, ..LinkStatus::default() }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let now = Now::from_clock();
        let expected = ["a/a1", "a/a2", "yes", "-", "-", "-", "-", "-", ""];
        assert_eq!(cells(&link(None), now), expected);
        let measured = LinkMeasurement {
            round_trip_time: Some(Duration { seconds: 0, nanos: 40_123_000 }),
            loss: Some(0.052),
            throughput_bits_per_second: Some(19_100_000),
            ..LinkMeasurement::default()
        };
        let cells = cells(&link(Some(measured)), now);
        assert_eq!(cells[3..7], ["40.12ms", "-", "5.2%", "19.1Mbit/s"]);
    }

    #[test]
    fn the_reason_is_of_the_link_and_of_its_measurement() {
        let mut link = link(None);
        link.measurement_message = "the agent is away".into();
        assert_eq!(reason(&link), "not measured: the agent is away");
        link.message = "it is down".into();
        assert_eq!(reason(&link), "it is down; not measured: the agent is away");
    }
}
