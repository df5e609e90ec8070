//! What was measured of links, as metrics: by slice and by node, of which there are as many as are
//! configured. Read when somebody scrapes, so that of a link that is not measured any more nothing is
//! told.

use l2sces_proto::measurement::v1::LinkMeasurement;
use metrics::{Label, Unit, describe_gauge, gauge};
use prost_types::Duration;

use crate::MeasuredLink;

const ROUND_TRIP_TIME: &str = "l2sces_link_round_trip_time_seconds";
const JITTER: &str = "l2sces_link_jitter_seconds";
const LOSS: &str = "l2sces_link_loss_ratio";
const THROUGHPUT: &str = "l2sces_link_throughput_bits_per_second";
const TIME: &str = "l2sces_link_measured_timestamp_seconds";

/// The last round of a link away from a node.
pub(crate) struct LastRound {
    pub(crate) node: String,
    pub(crate) link: MeasuredLink,
    pub(crate) measurement: LinkMeasurement,
}

/// Describes and sets the metrics of these rounds. What was not measured has none.
pub(crate) fn tell(rounds: &[LastRound]) {
    describe_gauge!(
        ROUND_TRIP_TIME,
        Unit::Seconds,
        "Median round-trip time of the last round of probes, in seconds."
    );
    describe_gauge!(
        JITTER,
        Unit::Seconds,
        "Mean difference between the delays of successive probes, in one direction, in seconds."
    );
    describe_gauge!(LOSS, "Share of the probes that were lost in one direction, 0 to 1.");
    describe_gauge!(THROUGHPUT, "What bursts of frames get through in one direction.");
    describe_gauge!(TIME, Unit::Seconds, "When the last round ended, as Unix time.");
    for LastRound { node, link, measurement } in rounds {
        let time = measurement.time.as_ref();
        let values = [
            (ROUND_TRIP_TIME, measurement.round_trip_time.as_ref().map(in_seconds)),
            (JITTER, measurement.jitter.as_ref().map(in_seconds)),
            (LOSS, measurement.loss),
            (THROUGHPUT, measurement.throughput_bits_per_second.map(|it| it as f64)),
            (TIME, time.map(|it| it.seconds as f64 + f64::from(it.nanos) / 1e9)),
        ];
        for slice in &link.slices {
            for (name, value) in values {
                let Some(value) = value else { continue };
                let labels = [("slice", slice.as_str()), ("from", node), ("to", &link.target)];
                let labels = labels.map(|(name, value)| Label::new(name, value.to_owned()));
                gauge!(name, labels.to_vec()).set(value);
            }
        }
    }
}

fn in_seconds(duration: &Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use l2sces_proto::measurement::v1::MeasurementPolicy;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::Policy;

    fn told(measurement: LinkMeasurement) -> BTreeSet<String> {
        let policy = MeasurementPolicy { metrics: vec![3], ..MeasurementPolicy::default() };
        let link = MeasuredLink {
            interface: "l2v-2".parse().unwrap(),
            target: "a/2".to_owned(),
            slices: ["s1", "s2"].map(|name| name.parse().unwrap()).into(),
            policy: Policy::read(&policy).unwrap(),
        };
        let round = LastRound { node: "a/1".to_owned(), link, measurement };
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || tell(&[round]));
        let text = recorder.handle().render();
        text.lines().filter(|line| line.starts_with("l2sces")).map(str::to_owned).collect()
    }

    #[test]
    fn a_round_is_told_for_every_slice_that_asks_for_it() {
        let seconds = |seconds, nanos| Some(Duration { seconds, nanos });
        let whole = LinkMeasurement {
            time: Some(prost_types::Timestamp { seconds: 7, nanos: 250_000_000 }),
            round_trip_time: seconds(1, 500_000_000),
            min_round_trip_time: seconds(1, 0),
            jitter: seconds(0, 125_000_000),
            loss: Some(0.25),
            throughput_bits_per_second: Some(9),
            ..LinkMeasurement::default()
        };
        let values = [
            "round_trip_time_seconds 1.5",
            "jitter_seconds 0.125",
            "loss_ratio 0.25",
            "throughput_bits_per_second 9",
            "measured_timestamp_seconds 7.25",
        ];
        let lines = |slice: &str| {
            let labels = format!("{{slice=\"{slice}\",from=\"a/1\",to=\"a/2\"}} ");
            values.map(|value| format!("l2sces_link_{}", value.replace(' ', &labels)))
        };
        assert_eq!(told(whole), ["s1", "s2"].iter().flat_map(|slice| lines(slice)).collect());
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let lost = LinkMeasurement { loss: Some(1.0), ..LinkMeasurement::default() };
        let lines = ["s1", "s2"].map(|slice| {
            format!("l2sces_link_loss_ratio{{slice=\"{slice}\",from=\"a/1\",to=\"a/2\"}} 1")
        });
        assert_eq!(told(lost), lines.into());
    }
}
