use l2sces_proto::measurement::v1::{LinkMetric, MeasurementPolicy};

use super::duration;

/// What is to be measured; nothing: no longer anything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure(pub(crate) Option<MeasurementPolicy>);

/// Parses `METRIC[,METRIC]...[,KEY=VALUE]...`, or `none`.
pub(crate) fn parse(text: &str) -> Result<Measure, String> {
    if text == "none" {
        return Ok(Measure(None));
    }
    let mut policy = MeasurementPolicy::default();
    for part in text.split(',') {
        match part.split_once('=') {
            None => policy.metrics.push(metric(part)?.into()),
            Some(("interval", value)) => {
                let interval = duration::parse(value).map_err(|why| format!("interval {why}"))?;
                policy.interval_ms = u32::try_from(interval.as_millis())
                    .map_err(|_| "interval is too long".to_owned())?;
            }
            Some(("probes", value)) => policy.probes = number("probes", value)?,
            Some(("max-share", value)) => {
                policy.max_share_permille = number("max-share", value)?;
            }
            Some((key, _)) => {
                return Err(format!("{key:?} is none of interval, probes, max-share"));
            }
        }
    }
    Ok(Measure(Some(policy)))
}

fn metric(text: &str) -> Result<LinkMetric, String> {
    Ok(match text {
        // The latter is the name in manifests.
        "rtt" | "round-trip-time" => LinkMetric::RoundTripTime,
        "jitter" => LinkMetric::Jitter,
        "loss" => LinkMetric::Loss,
        "throughput" => LinkMetric::Throughput,
        _ => return Err(format!("{text:?} is none of rtt, jitter, loss, throughput")),
    })
}

fn number(key: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{key} must be a number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_may_be_followed_by_how() {
        let Measure(policy) = parse("rtt,loss,interval=30s,probes=100,max-share=20").unwrap();
        let expected = MeasurementPolicy {
            metrics: vec![1, 3],
            interval_ms: 30_000,
            probes: 100,
            max_share_permille: 20,
        };
        assert_eq!(policy, Some(expected));
        assert_eq!(parse("none"), Ok(Measure(None)));
        assert_eq!(parse("round-trip-time"), parse("rtt"), "as in manifests");
        for text in ["", "speed", "rtt,interval=3", "rtt,probes=x", "rtt,often=1", "rtt,none"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
