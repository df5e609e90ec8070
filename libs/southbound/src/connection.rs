//! Drives a session over a byte stream.

use std::{
    collections::{HashMap, VecDeque},
    io, mem,
    time::Duration,
};

use l2sces_model::DatapathId;
use l2sces_openflow::{
    Change, Event, Features, OpenFlowError, PortDescription, PortReason, Reply, Session,
    SessionConfig, SessionError,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};

use crate::{
    Applied, CloseReason, HandshakeError, SwitchConnection, SwitchHandle,
    events::Outbox,
    handle::{COMMANDS, Command},
    measure::{self, OpenSession},
};

/// How many bytes are read at once.
const READ: usize = 64 << 10;

/// While more bytes than this wait to be sent, nothing is added to them.
const HIGH_WATER: usize = 256 << 10;

/// How many changes are encoded at once: about what [`HIGH_WATER`] holds.
const CHUNK: usize = 2048;

/// How long a connection that ends may take to send what explains it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Does the handshake and leaves the rest to a task of its own. `peer` and `peer_certificate` are
/// the caller's to fill in.
pub(crate) async fn establish<S>(
    stream: S,
    config: SessionConfig,
) -> Result<SwitchConnection, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut wire = Wire::new(stream, config);
    let (features, ports) = match wire.handshake().await {
        Ok(switch) => switch,
        Err(error) => {
            wire.finish().await;
            return Err(error);
        }
    };
    Ok(attend(wire, features.datapath_id, ports))
}

/// Starts the task of a connection.
fn attend<S>(wire: Wire<S>, id: DatapathId, ports: Vec<PortDescription>) -> SwitchConnection
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (outbox, events) = Outbox::new();
    let closing = CancellationToken::new();
    let connection = Connection {
        wire,
        inbox,
        outbox,
        closing: closing.clone(),
        waiting: HashMap::new(),
        encoding: None,
        applying: VecDeque::new(),
        _open: OpenSession::begin(),
    };
    tokio::spawn(connection.run().instrument(info_span!("openflow", switch = %id)));
    SwitchConnection {
        datapath_id: id,
        ports,
        peer: None,
        peer_certificate: None,
        handle: SwitchHandle::new(id, commands, closing),
        events,
    }
}

/// A session and the stream that it goes over.
struct Wire<S> {
    session: Session,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: Vec<u8>,
    /// What is being sent, from `sent` on. The session collects in another buffer meanwhile.
    output: Vec<u8>,
    sent: usize,
    flushed: bool,
}

/// What a stream did.
#[derive(Clone, Copy)]
enum Progress {
    /// So many bytes came in.
    Read(usize),
    /// So many bytes went out, or into a buffer of TLS.
    Written(usize),
    /// TLS keeps no bytes back.
    Flushed,
    /// The session's deadline is there.
    Deadline,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    fn new(stream: S, config: SessionConfig) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            session: Session::new(config, Instant::now().into_std()),
            reader,
            writer,
            input: vec![0; READ],
            output: Vec::new(),
            sent: 0,
            flushed: true,
        }
    }

    /// How many bytes wait to be sent.
    fn backlog(&mut self) -> usize {
        self.output.len() - self.sent + self.session.output().len()
    }

    /// Waits until the stream does something. May be dropped without loss.
    async fn progress(&mut self) -> io::Result<Progress> {
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            mem::swap(&mut self.output, self.session.output());
        }
        let rest = self.output.get(self.sent..).unwrap_or_default();
        let send = async {
            match rest {
                [] => self.writer.flush().await.map(|()| Progress::Flushed),
                rest => self.writer.write(rest).await.map(Progress::Written),
            }
        };
        tokio::select! {
            read = self.reader.read(&mut self.input) => read.map(Progress::Read),
            sent = send, if !rest.is_empty() || !self.flushed => sent,
            () = sleep_until(self.session.deadline().into()) => Ok(Progress::Deadline),
        }
    }

    /// Lets the session see what the stream did.
    fn digest(&mut self, progress: Progress) -> Result<(), CloseReason> {
        let now = Instant::now().into_std();
        match progress {
            Progress::Read(0) => return Err(CloseReason::Eof),
            Progress::Read(count) => {
                self.session.receive(self.input.get(..count).unwrap_or_default(), now)?;
            }
            Progress::Written(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            Progress::Written(count) => {
                self.sent += count;
                self.flushed = false;
            }
            Progress::Flushed => self.flushed = true,
            Progress::Deadline => self.session.tick(now)?,
        }
        Ok(())
    }

    async fn handshake(&mut self) -> Result<(Features, Vec<PortDescription>), HandshakeError> {
        loop {
            let progress = self.progress().await?;
            self.digest(progress)?;
            if let Some(Event::Ready { features, ports }) = self.session.next_event() {
                return Ok((features, ports));
            }
        }
    }

    /// Sends what is left, if that is possible at once, and closes the stream.
    async fn finish(mut self) {
        let farewell = async {
            self.writer.write_all(self.output.get(self.sent..).unwrap_or_default()).await?;
            self.writer.write_all(self.session.output()).await?;
            self.writer.shutdown().await
        };
        if let Ok(Err(error)) = timeout(FAREWELL, farewell).await {
            debug!(%error, "the connection was gone before it was closed");
        }
    }
}

/// The task of a connection after the handshake.
struct Connection<S> {
    wire: Wire<S>,
    inbox: mpsc::Receiver<Command>,
    outbox: Outbox,
    closing: CancellationToken,
    /// Who waits for the answer with an xid.
    waiting: HashMap<u32, Waiter>,
    /// Changes of which only the first ones are encoded; no command is taken before the rest is.
    encoding: Option<Encoding>,
    /// Changes that the switch has not confirmed, in the order in which it will.
    applying: VecDeque<Applying>,
    _open: OpenSession,
}

