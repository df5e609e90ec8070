//! Packets that pods see over time, while things happen to them.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use l2sces_lab::probe::{RecordedFrame, Recording};
use l2sces_model::MacAddress;

use super::{data, testbed::Host};
use crate::networks::POD_INTERFACE;

/// How times of an experiment are told: as they are, or, where it is only tried out, shorter.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    /// When the first thing happens.
    pub(super) first: Duration,
    /// How long each lasts.
    pub(super) lasts: Duration,
    /// When the second happens, at the earliest.
    pub(super) second: Duration,
    /// When the control happens, at the earliest.
    pub(super) control: Duration,
    /// How long all of it takes, at least.
    pub(super) whole: Duration,
}

impl Schedule {
    /// The paper's times, with the control behind.
    pub(super) const PAPER: Self = Self {
        first: Duration::from_secs(5),
        lasts: Duration::from_secs(10),
        second: Duration::from_secs(20),
        control: Duration::from_secs(45),
        whole: Duration::from_secs(60),
    };
    /// Just enough of everything to see that it works.
    pub(super) const SMOKE: Self = Self {
        first: Duration::from_millis(500),
        lasts: Duration::from_secs(2),
        second: Duration::from_secs(3),
        control: Duration::from_secs(5),
        whole: Duration::from_secs(7),
    };

