use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::SystemTime,
};

use l2sces_measurement::{
    estimate::{PATIENCE, Reply},
    stamp::{self, Packet, Reflected, Test, Timestamp},
};
use l2sces_model::{ETHERTYPE_PROBE, MacAddress};
use nix::errno::Errno;
use socket2::Socket;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
    time::timeout,
};

use super::{clock::Clock, reflector::Reflector};

/// The longest frame that is looked at, in bytes: all that matters stands at the beginning.
const LONGEST_FRAME: usize = 2_048;

/// What probes of one bridge are sent and received by.
#[derive(Debug)]
pub(super) struct Exchange {
    socket: AsyncFd<Socket>,
    /// Told when nothing can be sent any more.
    lost: Notify,
    clock: Clock,
    next_session: AtomicU16,
    sessions: Mutex<BTreeMap<u16, OpenSession>>,
    /// Bits a second that tunnels are known to carry, away from here; the far ends are told.
    throughputs: Mutex<BTreeMap<MacAddress, u64>>,
}

/// What has come of a session.
#[derive(Debug)]
struct OpenSession {
    tunnel: MacAddress,
    most: u32,
    /// By the numbers of the test packet and of its reflection: on the way there it may be duplicated,
    /// and be reflected as often.
    replies: BTreeMap<(u32, u32), Reply>,
    returned: u32,
    came: Arc<Notify>,
}

impl OpenSession {
    /// Keeps a reply, unless it came before; nobody may fill the memory.
    fn take_in(&mut self, reply: Reply) {
        let (test, reflection) = (reply.packet.test.sequence, reply.packet.sequence);
        if test >= self.most || self.replies.len() >= 2 * self.most as usize {
            return;
        }
        let of_test = (test, u32::MIN)..=(test, u32::MAX);
        self.returned += u32::from(self.replies.range(of_test).next().is_none());
        self.replies.entry((test, reflection)).or_insert(reply);
        self.came.notify_one();
    }
}

/// Test packets over one link; ends when it is dropped.
pub(super) struct Session<'a> {
    exchange: &'a Exchange,
    id: u16,
    tunnel: MacAddress,
    sent: u32,
    came: Arc<Notify>,
}

