//! One connection: requests and their answers, `echo`, the monitor's updates.

use std::{collections::HashMap, io, time::Duration};

use bytes::{Buf as _, BytesMut};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    Address, Framer, MonitoredTable, Replica,
    error::{ConnectionError, Error, OperationError},
    message::{self, Message},
    monitor::{TableUpdates, monitor_params},
};

/// How many requests may be without an answer; more wait in the queue.
const MAX_PENDING: usize = 4096;

/// How many bytes may wait to be written before requests have to wait.
const MAX_UNWRITTEN: usize = 1 << 20;

/// A request, and who waits for the answer.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) params: Json,
    pub(crate) reply: oneshot::Sender<Result<Json, Error>>,
}

/// What to do with the answer to a request of ours.
enum Pending {
    /// Hand it over.
    Reply(oneshot::Sender<Result<Json, Error>>),
    /// It is the monitor's snapshot. Taken over here, before any later update is read.
    Snapshot,
    /// It shows that the server lives, and so did its arrival.
    Echo,
}

/// What a connection is to do, apart from requests.
pub(crate) struct Parameters<'a> {
    pub(crate) database: &'a str,
    pub(crate) tables: &'a [MonitoredTable],
    pub(crate) max_message: usize,
    pub(crate) probe_interval: Option<Duration>,
}

/// A byte stream to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a byte stream to a server.
pub(crate) async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(socket) => {
            let stream = TcpStream::connect(socket).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

/// The state of a connection.
pub(crate) struct Connection<'a> {
    parameters: Parameters<'a>,
    replica: &'a Replica,
    framer: Framer,
    unwritten: BytesMut,
    pending: HashMap<u64, Pending>,
    next_id: u64,
    /// Since when the server is silent: it was last heard of then, or asked whether it lives.
    silent_since: Instant,
    /// Whether it has been asked since it was last heard of.
    probed: bool,
    /// Whether the monitor's snapshot has come.
    synced: bool,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(parameters: Parameters<'a>, replica: &'a Replica) -> Self {
        Self {
            framer: Framer::new(parameters.max_message),
            parameters,
            replica,
            unwritten: BytesMut::new(),
            pending: HashMap::new(),
            next_id: 0,
            silent_since: Instant::now(),
            probed: false,
            synced: false,
        }
    }

    /// Starts the monitor, then serves requests until the connection fails or `requests` is closed.
    /// Calls `on_synced` when the replica is up to date. Requests without an answer get
    /// [`Error::ConnectionLost`], because what they wait on is dropped.
    pub(crate) async fn run(
        &mut self,
        stream: Box<dyn Stream>,
        requests: &mut mpsc::Receiver<Request>,
        on_synced: impl Fn(),
    ) -> Result<(), ConnectionError> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let params = monitor_params(self.parameters.database, self.parameters.tables);
        self.send("monitor", &params, Pending::Snapshot);
        let mut announced = false;
        loop {
            let may_send = self.synced
                && self.unwritten.len() < MAX_UNWRITTEN
                && self.pending.len() < MAX_PENDING;
            let probe_at =
                self.parameters.probe_interval.map(|interval| self.silent_since + interval);
            tokio::select! {
                read = reader.read_buf(self.framer.buffer()) => {
                    if read? == 0 {
                        return Err(ConnectionError::Closed);
                    }
                    self.received()?;
                    if self.synced && !announced {
                        announced = true;
                        on_synced();
                    }
                }
                written = writer.write(&self.unwritten), if !self.unwritten.is_empty() => {
                    self.unwritten.advance(written?);
                }
                request = requests.recv(), if may_send => match request {
                    // Whoever asked has given up: nothing must take place any more.
                    Some(Request { reply, .. }) if reply.is_closed() => {}
                    Some(Request { method, params, reply }) => {
                        self.send(method, &params, Pending::Reply(reply));
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(probe_at.unwrap_or(self.silent_since)),
                    if probe_at.is_some() =>
                {
                    self.probe()?;
                }
            }
        }
    }

    fn send(&mut self, method: &str, params: &Json, pending: Pending) {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, pending);
        self.unwritten.extend_from_slice(message::request(id, method, params).as_bytes());
    }

    /// RFC 7047, section 4.1.11: `echo` shows that the other end lives.
    fn probe(&mut self) -> Result<(), ConnectionError> {
        if self.probed {
            return Err(ConnectionError::Silent);
        }
        self.probed = true;
        // Whoever wakes late gives the server as long for its answer all the same.
        self.silent_since = Instant::now();
        self.send("echo", &json!([]), Pending::Echo);
        Ok(())
    }

    fn received(&mut self) -> Result<(), ConnectionError> {
        self.silent_since = Instant::now();
        self.probed = false;
        while let Some(object) = self.framer.next_object()? {
            match Message::parse(&object)? {
                Message::Request { id, method, params } => self.answer(&id, &method, &params),
                Message::Notification { method, params } => self.notified(&method, params)?,
                Message::Response { id, result } => self.answered(id, result)?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: &Json, method: &str, params: &Json) {
        let answer = match method {
            "echo" => message::response(id, params),
            _ => message::error_response(id, "unknown method"),
        };
        self.unwritten.extend_from_slice(answer.as_bytes());
    }

    fn notified(&mut self, method: &str, params: Json) -> Result<(), ConnectionError> {
        if method == "update" {
            let Json::Array(mut params) = params else {
                return Err(ConnectionError::Message("an update without parameters".to_owned()));
            };
            let updates = params.pop().unwrap_or_default();
            self.replica.update(TableUpdates::parse(updates)?);
        }
        Ok(())
    }

    fn answered(&mut self, id: u64, result: Result<Json, Json>) -> Result<(), ConnectionError> {
        let result = result.map_err(|error| Error::Request(OperationError::from_json(&error)));
        match self.pending.remove(&id) {
            Some(Pending::Reply(reply)) => {
                // Whoever asked may have gone.
                let _ = reply.send(result);
            }
            Some(Pending::Snapshot) => {
                let snapshot = result.map_err(ConnectionError::Monitor)?;
                self.replica.replace(TableUpdates::parse(snapshot)?);
                self.synced = true;
            }
            Some(Pending::Echo) | None => {}
        }
        Ok(())
    }
}
