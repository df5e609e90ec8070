use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde_json::Value as Json;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};
use tracing::{debug, info, warn};

use crate::{
    Address, Error, MonitoredTable, Operation, Outcome, Replica,
    connection::{self, Connection, Parameters, Request},
    error::ConnectionError,
};

/// How many requests may wait to be sent.
const QUEUE: usize = 256;

/// What a [`Client`] connects to, and what it watches.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub address: Address,
    /// The database, such as `Open_vSwitch`.
    pub database: String,
    /// What to keep a replica of.
    pub tables: Vec<MonitoredTable>,
    /// Longest message accepted, in bytes. The monitor's first has all of the monitored tables.
    pub max_message: usize,
    /// After this silence the server is asked whether it lives, and after as much again the
    /// connection is given up. `None`: never.
    pub probe_interval: Option<Duration>,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Longest pause between two attempts to connect.
    pub max_back_off: Duration,
}

impl Config {
    /// A database on a server, nothing monitored, and the usual limits: 64 MiB, 5 s, 10 s, 2 s. A
    /// server on a Unix socket is not probed: the kernel tells when it ends.
    pub fn new(address: Address, database: impl Into<String>) -> Self {
        let may_vanish = matches!(address, Address::Tcp(_));
        Self {
            address,
            database: database.into(),
            tables: Vec::new(),
            max_message: 64 << 20,
            probe_interval: may_vanish.then_some(Duration::from_secs(5)),
            request_timeout: Duration::from_secs(10),
            max_back_off: Duration::from_secs(2),
        }
    }

    /// Adds a table to be kept a replica of.
    #[must_use]
    pub fn monitor(mut self, table: MonitoredTable) -> Self {
        self.tables.push(table);
        self
    }
}

/// A client of one database: connects, and connects again with growing pauses when the connection
/// is lost. Cheap to clone; the connection ends with the last clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: String,
    requests: mpsc::Sender<Request>,
    connected: watch::Receiver<bool>,
    replica: Replica,
    request_timeout: Duration,
    connecting: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

impl Client {
    /// Starts to connect. Must be called within a Tokio runtime.
    pub fn start(config: Config) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (connected_sender, connected) = watch::channel(false);
        let replica = Replica::new(&config.tables);
        let request_timeout = config.request_timeout;
        let database = config.database.clone();
        let connecting =
            tokio::spawn(keep_connected(config, queue, connected_sender, replica.clone()))
                .abort_handle();
        Self(Arc::new(Inner {
            database,
            requests,
            connected,
            replica,
            request_timeout,
            connecting,
        }))
    }

    /// The copy of the monitored tables.
    pub fn replica(&self) -> &Replica {
        &self.0.replica
    }

    /// Whether there is a connection and the replica is up to date.
    pub fn is_connected(&self) -> bool {
        *self.0.connected.borrow()
    }

    /// Waits until there is a connection and the replica is up to date.
    pub async fn connected(&self) {
        self.wait_until_connected(true).await;
    }

    /// Waits until the connection is lost.
    pub async fn disconnected(&self) {
        self.wait_until_connected(false).await;
    }

    async fn wait_until_connected(&self, wanted: bool) {
        let mut connected = self.0.connected.clone();
        if connected.wait_for(|connected| *connected == wanted).await.is_err() {
            // The task that connects ends only with `self`.
            std::future::pending::<()>().await;
        }
    }

    /// Carries out all operations, or none.
    ///
    /// # Errors
    /// At once if there is no connection; when an operation fails; or when the answer does not
    /// come, in which case the transaction may have taken place.
    pub async fn transact(&self, operations: &[Operation]) -> Result<Vec<Outcome>, Error> {
        let result = self.request("transact", self.transact_params(operations)?).await?;
        Outcome::parse_all(&result, operations.len())
    }

    fn transact_params(&self, operations: &[Operation]) -> Result<Json, Error> {
        let json =
            serde_json::to_value(operations).map_err(|error| Error::Protocol(error.to_string()))?;
        let Json::Array(mut params) = json else {
            return Err(Error::Protocol("operations that are no array".to_owned()));
        };
        params.insert(0, self.0.database.clone().into());
        Ok(Json::Array(params))
    }

    async fn request(&self, method: &'static str, params: Json) -> Result<Json, Error> {
        if !self.is_connected() {
            return Err(Error::Disconnected);
        }
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            let request = Request { method, params, reply };
            self.0.requests.send(request).await.map_err(|_| Error::Disconnected)?;
            answer.await.unwrap_or(Err(Error::ConnectionLost))
        };
        tokio::time::timeout(self.0.request_timeout, exchange).await.unwrap_or(Err(Error::TimedOut))
    }
}

/// Connects again and again until the last [`Client`] is dropped.
async fn keep_connected(
    config: Config,
    mut queue: mpsc::Receiver<Request>,
    connected: watch::Sender<bool>,
    replica: Replica,
) {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(config.max_back_off)
        .with_jitter()
        .without_max_times();
    let mut pause = pauses.build();
    loop {
        let result = connect_once(&config, &mut queue, &connected, &replica).await;
        let was_connected = connected.send_replace(false);
        fail_queued(&mut queue);
        match result {
            Ok(()) => return,
            Err(error) if was_connected => {
                warn!(address = %config.address, %error, "lost the connection to the database");
                pause = pauses.build();
            }
            Err(error) => debug!(address = %config.address, %error, "cannot connect"),
        }
        tokio::time::sleep(pause.next().unwrap_or(config.max_back_off)).await;
    }
}

async fn connect_once(
    config: &Config,
    queue: &mut mpsc::Receiver<Request>,
    connected: &watch::Sender<bool>,
    replica: &Replica,
) -> Result<(), ConnectionError> {
    let stream = tokio::time::timeout(config.request_timeout, connection::open(&config.address))
        .await
        .map_err(|_| ConnectionError::Silent)??;
    let parameters = Parameters {
        database: &config.database,
        tables: &config.tables,
        max_message: config.max_message,
        probe_interval: config.probe_interval,
    };
    let on_synced = || {
        info!(address = %config.address, database = config.database, "connected to the database");
        connected.send_replace(true);
    };
    Connection::new(parameters, replica).run(stream, queue, on_synced).await
}

/// Requests that were queued when the connection was lost have not been sent: their senders learn
/// it, rather than have them run on the next connection when nobody waits any more.
fn fail_queued(queue: &mut mpsc::Receiver<Request>) {
    while let Ok(Request { reply, .. }) = queue.try_recv() {
        // Whoever asked may have gone.
        let _ = reply.send(Err(Error::Disconnected));
    }
}
