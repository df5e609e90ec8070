use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    Change, DecodeError, Description, EncodeError, Event, Features, FlowFilter, FlowMonitor,
    FlowUpdate, Frames, Hello, Message, MultipartBody, MultipartReply, MultipartRequest,
    OpenFlowError, PacketOut, PortDescription, Reply, Request, frame::kind,
};

/// Names the one flow monitor that a session has.
const MONITOR: u32 = 0;

/// Timing and limits of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// After how long a silence the peer is asked for an echo.
    pub echo_interval: Duration,
    /// After how many intervals of silence it counts as dead.
    pub echo_misses: u32,
    /// How long a peer that is alive may take to get on with what it was asked.
    pub reply_timeout: Duration,
    /// How many bytes the reply to one request may have, in all its parts.
    pub reply_limit: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            // A switch that asks for echoes itself, as ours do every 5 s, is not asked as well.
            echo_interval: Duration::from_secs(10),
            echo_misses: 1,
            reply_timeout: Duration::from_secs(60),
            reply_limit: 256 << 20,
        }
    }
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// What came is not OpenFlow 1.3.
    #[error("not OpenFlow 1.3: {0}")]
    Decode(#[from] DecodeError),
    /// The peer does not speak OpenFlow 1.3.
    #[error("the peer does not speak OpenFlow 1.3")]
    Version,
    /// The peer refused us.
    #[error("the peer refused the session: {0}")]
    Refused(OpenFlowError),
    /// A message that has no place there.
    #[error("{0} is out of place in the handshake")]
    Unexpected(&'static str),
    /// An auxiliary connection, which is never asked for.
    #[error("auxiliary connection {0}")]
    Auxiliary(u8),
    /// The peer is silent.
    #[error("nothing heard for {0:?}")]
    Dead(Duration),
    /// The peer is alive and does not answer.
    #[error("no answer for {0:?}")]
    Unanswered(Duration),
    /// A reply does not end.
    #[error("a reply has more than {0} bytes")]
    ReplyTooLong(usize),
}

/// The controller's side of a connection with a switch. Bytes from the switch go into
/// [`receive`](Self::receive), bytes for it come out of [`output`](Self::output), what happens out
/// of [`next_event`](Self::next_event); [`tick`](Self::tick) must be called at
/// [`deadline`](Self::deadline).
///
/// ```text
///            hello               features reply          last part of the
///            agrees              of a main connection    port descriptions
/// Greeting ----------> Features ----------------> Ports ----------> Ready
/// ```
///
/// After an error the session is over: send what is in `output`, then close the connection.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    frames: Frames,
    output: Vec<u8>,
    events: VecDeque<Event>,
    next_xid: u32,
    /// What was asked and is not answered yet, by its last xid.
    pending: BTreeMap<u32, Pending>,
    /// When the peer was heard last.
    heard: Instant,
    /// How many echo requests were sent since then.
    echoes: u32,
    /// When a pending request came in or got a part of its answer last.
    progress: Instant,
}

/// How far the handshake is.
#[derive(Debug)]
enum State {
    /// Our hello is sent.
    Greeting,
    /// The features request is sent.
    Features,
    /// The request for port descriptions is sent.
    Ports(Features, Vec<PortDescription>),
    /// Finished.
    Ready,
}

/// A request that waits for its answer.
#[derive(Debug)]
enum Pending {
    /// Changes with the xids from `first`, and the barrier behind them.
    Changes { first: u32, errors: Vec<(usize, OpenFlowError)> },
    /// A question whose answer may come in parts.
    Multipart { reply: Reply, size: usize },
    /// A question for a role.
    Role,
    /// A question for the tunnel options.
    TunnelOptions,
}