    /// Pings that go out while something lasts, five a second as in the paper.
    pub(super) fn pings(&self) -> u32 {
        u32::try_from(self.lasts.as_millis() / PING_INTERVAL.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Between pings, as in the paper.
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(200);

/// A recording of each of several pods, and what happened meanwhile.
pub(super) struct Timeline {
    start: SystemTime,
    recordings: Vec<(Station, Recording)>,
    events: Vec<Event>,
}

/// A pod that is recorded.
#[derive(Clone)]
pub(super) struct Station {
    name: String,
    /// What the plots call it.
    label: &'static str,
    mac: MacAddress,
}

/// Something that happened.
struct Event {
    name: &'static str,
    began: SystemTime,
    ended: SystemTime,
}

impl Timeline {
    /// Starts to record pods, each with what the plots call it.
    pub(super) async fn start(
        directory: &Path,
        experiment: &str,
        pods: &[(&Host, &'static str)],
    ) -> Result<Self> {
        let mut recordings = Vec::new();
        for (host, label) in pods {
            let name = host.pod.name().to_owned();
            let path = directory.join(format!("{experiment}_{name}.pcap"));
            let recording =
                Recording::start(host.pod.namespace(), POD_INTERFACE, "", &path).await?;
            recordings.push((Station { name, label, mac: host.mac }, recording));
        }
        Ok(Self { start: SystemTime::now(), recordings, events: Vec::new() })
    }

    /// Waits until a time since the start.
    pub(super) async fn reach(&self, time: Duration) -> Result<()> {
        tokio::time::sleep(time.saturating_sub(self.start.elapsed()?)).await;
        Ok(())
    }

    /// Lets something happen.
    pub(super) async fn event<T>(
        &mut self,
        name: &'static str,
        happening: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = SystemTime::now();
        let result = happening.await?;
        self.events.push(Event { name, began, ended: SystemTime::now() });
        Ok(result)
    }

    /// Ends the recordings.
    pub(super) async fn stop(self) -> Result<Recorded> {
        let Self { start, recordings, events } = self;
        let mut stations = Vec::new();
        for (station, recording) in recordings {
            stations.push((station, recording.stop().await?));
        }
        Ok(Recorded { start, end: SystemTime::now(), stations, events })
    }
}

/// What was recorded.
pub(super) struct Recorded {
    start: SystemTime,
    end: SystemTime,
    stations: Vec<(Station, Vec<RecordedFrame>)>,
    events: Vec<Event>,
}

impl Recorded {
    /// How many frames for which something holds a pod received, before an event began or, without
    /// one, at all.
    pub(super) fn received(
        &self,
        host: &Host,
        before: Option<&str>,
        is_meant: impl Fn(&[u8]) -> bool,
    ) -> usize {
        self.frames(host, before, |station, frame| !is_from(frame, station.mac) && is_meant(frame))
    }

    /// The same of what it sent.
    pub(super) fn sent(&self, host: &Host, is_meant: impl Fn(&[u8]) -> bool) -> usize {
        self.frames(host, None, |station, frame| is_from(frame, station.mac) && is_meant(frame))
    }

    fn frames(
        &self,
        host: &Host,
        before: Option<&str>,
        is_meant: impl Fn(&Station, &[u8]) -> bool,
    ) -> usize {
        let began = before.and_then(|name| self.events.iter().find(|event| event.name == name));
        let began = began.map_or(self.end, |event| event.began);
        let of = self.stations.iter().filter(|(station, _)| station.name == host.pod.name());
        of.flat_map(|(station, frames)| frames.iter().map(move |frame| (station, frame)))
            .filter(|(station, frame)| frame.time < began && is_meant(station, &frame.bytes))
            .count()
    }

    /// Writes how many packets each pod saw in each second, sent and received, and when things
    /// happened.
    pub(super) fn write(&self, directory: &Path, experiment: &str) -> Result<()> {
        let mut table = data::table(directory, &format!("{experiment}_packets.csv"))?;
        table.write_record(["pod", "label", "second", "packets"])?;
        for (station, frames) in &self.stations {
            for (second, packets) in self.per_second(frames)?.into_iter().enumerate() {
                let figures = [second.to_string(), packets.to_string()];
                table.write_record([&station.name, station.label, &figures[0], &figures[1]])?;
            }
        }
        table.flush()?;
        let mut table = data::table(directory, &format!("{experiment}_events.csv"))?;
        table.write_record(["event", "began_s", "ended_s"])?;
        for Event { name, began, ended } in &self.events {
            let times = [began, ended].map(|time| self.since_start(*time));
            let times = times.map(|time| format!("{:.3}", time.as_secs_f64()));
            table.write_record([*name, &times[0], &times[1]])?;
        }
        Ok(table.flush()?)
    }

    fn per_second(&self, frames: &[RecordedFrame]) -> Result<Vec<u64>> {
        let seconds = usize::try_from(self.since_start(self.end).as_secs())?;
        let mut packets = vec![0; seconds];
        for frame in frames {
            let second = usize::try_from(self.since_start(frame.time).as_secs())?;
            if let Some(packets) = packets.get_mut(second) {
                *packets += 1;
            }
        }
        Ok(packets)
    }

    fn since_start(&self, time: SystemTime) -> Duration {
        time.duration_since(self.start).unwrap_or_default()
    }
}

fn is_from(frame: &[u8], mac: MacAddress) -> bool {
    frame.get(6..12) == Some(&mac.bytes()[..])
}

/// Parts of an Ethernet frame that carries IPv4 without options, as those of ping and iperf do.
pub(super) mod frame {
    use std::net::Ipv4Addr;

    const ICMP: u8 = 1;
    const UDP: u8 = 17;
    const ECHO_REQUEST: u8 = 8;

    /// Whether it is a ping's request.
    pub(crate) fn is_ping(frame: &[u8]) -> bool {
        protocol(frame) == Some(ICMP) && frame.get(34) == Some(&ECHO_REQUEST)
    }

    /// Whether it is a UDP datagram to an address, with a time to live.
    pub(crate) fn is_datagram(frame: &[u8], to: Ipv4Addr, time_to_live: u8) -> bool {
        protocol(frame) == Some(UDP)
            && frame.get(30..34) == Some(&to.octets()[..])
            && frame.get(22) == Some(&time_to_live)
    }

    fn protocol(frame: &[u8]) -> Option<u8> {
        (frame.get(12..15)? == [8, 0, 0x45]).then(|| frame.get(23).copied())?
    }
}