impl Exchange {
    /// By an interface of the calling thread's namespace. To be called inside a Tokio runtime.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let socket = l2sces_packet_socket::open_of(Some(interface), ETHERTYPE_PROBE)?;
        l2sces_packet_socket::for_timing(&socket)?;
        // A far end may remember sessions from before a restart: others are likely to come first.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // SAFETY: the socket owns its descriptor, which stays the same and open until the socket is
        // dropped, which here is together with its registration.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self {
            socket,
            lost: Notify::new(),
            clock: Clock::new(),
            next_session: AtomicU16::new(since.as_millis() as u16),
            sessions: Mutex::default(),
            throughputs: Mutex::default(),
        })
    }

    /// Takes in what comes and reflects test packets, until the interface is gone or down. The kernel
    /// says so once, without anything to read: to whoever receives or sends next.
    pub(super) async fn run(&self) -> io::Error {
        let mut reflector = Reflector::default();
        let mut control = l2sces_packet_socket::control_space();
        let mut frame = [0; LONGEST_FRAME];
        loop {
            let mut receive =
                |socket: &Socket| l2sces_packet_socket::receive(socket, &mut control, &mut frame);
            let ready = tokio::select! {
                ready = self.socket.ready(Interest::READABLE | Interest::ERROR) => ready,
                () = self.lost.notified() => return io::ErrorKind::NetworkDown.into(),
            };
            let received = match ready {
                Ok(mut ready) => ready.try_io(|socket| receive(socket.get_ref())),
                Err(error) => return error,
            };
            match received {
                Ok(Ok((length, age))) => {
                    let came = self.clock.before(age);
                    match stamp::read(&frame[..length]) {
                        Some((tunnel, Packet::Test(test))) => {
                            self.reflect(tunnel, reflector.reflect(tunnel, test, came));
                        }
                        Some((tunnel, Packet::Reflected(packet))) => {
                            self.take_in(tunnel, Reply { packet, returned: came });
                        }
                        None => {}
                    }
                }
                Ok(Err(error)) => return error,
                Err(_would_block) => {}
            }
        }
    }

    /// Sends an answer at once, or, where there is no room, not at all: it counts as lost then.
    fn reflect(&self, tunnel: MacAddress, packet: Reflected) {
        let throughput = lock(&self.throughputs).get(&tunnel).copied().unwrap_or_default();
        let packet = Reflected { reflected: self.clock.now(), throughput, ..packet };
        if let Err(error) = self.socket.get_ref().send(&packet.frame(tunnel)) {
            tracing::debug!(%error, "could not reflect a probe");
            self.note_loss(&error);
        }
    }

    fn take_in(&self, tunnel: MacAddress, reply: Reply) {
        let mut sessions = lock(&self.sessions);
        let Some(session) = sessions.get_mut(&reply.packet.test.session) else { return };
        // By another tunnel it says nothing of this one.
        if session.tunnel == tunnel {
            session.take_in(reply);
        }
    }

    /// Ends what is going on if the interface is gone or down.
    fn note_loss(&self, error: &io::Error) {
        let errno = error.raw_os_error().map(Errno::from_raw);
        if matches!(errno, Some(Errno::ENETDOWN | Errno::ENXIO)) {
            self.lost.notify_one();
        }
    }

    /// Notes what a tunnel carries away from here, in bits a second.
    pub(super) fn set_throughput(&self, tunnel: MacAddress, throughput: u64) {
        lock(&self.throughputs).insert(tunnel, throughput);
    }

    /// What a tunnel is known to carry away from here, in bits a second; 0: not known.
    pub(super) fn throughput(&self, tunnel: MacAddress) -> u64 {
        lock(&self.throughputs).get(&tunnel).copied().unwrap_or_default()
    }

    /// Begins a session of so many test packets at most.
    pub(super) fn session(&self, tunnel: MacAddress, most: u32) -> Session<'_> {
        let came = Arc::new(Notify::new());
        let open = OpenSession {
            tunnel,
            most,
            replies: BTreeMap::new(),
            returned: 0,
            came: Arc::clone(&came),
        };
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        lock(&self.sessions).insert(id, open);
        Session { exchange: self, id, tunnel, sent: 0, came }
    }

    async fn send(&self, frame: impl Fn(Timestamp) -> Vec<u8>) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            let sent = ready.try_io(|socket| socket.get_ref().send(&frame(self.clock.now())));
            if let Ok(sent) = sent {
                return sent.map(drop);
            }
        }
    }
}

impl Session<'_> {
    /// Sends the next test packet, as a frame of so many bytes. One that the interface does not take
    /// is lost like another.
    pub(super) async fn send(&mut self, length: usize) {
        let Self { id, tunnel, sent, .. } = *self;
        self.sent += 1;
        let test = |sent_at| Test { sequence: sent, session: id, sent: sent_at };
        if let Err(error) = self.exchange.send(|now| test(now).frame(tunnel, length)).await {
            tracing::debug!(%error, "could not send a probe");
            self.exchange.note_loss(&error);
        }
    }

    /// What has come back, when all has, or nothing comes any more.
    pub(super) async fn replies(self) -> Vec<Reply> {
        let complete = async {
            while self.returned() < self.sent {
                self.came.notified().await;
            }
        };
        // What has not come by then is lost.
        let _ = timeout(PATIENCE, complete).await;
        let mut sessions = lock(&self.exchange.sessions);
        let replies = sessions.get_mut(&self.id).map(|open| std::mem::take(&mut open.replies));
        replies.unwrap_or_default().into_values().collect()
    }

    fn returned(&self) -> u32 {
        lock(&self.exchange.sessions).get(&self.id).map_or(0, |open| open.returned)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        lock(&self.exchange.sessions).remove(&self.id);
    }
}

/// Maps are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
