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
