//! Streams between the members of one network, and what becomes of every frame.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use l2sces_lab::{
    probe::{LinkCounters, LinkName, Received, Stream, StreamId, StreamReceiver, StreamSpec},
    wait,
};
use l2sces_model::MacAddress;

use crate::{LIMIT, Member};

/// How many frames in a row must come everywhere before a network is taken to have settled.
const IN_A_ROW: u32 = 5;

/// How many frames tell how things stand where a network does not settle.
const RECENT: u32 = 100;

/// Streams between the members of one network, which may come and go meanwhile.
pub struct Traffic {
    interval: Duration,
    stations: BTreeMap<String, Station>,
    /// What those who have left had received.
    left: Vec<(Member, BTreeMap<StreamId, Received>)>,
    flows: Vec<Flow>,
    /// Most stations that there were at a time.
    most: usize,
    /// Sums of the streams that are forgotten.
    retired: Figures,
}

struct Station {
    member: Member,
    receiver: StreamReceiver,
}

/// A stream from a station to the one with a MAC address, wherever that is, or to all others.
struct Flow {
    from: String,
    to: MacAddress,
    id: StreamId,
    state: State,
    /// Whether frames may have been flooded: nobody had the address for a while.
    may_flood: bool,
}

/// Why a network has not settled.
struct Unsettled {
    why: String,
    /// The frames are lost, rather than under way.
    is_lost: bool,
}

enum State {
    Running(Stream),
    Ended { sent: u32 },
}

/// What became of the frames of all streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Frames sent to one station, and to all.
    pub sent: [u64; 2],
    /// Frames received.
    pub received: u64,
    /// Unicast frames received by others than they were sent to.
    pub strays: u64,
}

impl Figures {
    fn plus(self, other: Self) -> Self {
        let [unicast, broadcast] = other.sent;
        Self {
            sent: [self.sent[0] + unicast, self.sent[1] + broadcast],
            received: self.received + other.received,
            strays: self.strays + other.strays,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [unicast, broadcast] = self.sent;
        let Self { received, strays, .. } = self;
        write!(f, "{unicast} unicast and {broadcast} broadcast frames sent, {received} received")?;
        write!(f, " ({strays} flooded to others)")
    }
}

impl Flow {
    fn sent(&self) -> u32 {
        match &self.state {
            State::Running(stream) => stream.sent(),
            State::Ended { sent } => *sent,
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    fn is_broadcast(&self) -> bool {
        self.to == MacAddress::BROADCAST
    }

    fn end(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ended { sent: 0 }) {
            State::Running(stream) => State::Ended { sent: stream.stop() },
            ended @ State::Ended { .. } => ended,
        };
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream of {} to {}", self.from, self.to)
    }
}

impl Traffic {
    /// No stream yet; each will send a frame per interval.
    pub fn new(interval: Duration) -> Self {
        let (stations, left, flows) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { interval, stations, left, flows, most: 0, retired: Figures::default() }
    }

    /// Every member to every other, and to all.
    pub fn among(members: &[Member], interval: Duration) -> Result<Self> {
        let mut traffic = Self::new(interval);
        for member in members {
            traffic.listen(member)?;
        }
        for from in members {
            traffic.broadcast(from)?;
            for to in members.iter().filter(|to| to.mac != from.mac) {
                traffic.unicast(from, to.mac)?;
            }
        }
        Ok(traffic)
    }

    /// A member joins: it is expected to receive what concerns it.
    pub fn listen(&mut self, member: &Member) -> Result<()> {
        let receiver = StreamReceiver::start(member.pod.namespace())?;
        let station = Station { member: member.clone(), receiver };
        self.stations.insert(member.pod.name().to_owned(), station);
        self.most = self.most.max(self.stations.len());
        Ok(())
    }

    /// Starts a stream from a member to all others.
    pub fn broadcast(&mut self, from: &Member) -> Result<()> {
        self.unicast(from, MacAddress::BROADCAST)
    }

    /// Starts a stream from a member to a MAC address.
    pub fn unicast(&mut self, from: &Member, to: MacAddress) -> Result<()> {
        let spec = StreamSpec {
            interface: "net1".to_owned(),
            source: from.mac,
            destination: to,
            interval: self.interval,
        };
        let stream = Stream::start(from.pod.namespace(), spec)?;
        let (from, id) = (from.pod.name().to_owned(), stream.id());
        let state = State::Running(stream);
        self.flows.push(Flow { from, to, id, state, may_flood: to == MacAddress::BROADCAST });
        Ok(())
    }

    /// A member leaves: its streams end. Those that it was sent go on: another may have its address.
    pub fn leave(&mut self, pod: &str) {
        for flow in self.flows.iter_mut().filter(|flow| flow.from == pod) {
            flow.end();
        }
        if let Some(Station { member, receiver }) = self.stations.remove(pod) {
            for flow in self.flows.iter_mut().filter(|flow| flow.to == member.mac) {
                flow.may_flood = true;
            }
            let received = receiver.streams().into_iter().map(|id| (id, receiver.of(id)));
            self.left.push((member, received.collect()));
        }
    }

