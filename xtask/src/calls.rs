//! The calls that services of a lab have served, by their logs.

use std::time::SystemTime;

use anyhow::{Context, Result};
use chrono::DateTime;
use l2sces_lab::{Lab, Unit};

/// The log filter of a lab whose calls are to be known.
pub(crate) const LOG_FILTER: &str = "warn,l2sces_grpc=trace";
/// What a server logs of every call that comes in, after the span that names the call.
const CALL: &str = "call begins";

/// A call that a service has served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// When it came in.
    pub(crate) time: SystemTime,
    /// Without its service; "?" if the log does not tell.
    pub(crate) method: String,
}

/// The calls that a process has served, in their order.
pub(crate) fn served(lab: &Lab, unit: &Unit) -> Result<Vec<Call>> {
    let log = lab.log(unit)?;
    log.lines().filter(|line| line.contains(CALL)).map(parse).collect()
}

/// Reads "TIME TRACE ... rpc.method=METHOD ...: call begins", where the method may be in quotes.
fn parse(line: &str) -> Result<Call> {
    let time = line.split_whitespace().next().unwrap_or_default();
    let time = DateTime::parse_from_rfc3339(time).with_context(|| format!("no call: {line:?}"))?;
    let method = line.split_once("rpc.method=").map_or("?", |(_, rest)| rest);
    let method = method.trim_start_matches('"');
    let end = method.find(|c: char| !c.is_ascii_alphanumeric() && c != '?');
    let method = method[..end.unwrap_or(method.len())].to_owned();
    Ok(Call { time: time.into(), method })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_of_a_log_tells_a_call() {
        for method in ["Apply", "\"Apply\""] {
            let line = format!(
                "1970-01-01T00:00:07.000009Z TRACE rpc{{rpc.method={method} a=1}}: x: call begins"
            );
            let time = SystemTime::UNIX_EPOCH + Duration::new(7, 9_000);
            assert_eq!(parse(&line).unwrap(), Call { time, method: "Apply".to_owned() });
        }
        assert!(parse("call begins").is_err());
    }
}
