//! A service downstream that remembers what it is told, and fails when asked to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    net::TcpSocket,
    runtime::{Builder, Runtime},
    sync::broadcast,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Status, service::Routes};

/// An object as the service has it. Keys are such as `node/n1`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) ready: bool,
    pub(crate) message: String,
    /// The message that it came in, for people.
    pub(crate) body: String,
    /// Counts objects, for numbers that are given.
    pub(crate) number: u32,
    /// Of a port: what was learned behind it, and what is said of conflicts.
    pub(crate) addresses: Addresses,
}

/// What is behind a port.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) learned: Vec<String>,
    pub(crate) conflicts: Vec<String>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Object>,
    calls: Vec<String>,
    /// Refusals, by the beginning of "apply <key>" or "delete <key>".
    refusals: BTreeMap<String, Status>,
    /// Deletions are not complete until this is undone.
    lingering: bool,
    /// Calls are not answered.
    hanging: bool,
    next_number: u32,
}

/// What both services share.
#[derive(Clone)]
pub(crate) struct Fake {
    inner: Arc<Mutex<Inner>>,
    changes: broadcast::Sender<Told>,
}

/// A change; nothing: the object is gone.
pub(crate) type Told = (String, Option<Object>);

impl Default for Fake {
    fn default() -> Self {
        Self { inner: Arc::default(), changes: broadcast::channel(10_000).0 }
    }
}

impl Fake {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Keys of what it has.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    pub(crate) fn object(&self, key: &str) -> Option<Object> {
        self.inner().objects.get(key).cloned()
    }

    /// Every call so far, such as "apply node/n1".
    pub(crate) fn calls(&self) -> Vec<String> {
        self.inner().calls.clone()
    }

    /// Refuses calls that begin like this.
    pub(crate) fn refuse(&self, call: &str, status: Status) {
        self.inner().refusals.insert(call.to_owned(), status);
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        self.inner().refusals.clear();
    }

    pub(crate) fn set_hanging(&self, hanging: bool) {
        self.inner().hanging = hanging;
    }

    /// Makes an object ready, or not for this reason, and tells.
    pub(crate) fn set_state(&self, key: &str, ready: bool, message: &str) {
        let object = {
            let mut inner = self.inner();
            let object = inner.objects.get_mut(key).unwrap_or_else(|| panic!("no {key}"));
            object.ready = ready;
            message.clone_into(&mut object.message);
            object.clone()
        };
        let _ = self.changes.send((key.to_owned(), Some(object)));
    }

    /// Sees addresses behind a port, and tells.
    pub(crate) fn set_addresses(&self, key: &str, addresses: Addresses) {
        let object = {
            let mut inner = self.inner();
            let object = inner.objects.get_mut(key).unwrap_or_else(|| panic!("no {key}"));
            object.addresses = addresses;
            object.clone()
        };
        let _ = self.changes.send((key.to_owned(), Some(object)));
    }

    /// Whether deletions take until this is undone.
    pub(crate) fn set_lingering(&self, lingering: bool) {
        let mut inner = self.inner();
        inner.lingering = lingering;
        if lingering {
            return;
        }
        let deleted: Vec<String> = inner
            .calls
            .iter()
            .filter_map(|call| call.strip_prefix("delete ").map(ToOwned::to_owned))
            .collect();
        for key in deleted {
            if inner.objects.remove(&key).is_some() {
                let _ = self.changes.send((key, None));
            }
        }
    }

    /// Forgets everything, as if its database were lost.
    pub(crate) fn lose_everything(&self) {
        self.inner().objects.clear();
    }

    pub(crate) async fn apply(
        &self,
        key: String,
        (uid, generation): (String, i64),
        body: String,
    ) -> Result<Object, Status> {
        self.answer(&format!("apply {key}")).await?;
        let mut inner = self.inner();
        if let Some(known) = inner.objects.get(&key)
            && known.uid == uid
            && known.generation >= generation
        {
            return Ok(known.clone());
        }
        inner.next_number += 1;
        let number = inner.objects.get(&key).map_or(inner.next_number, |object| object.number);
        let message = String::new();
        let object = Object {
            uid,
            generation,
            ready: true,
            message,
            body,
            number,
            addresses: Addresses::default(),
        };
        inner.objects.insert(key.clone(), object.clone());
        let _ = self.changes.send((key, Some(object.clone())));
        Ok(object)
    }

    pub(crate) async fn delete(&self, key: String, force: bool) -> Result<bool, Status> {
        self.answer(&format!("delete {key}")).await?;
        let mut inner = self.inner();
        if !force && inner.lingering && inner.objects.contains_key(&key) {
            return Ok(false);
        }
        if inner.objects.remove(&key).is_some() {
            let _ = self.changes.send((key, None));
        }
        Ok(true)
    }

    /// What exists, and what changes after that.
    pub(crate) async fn watch(&self) -> (Vec<Told>, broadcast::Receiver<Told>) {
        while self.inner().hanging {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let inner = self.inner();
        let objects = inner.objects.iter();
        let objects = objects.map(|(key, object)| (key.clone(), Some(object.clone()))).collect();
        (objects, self.changes.subscribe())
    }

    async fn answer(&self, call: &str) -> Result<(), Status> {
        self.inner().calls.push(call.to_owned());
        while self.inner().hanging {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let inner = self.inner();
        let refusal = inner.refusals.iter().find(|(begin, _)| call.starts_with(begin.as_str()));
        refusal.map_or(Ok(()), |(_, status)| Err(status.clone()))
    }
}

/// A fake that listens; stopped and started at will, on the same port.
pub(crate) struct Server {
    pub(crate) fake: Fake,
    address: SocketAddr,
    /// Does not listen; keeps the port from others while the fake is stopped.
    _reserved: TcpSocket,
    routes: fn(Fake) -> Routes,
    /// Of its own, so that connections end with it.
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(routes: fn(Fake) -> Routes) -> Self {
        let reserved = bound(([127, 0, 0, 1], 0).into());
        let address = reserved.local_addr().unwrap();
        let fake = Fake::default();
        let mut server = Self { fake, address, _reserved: reserved, routes, runtime: None };
        server.resume();
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn resume(&mut self) {
        self.serve(bound(self.address));
    }

    fn serve(&mut self, socket: TcpSocket) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let incoming = TcpListenerStream::new(socket.listen(1024).unwrap());
        let routes = (self.routes)(self.fake.clone());
        let server = tonic::transport::Server::builder().add_routes(routes);
        runtime.spawn(server.serve_with_incoming(incoming));
        self.runtime = Some(runtime);
    }

    /// Stops at once, as when killed.
    pub(crate) async fn stop(&mut self) {
        let runtime = self.runtime.take();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

/// A socket whose address can be bound again although it is there, and although there were
/// connections, as long as it does not listen.
pub(crate) fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