impl Session {
    /// Begins a session on a new connection.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let mut session = Self {
            config,
            state: State::Greeting,
            frames: Frames::default(),
            output: Vec::new(),
            events: VecDeque::new(),
            next_xid: 1,
            pending: BTreeMap::new(),
            heard: now,
            echoes: 0,
            progress: now,
        };
        session.send(&Message::Hello(Hello::OURS));
        session
    }

    /// Takes bytes from the switch.
    ///
    /// # Errors
    /// The session is over.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), SessionError> {
        if !bytes.is_empty() {
            self.heard = now;
            self.echoes = 0;
        }
        self.frames.push(bytes);
        loop {
            let frame = match self.frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let refusal = error.to_reply(self.frames.pending());
                    self.send(&Message::Error(refusal));
                    return Err(error.into());
                }
            };
            let (xid, size) = (frame.header.xid, frame.bytes.len());
            let is_error = frame.header.kind == kind::ERROR;
            match Message::decode(frame.bytes) {
                Ok((_, message)) => self.handle(xid, size, message, now)?,
                Err(error) => {
                    let refusal = error.to_reply(frame.bytes);
                    if !is_error {
                        self.refuse(xid, refusal.clone());
                    }
                    match self.state {
                        State::Greeting | State::Features | State::Ports(..) => {
                            return Err(error.into());
                        }
                        // One message that makes no sense is no reason to lose a switch.
                        State::Ready if self.pending.contains_key(&xid) => {
                            self.answer(xid, Err(refusal));
                        }
                        State::Ready => {}
                    }
                }
            }
        }
    }

    /// Bytes for the switch, in their order. Remove from the front what is sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What has happened, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`tick`](Self::tick) is to be called next.
    pub fn deadline(&self) -> Instant {
        let echoes = match self.state {
            State::Ready => self.echoes,
            State::Greeting | State::Features | State::Ports(..) => self.config.echo_misses,
        };
        let silence = self.heard + self.config.echo_interval * (echoes + 1);
        match self.pending.is_empty() {
            true => silence,
            false => silence.min(self.progress + self.config.reply_timeout),
        }
    }

    /// Does what is due: asks for an echo when the switch is silent after the handshake.
    ///
    /// # Errors
    /// The switch was silent, or did not answer, for too long. The session is over.
    pub fn tick(&mut self, now: Instant) -> Result<(), SessionError> {
        let silence = now.saturating_duration_since(self.heard);
        if silence >= self.config.echo_interval * (self.config.echo_misses + 1) {
            return Err(SessionError::Dead(silence));
        }
        let waiting = now.saturating_duration_since(self.progress);
        if !self.pending.is_empty() && waiting >= self.config.reply_timeout {
            return Err(SessionError::Unanswered(waiting));
        }
        if now >= self.deadline() {
            self.echoes += 1;
            self.send(&Message::EchoRequest(Vec::new()));
        }
        Ok(())
    }

    /// Asks the switch; returns the xid of the answer to come.
    pub fn request(&mut self, request: Request, now: Instant) -> u32 {
        let (message, pending) = match request {
            Request::Flows => {
                let request = MultipartRequest::Flows(FlowFilter::all());
                (Message::MultipartRequest(request), Pending::parts(Reply::Flows(Vec::new())))
            }
            Request::Groups => {
                let request = Message::MultipartRequest(MultipartRequest::Groups);
                (request, Pending::parts(Reply::Groups(Vec::new())))
            }
            Request::Meters => {
                let request = Message::MultipartRequest(MultipartRequest::Meters);
                (request, Pending::parts(Reply::Meters(Vec::new())))
            }
            Request::Ports => {
                let request = Message::MultipartRequest(MultipartRequest::Ports);
                (request, Pending::parts(Reply::Ports(Vec::new())))
            }
            Request::PortStats(port) => {
                let request = Message::MultipartRequest(MultipartRequest::PortStats(port));
                (request, Pending::parts(Reply::PortStats(Vec::new())))
            }
            Request::Description => {
                let request = Message::MultipartRequest(MultipartRequest::Description);
                (request, Pending::parts(Reply::Description(Description::default())))
            }
            Request::Role(role) => (Message::RoleRequest(role), Pending::Role),
            // Nothing answers these two but a refusal: a barrier shows that there was none.
            Request::MapTunnelOption(option) => {
                let first = self.send(&Message::AddTunnelOptions(vec![option]));
                (Message::BarrierRequest, Pending::Changes { first, errors: Vec::new() })
            }
            Request::CancelMonitor => {
                let first = self.send(&Message::CancelFlowMonitor(MONITOR));
                (Message::BarrierRequest, Pending::Changes { first, errors: Vec::new() })
            }
            Request::TunnelOptions => (Message::TunnelOptionsRequest, Pending::TunnelOptions),
            Request::MonitorFlows => {
                let request = MultipartRequest::FlowMonitor(FlowMonitor { id: MONITOR });
                (Message::MultipartRequest(request), Pending::parts(Reply::MonitorsFlows))
            }
        };
        let xid = self.send(&message);
        self.wait(xid, pending, now);
        xid
    }

    /// Asks for the changes, in their order, and a barrier behind them; returns the xid of the
    /// answer to come, a [`Reply::Applied`].
    pub fn apply(&mut self, changes: &[Change], now: Instant) -> u32 {
        let first = self.reserve_xids(changes.len() + 1);
        let mut errors = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            if change.encode(first + index as u32, &mut self.output).is_err() {
                errors.push((index, OpenFlowError::too_long()));
            }
        }
        let barrier = first + changes.len() as u32;
        self.send_as(barrier, &Message::BarrierRequest);
        self.wait(barrier, Pending::Changes { first, errors }, now);
        barrier
    }

    /// Hands a frame to the switch; returns the xid that a refusal would have.
    ///
    /// # Errors
    /// Frame and actions are longer than a message can be.
    pub fn packet_out(&mut self, packet: PacketOut) -> Result<u32, EncodeError> {
        let xid = self.reserve_xids(1);
        Message::PacketOut(packet).encode(xid, &mut self.output)?;
        Ok(xid)
    }

    /// The whole protocol. Whatever is not named for a state is of no use in it: the handshake
    /// breaks off, a session that is ready lets it pass.
    fn handle(
        &mut self,
        xid: u32,
        size: usize,
        message: Message,
        now: Instant,
    ) -> Result<(), SessionError> {
        match (&mut self.state, message) {
            (_, Message::EchoRequest(data)) => self.send_as(xid, &Message::EchoReply(data)),
            (_, Message::EchoReply(_)) => {}

            (State::Greeting, Message::Hello(hello)) if hello.agrees() => {
                self.send(&Message::FeaturesRequest);
                self.state = State::Features;
            }
            (State::Greeting, Message::Hello(_)) => {
                self.refuse(xid, OpenFlowError::incompatible());
                return Err(SessionError::Version);
            }
            (State::Greeting, message) => return Err(out_of_place(message)),

            (State::Features, Message::FeaturesReply(features)) => {
                if features.auxiliary_id != 0 {
                    return Err(SessionError::Auxiliary(features.auxiliary_id));
                }
                self.send(&Message::SetConfig { miss_send_length: u16::MAX });
                self.send(&Message::MultipartRequest(MultipartRequest::Ports));
                self.state = State::Ports(features, Vec::new());
            }
            // What it tells of ports will be in their descriptions too; a frame that somebody's
            // flows send here is nobody's yet.
            (
                State::Features,
                Message::PortStatus(_) | Message::PacketIn(_) | Message::FlowRemoved(_),
            ) => {}
            (State::Features, message) => return Err(out_of_place(message)),

            (State::Ports(features, ports), Message::MultipartReply(reply)) => {
                let MultipartReply { more, body: MultipartBody::Ports(part) } = reply else {
                    return Err(SessionError::Unexpected("multipart reply"));
                };
                ports.extend(part);
                if ports.len() * mem::size_of::<PortDescription>() > self.config.reply_limit {
                    return Err(SessionError::ReplyTooLong(self.config.reply_limit));
                }
                if !more {
                    let event = Event::Ready { features: *features, ports: mem::take(ports) };
                    self.state = State::Ready;
                    self.events.push_back(event);
                }
            }
            (
                State::Ports(..),
                Message::PortStatus(_) | Message::PacketIn(_) | Message::FlowRemoved(_),
            ) => {}
            (State::Ports(..), message) => return Err(out_of_place(message)),

            (State::Ready, Message::Error(error)) => self.fail(xid, error),
            (State::Ready, Message::MultipartReply(reply)) => {
                self.collect(xid, size, reply, now)?;
            }
            (State::Ready, Message::BarrierReply) => self.finish_changes(xid, now),
            (State::Ready, Message::RoleReply(role)) => {
                if let Some(Pending::Role) = self.pending.get(&xid) {
                    self.answer(xid, Ok(Reply::Role(role)));
                }
            }
            (State::Ready, Message::TunnelOptionsReply(options)) => {
                if let Some(Pending::TunnelOptions) = self.pending.get(&xid) {
                    self.answer(xid, Ok(Reply::TunnelOptions(options.mapped)));
                }
            }
            (State::Ready, Message::PortStatus(status)) => {
                self.events.push_back(Event::PortStatus(status));
            }
            (State::Ready, Message::FlowRemoved(removed)) => {
                self.events.push_back(Event::FlowRemoved(removed));
            }
            (State::Ready, Message::PacketIn(packet)) => {
                self.events.push_back(Event::PacketIn(packet));
            }
            // What only a controller may ask.
            (
                State::Ready,
                Message::FeaturesRequest
                | Message::SetConfig { .. }
                | Message::PacketOut(_)
                | Message::FlowMod(_)
                | Message::GroupMod(_)
                | Message::MeterMod(_)
                | Message::MultipartRequest(_)
                | Message::BarrierRequest
                | Message::RoleRequest(_)
                | Message::AddTunnelOptions(_)
                | Message::TunnelOptionsRequest
                | Message::CancelFlowMonitor(_)
                | Message::BundleAdd(_),
            ) => self.refuse(xid, OpenFlowError::unknown_type()),
            (
                State::Ready,
                Message::Hello(_)
                | Message::FeaturesReply(_)
                | Message::BundleControl(_)
                | Message::Experimenter { .. }
                | Message::Other { .. },
            ) => {}
        }
        Ok(())
    }

    /// Adds a part to the answer that it belongs to.
    fn collect(
        &mut self,
        xid: u32,
        part: usize,
        MultipartReply { more, body }: MultipartReply,
        now: Instant,
    ) -> Result<(), SessionError> {
        if let MultipartBody::FlowUpdates(updates) = &body
            && updates.iter().any(FlowUpdate::is_foreign_change)
            && self.events.back() != Some(&Event::FlowsChanged)
        {
            self.events.push_back(Event::FlowsChanged);
        }
        let Some(Pending::Multipart { reply, size }) = self.pending.get_mut(&xid) else {
            return Ok(());
        };
        *size += part;
        if *size > self.config.reply_limit {
            return Err(SessionError::ReplyTooLong(self.config.reply_limit));
        }
        match (reply, body) {
            (Reply::Flows(all), MultipartBody::Flows(part)) => all.extend(part),
            (Reply::Groups(all), MultipartBody::Groups(part)) => all.extend(part),
            (Reply::Meters(all), MultipartBody::Meters(part)) => all.extend(part),
            (Reply::Ports(all), MultipartBody::Ports(part)) => all.extend(part),
            (Reply::PortStats(all), MultipartBody::PortStats(part)) => all.extend(part),
            (Reply::Description(all), MultipartBody::Description(part)) => *all = part,
            (Reply::MonitorsFlows, MultipartBody::FlowUpdates(_)) => {}
            _ => return Err(SessionError::Unexpected("multipart reply")),
        }
        self.progress = now;
        if !more && let Some(Pending::Multipart { reply, .. }) = self.pending.remove(&xid) {
            self.events.push_back(Event::Answer { xid, answer: Ok(reply) });
        }
        Ok(())
    }

    fn finish_changes(&mut self, xid: u32, now: Instant) {
        if let Some(Pending::Changes { errors, .. }) = self.pending.get_mut(&xid) {
            let errors = mem::take(errors);
            self.progress = now;
            self.answer(xid, Ok(Reply::Applied(errors)));
        }
    }

    /// The switch refused the message with this xid.
    fn fail(&mut self, xid: u32, error: OpenFlowError) {
        let Some((last, pending)) = self.pending.range_mut(xid..).next() else {
            return self.events.push_back(Event::Refused { xid, error });
        };
        let last = *last;
        match pending {
            Pending::Changes { first, errors } if (*first..last).contains(&xid) => {
                let index = (xid - *first) as usize;
                let at = errors.partition_point(|(other, _)| *other < index);
                errors.insert(at, (index, error));
            }
            _ if xid == last => self.answer(xid, Err(error)),
            _ => self.events.push_back(Event::Refused { xid, error }),
        }
    }

    fn answer(&mut self, xid: u32, answer: Result<Reply, OpenFlowError>) {
        self.pending.remove(&xid);
        self.events.push_back(Event::Answer { xid, answer });
    }

    fn wait(&mut self, xid: u32, pending: Pending, now: Instant) {
        self.progress = now;
        self.pending.insert(xid, pending);
    }

    /// Answers a message that is wrong.
    fn refuse(&mut self, xid: u32, error: OpenFlowError) {
        self.send_as(xid, &Message::Error(error));
    }

    fn send(&mut self, message: &Message) -> u32 {
        let xid = self.reserve_xids(1);
        self.send_as(xid, message);
        xid
    }

    /// Only a message of bounded length: one that is too long is not sent at all.
    fn send_as(&mut self, xid: u32, message: &Message) {
        let sent = message.encode(xid, &mut self.output);
        debug_assert!(sent.is_ok(), "{} is too long", message.name());
    }

    /// The first of `count` xids in a row that no message has had for a long time. 0 is never one.
    fn reserve_xids(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX - 1);
        let first = match self.next_xid.checked_add(count) {
            Some(_) => self.next_xid,
            None => 1,
        };
        self.next_xid = first + count;
        first
    }
}

impl Pending {
    /// A question whose answer comes in parts, which are added to an empty one.
    const fn parts(empty: Reply) -> Self {
        Self::Multipart { reply: empty, size: 0 }
    }
}

/// A message that ends the handshake.
fn out_of_place(message: Message) -> SessionError {
    match message {
        Message::Error(error) => SessionError::Refused(error),
        message => SessionError::Unexpected(message.name()),
    }
}