    /// Ends the streams to a MAC address.
    pub fn end_to(&mut self, to: MacAddress) {
        for flow in self.flows.iter_mut().filter(|flow| flow.to == to) {
            flow.end();
        }
    }

    /// Ends all streams.
    pub fn end(&mut self) {
        self.flows.iter_mut().for_each(Flow::end);
    }

    fn receivers_of<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = (&'a str, &'a Station)> {
        let stations = self.stations.iter().map(|(pod, station)| (pod.as_str(), station));
        stations.filter(move |(pod, station)| {
            *pod != flow.from && (flow.is_broadcast() || station.member.mac == flow.to)
        })
    }

    /// Waits until what is sent from now on comes to everyone whom it concerns.
    pub async fn settled(&self) -> Result<()> {
        self.settled_without("").await
    }

    /// The same without one of the stations, whatever it sends and receives.
    pub async fn settled_without(&self, except: &str) -> Result<()> {
        let running = || self.flows.iter().filter(|flow| flow.is_running() && flow.from != except);
        let mark = || -> BTreeMap<StreamId, u32> {
            running().map(|flow| (flow.id, flow.sent())).collect()
        };
        let mut from = mark();
        wait::holds("all streams come everywhere", LIMIT, || {
            let unsettled = running().find_map(|flow| {
                let start = from.get(&flow.id).copied().unwrap_or_default();
                self.unsettled(flow, start..start + IN_A_ROW, except)
            });
            if let Some(Unsettled { is_lost: true, .. }) = unsettled {
                from = mark();
            }
            async move { unsettled.map_or(Ok(()), |unsettled| Err(unsettled.why)) }
        })
        .await
        .with_context(|| self.recently_lost())
    }

    /// What has been lost of the last frames, for a test that failed.
    fn recently_lost(&self) -> String {
        let mut text = format!("lost of the last {RECENT} frames:");
        for flow in self.flows.iter().filter(|flow| flow.is_running()) {
            for (pod, station) in self.receivers_of(flow) {
                let sent = flow.sent();
                let lost = station.receiver.of(flow.id).lost(sent.saturating_sub(RECENT)..sent);
                text.push_str(&format!("\n  {flow}, at {pod}: {}", lost.len()));
            }
        }
        text
    }

    /// Whether some frames of a stream have not come everywhere.
    fn unsettled(&self, flow: &Flow, numbers: Range<u32>, except: &str) -> Option<Unsettled> {
        let sent = flow.sent();
        if sent < numbers.end {
            return Some(Unsettled { why: format!("{flow}: {sent} sent"), is_lost: false });
        }
        let (pod, station) = self
            .receivers_of(flow)
            .filter(|(pod, _)| *pod != except)
            .find(|(_, station)| !station.receiver.has_all(flow.id, numbers.clone()))?;
        // What has not come when so many more have been sent will not.
        let is_lost = sent > numbers.end + 2 * IN_A_ROW;
        let lost = station.receiver.of(flow.id).lost(numbers);
        Some(Unsettled { why: format!("{flow}: {pod} did not receive {lost:?}"), is_lost })
    }

    /// Waits until every stream has sent as many frames.
    pub async fn sent(&self, frames: u32) -> Result<()> {
        wait::holds(&format!("every stream sends {frames} frames"), LIMIT, || async {
            match self.flows.iter().find(|flow| flow.is_running() && flow.sent() < frames) {
                Some(flow) => Err(format!("{flow}: {}", flow.sent())),
                None => Ok(()),
            }
        })
        .await?;
        Ok(())
    }

    /// All streams have ended; waits until every frame has come to everyone whom it concerns.
    pub async fn all_arrived(&self) -> Result<()> {
        wait::holds("every frame comes", LIMIT, || async {
            let mut lost = self.flows.iter().flat_map(|flow| self.lost(flow)).peekable();
            if lost.peek().is_none() { Ok(()) } else { Err(lost.collect::<String>()) }
        })
        .await?;
        self.nothing_twice()?;
        self.nothing_astray()
    }

    /// What has not come of a stream that has ended, a line for each station.
    fn lost<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = String> + 'a {
        self.receivers_of(flow).filter_map(move |(pod, station)| {
            let lost = station.receiver.of(flow.id).lost(0..flow.sent());
            let lost: Vec<_> = lost.chunk_by(|one, next| one + 1 == *next).map(in_a_row).collect();
            let is_lost = !lost.is_empty();
            is_lost
                .then(|| format!("\n  {flow}: {pod} lacks {} of {}", lost.join(", "), flow.sent()))
        })
    }

