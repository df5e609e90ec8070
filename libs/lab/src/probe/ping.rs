use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
};

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
};

/// How many seconds [`Ping::run_until_answered`] takes at most.
const DEADLINE: &str = "30";

/// How to ping (ping(8)).
#[derive(Clone, Debug)]
pub struct Ping {
    /// Whom; may be a broadcast or multicast address.
    pub destination: IpAddr,
    /// Number of requests.
    pub count: u32,
    /// Time between requests.
    pub interval: Duration,
    /// How long to wait for a reply after the last request.
    pub patience: Duration,
    /// Bytes of payload; with the headers of ICMP and IPv4, 28 more.
    pub size: Option<u32>,
    /// Forbid fragmentation.
    pub dont_fragment: bool,
}

/// What came of a ping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub received: u64,
    /// Replies beyond the first to a request.
    pub duplicates: u64,
    /// Who answered.
    pub responders: BTreeSet<IpAddr>,
    /// Sequence numbers of requests that were not answered although a later one was: they are
    /// lost for sure, while the last ones may have been under way when the ping was stopped.
    pub gaps: BTreeSet<u64>,
    /// Average time from a request to its reply.
    pub round_trip: Option<Duration>,
    /// Shortest time from a request to its reply: what a busy machine added is not in it.
    pub shortest_round_trip: Option<Duration>,
}

impl PingReport {
    /// Every request was answered, once.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0 && self.sent == self.received && self.duplicates == 0
    }

    /// So many requests were answered, or more, each once, and none is known to be lost.
    pub fn has_answers(&self, number: u32) -> bool {
        self.received >= u64::from(number) && self.gaps.is_empty() && self.duplicates == 0
    }

    /// Requests that were not answered.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

impl Ping {
    /// `count` pings, 100 ms apart, with ten seconds of patience: much less, and a busy machine
    /// looks like a lost frame. It costs nothing where all are answered, and whoever expects no
    /// answer gives a patience of their own. Once there was a reply, ping(8) waits for the last one
    /// no longer than that time or two round trips.
    pub fn new(destination: impl Into<IpAddr>, count: u32) -> Self {
        Self {
            destination: destination.into(),
            count,
            interval: Duration::from_millis(100),
            patience: Duration::from_secs(10),
            size: None,
            dont_fragment: false,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "-n".to_owned(),
            "-b".to_owned(),
            "-O".to_owned(),
            "-i".to_owned(),
            self.interval.as_secs_f64().to_string(),
            "-W".to_owned(),
            self.patience.as_secs_f64().to_string(),
        ];
        if let Some(size) = self.size {
            arguments.extend(["-s".to_owned(), size.to_string()]);
        }
        if self.dont_fragment {
            arguments.extend(["-M".to_owned(), "do".to_owned()]);
        }
        arguments
    }

    /// Pings to the end.
    ///
    /// # Errors
    /// `ping` could not be started. That nobody answers is no error.
    pub async fn run(&self, namespace: &Namespace) -> Result<PingReport, LabError> {
        self.run_with(namespace, &[]).await
    }

    /// Pings until `count` requests are answered, but for no longer than half a minute, whatever
    /// `patience` says: unlike [`run`](Self::run), it takes no reply for lost that a busy machine holds
    /// up. It may send more requests; of those that are lost the report has gaps, see
    /// [`PingReport::has_answers`].
    ///
    /// # Errors
    /// `ping` could not be started. That nobody answers is no error.
    pub async fn run_until_answered(&self, namespace: &Namespace) -> Result<PingReport, LabError> {
        self.run_with(namespace, &["-w", DEADLINE]).await
    }

    async fn run_with(
        &self,
        namespace: &Namespace,
        arguments: &[&str],
    ) -> Result<PingReport, LabError> {
        let mut ping = namespace.command("ping")?;
        ping.args(self.arguments()).args(arguments).arg("-c").arg(self.count.to_string());
        let output = crate::command::output(ping.arg(self.destination.to_string())).await?;
        Ok(parse(&output.stdout))
    }

    /// Pings until stopped, whatever `count` says.
    ///
    /// # Errors
    /// `ping` could not be started.
    pub fn start(&self, namespace: &Namespace) -> Result<RunningPing, LabError> {
        let what = || "start ping".to_owned();
        let mut ping = namespace.command("ping")?;
        ping.args(self.arguments()).arg(self.destination.to_string()).stderr(Stdio::null());
        let mut child = ping.spawn().context(what)?;
        let stdout = child.stdout.take().ok_or(io::Error::from(io::ErrorKind::BrokenPipe));
        let output = BufReader::new(stdout.context(what)?);
        Ok(RunningPing { child, output, text: String::new() })
    }
}

/// A ping that runs until it is stopped.
pub struct RunningPing {
    child: Child,
    output: BufReader<ChildStdout>,
    text: String,
}

