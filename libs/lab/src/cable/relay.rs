//! The thread that moves the frames of a cable.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, ppoll},
};
use socket2::Socket;

use super::{
    CableEnd, CableSpec, Direction,
    line::Line,
    nat::Translator,
    socket::{EndSocket, is_for},
};
use crate::namespace::Namespace;

/// Frames that are read from one end before what is due at the other is sent.
const BATCH: usize = 64;
/// Room for the largest frame.
const LARGEST_FRAME: usize = 65_550;

/// What a cable and its thread share.
#[derive(Debug)]
pub(super) struct Lines {
    lines: [Mutex<Line>; 2],
    /// The router at the first end.
    translator: Option<Mutex<Translator>>,
    /// The times of the lines and the router count from here.
    start: Instant,
}

impl Lines {
    pub(super) fn new(spec: &CableSpec) -> Self {
        let line = |direction, impairment| Mutex::new(Line::new(spec.seed, direction, impairment));
        Self {
            lines: [line(Direction::Forth, spec.forth), line(Direction::Back, spec.back)],
            translator: spec.nat.map(Translator::new).map(Mutex::new),
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn lock(&self, direction: Direction) -> MutexGuard<'_, Line> {
        self.lines[direction.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn translator(&self) -> Option<MutexGuard<'_, Translator>> {
        let translator = self.translator.as_ref()?;
        Some(translator.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a frame that came to the near end of a direction.
    fn offer(&self, direction: Direction, came: Duration, frame: &mut [u8]) {
        let passes = self.translator().is_none_or(|mut translator| match direction {
            Direction::Forth => translator.outbound(came, frame),
            Direction::Back => translator.inbound(came, frame),
        });
        let mut line = self.lock(direction);
        if passes { line.offer(came, frame) } else { line.refuse() }
    }
}

/// A thread that moves frames between two interfaces until the value is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    senders: [Socket; 2],
    /// The thread ends when this is closed.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(super) fn start(
        namespace: &Namespace,
        ends: &[CableEnd; 2],
        lines: Arc<Lines>,
    ) -> io::Result<Self> {
        let sockets =
            [EndSocket::open(namespace, &ends[0])?, EndSocket::open(namespace, &ends[1])?];
        let senders = || Ok::<_, io::Error>([sockets[0].sender()?, sockets[1].sender()?]);
        let (of_thread, own) = (senders()?, senders()?);
        let (stopped, stop) = io::pipe()?;
        let mover = Mover {
            sockets,
            senders: of_thread,
            stations: ends.each_ref().map(|end| end.station),
            lines,
            stopped,
        };
        let thread = thread::Builder::new().name("lab-cable".to_owned()).spawn(|| mover.run())?;
        Ok(Self { senders: own, stop: Some(stop), thread: Some(thread) })
    }

    /// Frames that were not read, because the machine was too busy, since this was asked last.
    pub(super) fn overlooked(&self) -> u64 {
        self.senders.iter().map(EndSocket::overlooked).sum()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the thread owns.
struct Mover {
    sockets: [EndSocket; 2],
    senders: [Socket; 2],
    stations: [l2sces_model::MacAddress; 2],
    lines: Arc<Lines>,
    stopped: PipeReader,
}

impl Mover {
    fn run(mut self) {
        hurry();
        let mut buffer = vec![0; LARGEST_FRAME];
        loop {
            for direction in Direction::BOTH {
                self.take(direction, &mut buffer);
            }
            let mut next: Option<Duration> = None;
            for direction in Direction::BOTH {
                let mut line = self.lines.lock(direction);
                let far = &self.senders[direction.far()];
                line.deliver(self.lines.now(), |frame| far.send(frame).is_ok());
                next = next.into_iter().chain(line.next_due()).min();
            }
            let wait = next.map(|next| next.saturating_sub(self.lines.now()));
            if self.wait(wait) {
                return;
            }
        }
    }

    /// Reads what has come to the near end of a direction.
    fn take(&mut self, direction: Direction, buffer: &mut [u8]) {
        let station = self.stations[direction.far()];
        for _ in 0..BATCH {
            // An interface that is down says so once, and then nothing.
            let Ok((frame, age)) = self.sockets[direction.near()].receive(buffer) else { return };
            if is_for(frame, station) {
                let came = self.lines.now().saturating_sub(age);
                self.lines.offer(direction, came, frame);
            }
        }
    }

    /// Waits until something comes or the time is over. Whether the thread is to end.
    fn wait(&self, time: Option<Duration>) -> bool {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let [one, other] = self.sockets.each_ref().map(|socket| readable(socket.as_fd()));
        let mut polled = [one, other, readable(self.stopped.as_fd())];
        match ppoll(&mut polled, time.map(Into::into), None) {
            Ok(_) => polled[2].any().unwrap_or(true),
            Err(errno) => errno != Errno::EINTR,
        }
    }
}

/// Lets the thread run as soon as it has something to do. Where the machine does not allow it, it
/// comes later when the machine is busy, and that is all.
fn hurry() {
    let least = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter lives until the call returns, and the calling thread is what is changed.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const least) };
    if result != 0 {
        tracing::debug!(error = %io::Error::last_os_error(), "a cable's thread is not in a hurry");
    }
    // SAFETY: this sets how many nanoseconds late a timer of the calling thread may be.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0_u64, 0_u64, 0_u64) };
}
