//! Numbered frames, many a second, so that each that is lost or comes twice is known by its number.

use std::{
    collections::BTreeMap,
    fmt, io,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use l2sces_model::MacAddress;
use socket2::Socket;

use super::{
    capture::Capture,
    frame::{ETHERTYPE_PROBE, Frame},
};
use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    packet_socket,
};

/// What the payload of every numbered frame begins with.
const MAGIC: [u8; 8] = *b"l2stream";
/// Bytes of the addresses and the EtherType in front of the payload.
const HEADER: usize = 14;
/// A sender that is this late starts anew instead of catching up: the pause of a busy machine must
/// not become a burst.
const LATE: Duration = Duration::from_millis(200);

/// Names a stream; random, so that no two are ever taken for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How a stream is sent.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The interface that it leaves by. It may go and come back meanwhile.
    pub interface: String,
    /// Source address.
    pub source: MacAddress,
    /// Destination address, of one station or of all.
    pub destination: MacAddress,
    /// Time between frames.
    pub interval: Duration,
}

/// A stream that is being sent, until it is stopped or dropped.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    sent: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Stream {
    /// Starts sending from inside a namespace.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn start(namespace: &Namespace, spec: StreamSpec) -> Result<Self, LabError> {
        let id = StreamId(rand::random());
        let (sent, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let thread = namespace
            .spawn("lab-stream", {
                let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
                move || send(id, &spec, &sent, &stop)
            })
            .context(|| format!("send frames in {}", namespace.name()))?;
        Ok(Self { id, sent, stop, thread: Some(thread) })
    }

    /// Its name.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// How many frames have been sent: their numbers are those below.
    pub fn sent(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Stops it and returns how many frames have been sent.
    pub fn stop(mut self) -> u32 {
        self.end();
        self.sent()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends until told to stop. What the interface does not take has not been sent: its number is
/// given to the next frame.
fn send(id: StreamId, spec: &StreamSpec, sent: &AtomicU32, stop: &AtomicBool) {
    let mut frame = encode(id, spec);
    let mut socket = None;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < due {
            thread::sleep(due - now);
        } else if now - due > LATE {
            due = now;
        }
        due += spec.interval;
        let number = sent.load(Ordering::SeqCst);
        frame[NUMBER].copy_from_slice(&number.to_be_bytes());
        socket = socket.or_else(|| packet_socket::open(Some(&spec.interface)).ok());
        match socket.as_ref().map(|socket: &Socket| socket.send(&frame)) {
            Some(Ok(_)) => sent.store(number + 1, Ordering::SeqCst),
            // The interface is not there, or not up: perhaps another of the same name will be.
            _ => socket = None,
        }
    }
}

/// Where the number of the stream and that of the frame are in a frame.
const ID: Range<usize> = HEADER + 8..HEADER + 16;
const NUMBER: Range<usize> = HEADER + 16..HEADER + 20;

fn encode(id: StreamId, spec: &StreamSpec) -> Vec<u8> {
    let payload = [&MAGIC[..], &id.0.to_be_bytes(), &[0; 4]].concat();
    Frame::marked(spec.source, spec.destination, &payload).bytes()
}

/// Which frame of which stream this is, if it is one.
pub(super) fn decode(frame: &[u8]) -> Option<(StreamId, u32)> {
    let payload = frame.get(HEADER..)?;
    if frame[HEADER - 2..HEADER] != ETHERTYPE_PROBE.to_be_bytes() || !payload.starts_with(&MAGIC) {
        return None;
    }
    let id = u64::from_be_bytes(frame.get(ID)?.try_into().ok()?);
    Some((StreamId(id), u32::from_be_bytes(frame.get(NUMBER)?.try_into().ok()?)))
}

/// Notes every numbered frame that a namespace receives, whoever it is for.
#[derive(Debug)]
pub struct StreamReceiver {
    received: Arc<Mutex<BTreeMap<StreamId, Received>>>,
    capture: Capture,
}

impl StreamReceiver {
    /// Starts listening on all interfaces, those that are yet to come included.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn start(namespace: &Namespace) -> Result<Self, LabError> {
        let received = Arc::<Mutex<BTreeMap<StreamId, Received>>>::default();
        let capture = Capture::start(namespace, None, {
            let received = Arc::clone(&received);
            move |frame| {
                if let Some((id, number)) = decode(frame) {
                    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                    received.entry(id).or_default().note(number);
                }
            }
        })?;
        Ok(Self { received, capture })
    }

    fn received(&self) -> MutexGuard<'_, BTreeMap<StreamId, Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come of a stream.
    pub fn of(&self, stream: StreamId) -> Received {
        self.received().get(&stream).cloned().unwrap_or_default()
    }

    /// Whether every frame of a range has come.
    pub fn has_all(&self, stream: StreamId, mut numbers: Range<u32>) -> bool {
        let received = self.received();
        let received = received.get(&stream);
        numbers.all(|number| received.is_some_and(|received| received.has(number)))
    }

    /// The streams of which anything has come.
    pub fn streams(&self) -> Vec<StreamId> {
        self.received().keys().copied().collect()
    }

    /// Frames that came but were not noted, because the machine was too busy. Unless it is zero, a
    /// frame that is missing here may not be missing at all.
    pub fn overlooked(&self) -> u64 {
        self.capture.overlooked()
    }
}

/// What has come of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    frames: u64,
    /// A bit for each number.
    seen: Vec<u64>,
    duplicates: BTreeMap<u32, u32>,
}

impl Received {
    fn note(&mut self, number: u32) {
        self.frames += 1;
        let (word, bit) = place(number);
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            *self.duplicates.entry(number).or_default() += 1;
        }
        self.seen[word] |= bit;
    }

    /// How many frames have come, those that came again included.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether a frame has come.
    pub fn has(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.seen.get(word).is_some_and(|seen| seen & bit != 0)
    }

    /// The frames of a range that have not come.
    pub fn lost(&self, numbers: Range<u32>) -> Vec<u32> {
        numbers.filter(|number| !self.has(*number)).collect()
    }

    /// The frames that came more than once, and how often beyond that.
    pub fn duplicates(&self) -> &BTreeMap<u32, u32> {
        &self.duplicates
    }
}

fn place(number: u32) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec {
            interface: "net1".to_owned(),
            source: MacAddress::new([2, 0, 0, 0, 0, 1]),
            destination: MacAddress::BROADCAST,
            interval: Duration::from_millis(1),
        }
    }

    #[test]
    fn a_frame_tells_its_stream_and_its_number() {
        let mut frame = encode(StreamId(7), &spec());
        frame[NUMBER].copy_from_slice(&9_u32.to_be_bytes());
        assert_eq!(decode(&frame), Some((StreamId(7), 9)));
        assert_eq!(decode(&frame[..HEADER + 19]), None);
        assert_eq!(decode(&[]), None);
        let other = Frame::marked(spec().source, spec().destination, &[0; 40]).bytes();
        assert_eq!(decode(&other), None, "another probe's");
        frame[HEADER - 1] ^= 1;
        assert_eq!(decode(&frame), None, "another protocol's");
    }

    #[test]
    fn frames_are_lost_or_come_twice_by_number() {
        let mut received = Received::default();
        for number in [0, 1, 130, 1, 1, 64] {
            received.note(number);
        }
        assert_eq!(received.frames(), 6);
        assert_eq!(received.lost(0..4), [2, 3]);
        assert_eq!(received.lost(64..66), [65]);
        assert_eq!(received.lost(130..133), [131, 132]);
        assert_eq!(*received.duplicates(), BTreeMap::from([(1, 2)]));
    }
}