    /// No frame has come twice, or back: each to any station at most once, and of those that have
    /// had the MAC address that it was sent to, to one.
    pub fn nothing_twice(&self) -> Result<()> {
        let overlooked: u64 =
            self.stations.values().map(|station| station.receiver.overlooked()).sum();
        ensure!(overlooked == 0, "the machine is too busy: {overlooked} frames were overlooked");
        for flow in &self.flows {
            let mut seen = BTreeSet::new();
            for (member, received) in self.received(flow) {
                let pod = member.pod.name();
                let duplicates = received.duplicates();
                ensure!(duplicates.is_empty(), "{flow}: {pod} received twice: {duplicates:?}");
                ensure!(pod != flow.from || received.frames() == 0, "{flow} came back");
                if member.mac == flow.to {
                    let came = (0..=flow.sent()).filter(|number| received.has(*number));
                    let twice: Vec<_> = came.filter(|number| !seen.insert(*number)).collect();
                    ensure!(twice.is_empty(), "{flow}: another than {pod} also got {twice:?}");
                }
            }
        }
        Ok(())
    }

    /// No unicast frame has come to anyone whom it does not concern.
    pub fn nothing_astray(&self) -> Result<()> {
        for flow in &self.flows {
            let strays = self.strays(flow);
            ensure!(strays == 0, "{flow}: {strays} frames came to others");
        }
        Ok(())
    }

    fn strays(&self, flow: &Flow) -> u64 {
        let received = self.received(flow).into_iter();
        let others = received.filter(|(member, _)| !flow.is_broadcast() && member.mac != flow.to);
        others.map(|(_, received)| received.frames()).sum()
    }

    /// What each station, present or gone, has received of a stream.
    fn received(&self, flow: &Flow) -> Vec<(&Member, Received)> {
        let present = self.stations.values();
        let present = present.map(|station| (&station.member, station.receiver.of(flow.id)));
        let gone = self.left.iter();
        let gone =
            gone.filter_map(|(member, received)| Some((member, received.get(&flow.id)?.clone())));
        present.chain(gone).collect()
    }

    /// No link has carried more frames of a stream than were sent: of what is flooded, which is
    /// replicated where it enters, a copy for each station.
    pub fn nothing_circled(&self, links: &LinkCounters) -> Result<()> {
        ensure!(links.overlooked() == 0, "the machine is too busy: frames were overlooked");
        for flow in &self.flows {
            let copies = if flow.may_flood { self.most.saturating_sub(1) } else { 1 };
            // Read after the counters: a running stream sends on.
            let carried = links.of_stream(flow.id);
            let most = u64::from(flow.sent() + 1) * u64::try_from(copies)?;
            for (link, frames) in carried {
                ensure!(frames <= most, "{flow}: {link} carried {frames} frames, at most {most}");
            }
        }
        Ok(())
    }

    /// Which links carried what.
    pub fn carried(&self, links: &LinkCounters) -> Vec<Carried> {
        let name = |flow: &Flow| self.receivers_of(flow).next().map(|(pod, _)| pod.to_owned());
        self.flows
            .iter()
            .map(|flow| Carried {
                from: flow.from.clone(),
                to: if flow.is_broadcast() { None } else { name(flow) },
                sent: flow.sent().into(),
                links: links.of_stream(flow.id),
            })
            .collect()
    }

    /// Judges the streams that have ended, and forgets them but for their sums.
    pub fn retire(&mut self, links: &LinkCounters) -> Result<()> {
        self.nothing_twice()?;
        self.nothing_circled(links)?;
        let ended = self.flows.iter().filter(|flow| !flow.is_running());
        self.retired = ended.map(|flow| self.count(flow)).fold(self.retired, Figures::plus);
        self.flows.retain(Flow::is_running);
        let running = |id: &StreamId| self.flows.iter().any(|flow| flow.id == *id);
        for (_, received) in &mut self.left {
            received.retain(|id, _| running(id));
        }
        self.left.retain(|(_, received)| !received.is_empty());
        Ok(())
    }

    fn count(&self, flow: &Flow) -> Figures {
        let mut figures = Figures::default();
        figures.sent[usize::from(flow.is_broadcast())] = flow.sent().into();
        figures.strays = self.strays(flow);
        figures.received = self.received(flow).iter().map(|(_, received)| received.frames()).sum();
        figures
    }

    /// Sums over all streams that there have been.
    pub fn figures(&self) -> Figures {
        self.flows.iter().map(|flow| self.count(flow)).fold(self.retired, Figures::plus)
    }

    /// Frames that were lost between two stations, of all that have been sent, but for the last.
    pub fn lost_between(&self, from: &str, to: &str) -> (u64, u64) {
        let mut lost = (0, 0);
        for flow in self.flows.iter().filter(|flow| flow.from == from) {
            let Some((_, station)) = self.receivers_of(flow).find(|(pod, _)| *pod == to) else {
                continue;
            };
            let received = station.receiver.of(flow.id);
            lost.0 += received.lost(0..flow.sent()).len() as u64;
            lost.1 += u64::from(flow.sent());
        }
        lost
    }
}

/// Numbers that follow one another, in short.
fn in_a_row(numbers: &[u32]) -> String {
    match numbers {
        [first, .., last] => format!("{first} to {last}"),
        _ => numbers.iter().map(u32::to_string).collect(),
    }
}

/// Which links carried the frames of a stream.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The pod that sent it.
    pub from: String,
    /// The pod that it was sent to; none: all.
    pub to: Option<String>,
    /// Frames sent.
    pub sent: u64,
    /// Frames by link.
    pub links: BTreeMap<LinkName, u64>,
}