impl RunningPing {
    /// Waits for the next reply and returns when it came.
    ///
    /// # Errors
    /// None comes within `limit`.
    pub async fn next_reply(&mut self, limit: Duration) -> Result<Instant, LabError> {
        let read = async {
            loop {
                let start = self.text.len();
                let length = self.output.read_line(&mut self.text).await?;
                if length == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                if reply(&self.text[start..]).is_some() {
                    return Ok(Instant::now());
                }
            }
        };
        match tokio::time::timeout(limit, read).await {
            Ok(result) => result.context(|| "read from ping".to_owned()),
            Err(_) => Err(LabError::Timeout {
                what: "a ping is answered".to_owned(),
                limit,
                detail: String::new(),
            }),
        }
    }

    /// Stops it and returns what came of it. The last request may still be under way: then it
    /// counts as lost, so give it a moment when it must not.
    ///
    /// # Errors
    /// Its output could not be read.
    pub async fn stop(mut self) -> Result<PingReport, LabError> {
        let what = || "stop ping".to_owned();
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGINT).context(what)?;
        }
        while self.output.read_line(&mut self.text).await.context(what)? > 0 {}
        self.child.wait().await.context(what)?;
        Ok(parse(&self.text))
    }
}

/// Who sent the reply that a line of `ping` tells of.
fn reply(line: &str) -> Option<IpAddr> {
    let (from, rest) = line.split_once(" bytes from ")?.1.split_once(": ")?;
    rest.contains("icmp_seq=").then(|| from.parse().ok())?
}

/// The sequence number of the request that a line of `ping` tells a reply to.
fn answered(line: &str) -> Option<u64> {
    reply(line)?;
    line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok()
}

fn parse(text: &str) -> PingReport {
    let mut report =
        PingReport { responders: text.lines().filter_map(reply).collect(), ..Default::default() };
    let answered: BTreeSet<u64> = text.lines().filter_map(answered).collect();
    let last = answered.last().copied().unwrap_or_default();
    report.gaps = (1..last).filter(|number| !answered.contains(number)).collect();
    // "3 packets transmitted, 3 received, +2 duplicates, 0% packet loss, time 2003ms"
    // "rtt min/avg/max/mdev = 0.031/0.042/0.052/0.007 ms"
    let times = text.lines().find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = "));
    let time = |position| {
        let milliseconds = times?.split('/').nth(position)?.parse::<f64>().ok()?;
        Some(Duration::from_secs_f64(milliseconds / 1e3))
    };
    report.shortest_round_trip = time(0);
    report.round_trip = time(1);
    let Some(summary) = text.lines().find(|line| line.contains(" packets transmitted")) else {
        return report;
    };
    for part in summary.split(", ") {
        let mut words = part.split(' ');
        let number = words.next().and_then(|word| word.trim_start_matches('+').parse().ok());
        let Some(number) = number else { continue };
        match words.next() {
            Some("packets") => report.sent = number,
            Some("received") => report.received = number,
            Some("duplicates") => report.duplicates = number,
            _ => {}
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ping_says() {
        let text = "PING 10.1.0.255 (10.1.0.255) 56(84) bytes of data.\n\
            64 bytes from 10.1.0.3: icmp_seq=1 ttl=64 time=0.5 ms\n\
            64 bytes from 10.1.0.4: icmp_seq=1 ttl=64 time=0.6 ms (DUP!)\n\
            no answer yet for icmp_seq=2\n\
            From 10.1.0.9 icmp_seq=3 Destination Host Unreachable\n\n\
            --- 10.1.0.255 ping statistics ---\n\
            3 packets transmitted, 1 received, +1 duplicates, +1 errors, 66% packet loss, time 2ms\n\
            rtt min/avg/max/mdev = 0.400/0.500/0.600/0.040 ms\n";
        let responders = ["10.1.0.3", "10.1.0.4"].map(|a| a.parse::<IpAddr>().unwrap());
        let report = parse(text);
        let expected = PingReport {
            sent: 3,
            received: 1,
            duplicates: 1,
            responders: responders.into(),
            gaps: BTreeSet::new(),
            round_trip: Some(Duration::from_micros(500)),
            shortest_round_trip: Some(Duration::from_micros(400)),
        };
        assert_eq!(report, expected);
        assert_eq!(report.lost(), 2);
        assert!(!report.is_perfect());
    }

    #[test]
    fn requests_under_way_are_not_lost_but_gaps_and_duplicates_count() {
        let report = PingReport { sent: 5, received: 3, ..Default::default() };
        assert!(report.has_answers(3) && !report.is_perfect());
        assert!(!report.has_answers(4));
        let with_gap = PingReport { gaps: BTreeSet::from([2]), ..report.clone() };
        assert!(!with_gap.has_answers(3));
        assert!(!PingReport { duplicates: 1, ..report }.has_answers(3));
    }

    #[test]
    fn a_request_is_lost_for_sure_when_a_later_one_was_answered() {
        let replies =
            [1, 2, 4, 6].map(|n| format!("64 bytes from 10.1.0.3: icmp_seq={n} ttl=64\n"));
        assert_eq!(parse(&replies.concat()).gaps, BTreeSet::from([3, 5]));
    }
}
