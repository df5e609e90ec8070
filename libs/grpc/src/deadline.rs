use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// Deadline of an RPC for which the caller set none; `Watch...` RPCs have none then.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

const HEADER: &str = "grpc-timeout";

/// The time that an outgoing RPC may take, which is put into its headers if it is not there yet.
pub(crate) fn impose(headers: &mut HeaderMap, method: &str) -> Option<Duration> {
    if let Some(value) = headers.get(HEADER) {
        return parse(value);
    }
    if method.starts_with("Watch") {
        return None;
    }
    let milliseconds = format!("{}m", DEFAULT_DEADLINE.as_millis());
    headers.insert(HEADER, HeaderValue::try_from(milliseconds).ok()?);
    Some(DEFAULT_DEADLINE)
}

/// Parses a time-out: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imposed(method: &str, header: Option<&'static str>) -> (Option<Duration>, Option<String>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(HEADER, HeaderValue::from_static(value));
        }
        let deadline = impose(&mut headers, method);
        (deadline, headers.get(HEADER).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn only_calls_without_a_deadline_that_are_no_watches_get_the_default() {
        assert_eq!(imposed("GetPort", None), (Some(DEFAULT_DEADLINE), Some("10000m".into())));
        assert_eq!(imposed("WatchPorts", None), (None, None));
        let own = Some(Duration::from_millis(250));
        assert_eq!(imposed("GetPort", Some("250m")), (own, Some("250m".into())));
        assert_eq!(imposed("WatchPorts", Some("250m")), (own, Some("250m".into())));
    }

    #[test]
    fn parses_every_unit_and_refuses_the_rest() {
        let cases = [
            ("2H", Some(Duration::from_secs(7200))),
            ("2M", Some(Duration::from_secs(120))),
            ("2S", Some(Duration::from_secs(2))),
            ("2u", Some(Duration::from_micros(2))),
            ("2n", Some(Duration::from_nanos(2))),
            ("", None),
            ("S", None),
            ("2", None),
            ("-2S", None),
            ("123456789S", None),
        ];
        for (text, duration) in cases {
            assert_eq!(parse(&HeaderValue::from_static(text)), duration, "{text:?}");
        }
    }
}