/// Who waits for an answer.
enum Waiter {
    /// One request.
    Request(oneshot::Sender<Result<Reply, OpenFlowError>>),
    /// The first of `applying`: this answer is for its changes from `base` on.
    Changes { base: usize, is_last: bool, begin: Instant },
}

/// Changes that are being encoded.
struct Encoding {
    changes: Vec<Change>,
    next: usize,
}

/// Changes that are being made.
struct Applying {
    applied: Applied,
    sender: oneshot::Sender<Applied>,
}

/// Why the loop of a connection goes round.
enum Turn {
    Stream(Progress),
    Command(Command),
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    async fn run(mut self) {
        let reason = match self.serve().await {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
        debug!(%reason, "connection closed");
        // Nobody is to wait for the farewell.
        let Self { wire, outbox, waiting, applying, inbox, .. } = self;
        drop((waiting, applying, inbox));
        wire.finish().await;
        outbox.close(reason).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, CloseReason> {
        loop {
            self.encode_chunk();
            match self.turn().await? {
                Turn::Stream(progress) => {
                    // What came before the end counts, whatever ended it.
                    let digested = self.wire.digest(progress);
                    self.dispatch()?;
                    digested?;
                }
                Turn::Command(command) => self.carry_out(command),
            }
        }
    }

    /// Waits for what comes next.
    async fn turn(&mut self) -> Result<Turn, CloseReason> {
        let is_open = self.encoding.is_none() && self.wire.backlog() < HIGH_WATER;
        tokio::select! {
            () = self.closing.cancelled() => Err(CloseReason::Local),
            progress = self.wire.progress() => Ok(Turn::Stream(progress?)),
            command = self.inbox.recv(), if is_open => match command {
                Some(command) => Ok(Turn::Command(command)),
                // Every handle is dropped.
                None => Err(CloseReason::Local),
            },
            never = self.outbox.deliver() => match never {},
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Request(request, sender) => {
                let xid = self.wire.session.request(request, Instant::now().into_std());
                self.waiting.insert(xid, Waiter::Request(sender));
            }
            Command::Apply(changes, sender) => {
                self.applying.push_back(Applying { applied: Applied::default(), sender });
                self.encoding = Some(Encoding { changes, next: 0 });
            }
            Command::PacketOut(packet, sender) => {
                let sent = self.wire.session.packet_out(packet);
                // Whoever does not wait for it does not mind.
                let _ = sender.send(sent.map(drop).map_err(|_| OpenFlowError::too_long()));
            }
        }
    }

    /// Encodes the next changes, if there is room for them.
    fn encode_chunk(&mut self) {
        if self.wire.backlog() >= HIGH_WATER {
            return;
        }
        let Some(Encoding { changes, next }) = &mut self.encoding else { return };
        let base = *next;
        let end = changes.len().min(base + CHUNK);
        let chunk = changes.get(base..end).unwrap_or_default();
        let begin = Instant::now();
        let xid = self.wire.session.apply(chunk, begin.into_std());
        measure::changes(chunk);
        let is_last = end == changes.len();
        *next = end;
        if is_last {
            self.encoding = None;
        }
        self.waiting.insert(xid, Waiter::Changes { base, is_last, begin });
    }

    /// Hands on what the session tells.
    fn dispatch(&mut self) -> Result<(), CloseReason> {
        while let Some(event) = self.wire.session.next_event() {
            match event {
                Event::Answer { xid, answer } => self.hand_over(xid, answer)?,
                Event::PortStatus(status) => {
                    self.outbox.port(status.port, status.reason == PortReason::Deleted);
                }
                Event::FlowsChanged => self.outbox.flows_changed(),
                Event::FlowRemoved(removed) => self.outbox.flow_removed(removed),
                Event::PacketIn(packet) => {
                    measure::packet_in(packet.reason);
                    self.outbox.packet_in(packet);
                }
                Event::Refused { error, .. } => {
                    measure::error(&error);
                    self.outbox.error(error);
                }
                Event::Ready { .. } => {}
            }
        }
        Ok(())
    }

    fn hand_over(
        &mut self,
        xid: u32,
        answer: Result<Reply, OpenFlowError>,
    ) -> Result<(), CloseReason> {
        match (self.waiting.remove(&xid), answer) {
            (Some(Waiter::Request(sender)), answer) => {
                if let Err(error) = &answer {
                    measure::error(error);
                }
                // Whoever asked may not wait any more.
                let _ = sender.send(answer);
            }
            (Some(Waiter::Changes { base, is_last, begin }), Ok(Reply::Applied(errors))) => {
                measure::barrier(begin.elapsed());
                errors.iter().for_each(|(_, error)| measure::error(error));
                let Some(first) = self.applying.front_mut() else { return Ok(()) };
                let errors = errors.into_iter().map(|(index, error)| (base + index, error));
                first.applied.errors.extend(errors);
                if is_last && let Some(Applying { applied, sender }) = self.applying.pop_front() {
                    let _ = sender.send(applied);
                }
            }
            (Some(Waiter::Changes { .. }), _) => {
                return Err(SessionError::Unexpected("refusal of a barrier").into());
            }
            (None, _) => {}
        }
        Ok(())
    }
}

impl From<CloseReason> for HandshakeError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Local | CloseReason::Eof => Self::Eof,
            CloseReason::Io(error) => Self::Io(error),
            CloseReason::Session(error) => Self::Session(error),
        }
    }
}
