use std::{
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::Socket;

use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    packet_socket,
};

/// Hands on every frame that a namespace receives, without its outermost VLAN tag, from a thread of
/// its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Capture {
    socket: Arc<Socket>,
    overlooked: AtomicU64,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts watching an interface, or all interfaces, of a namespace. From when this returns, no
    /// frame is missed.
    pub(super) fn start(
        namespace: &Namespace,
        interface: Option<&str>,
        mut take: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self, LabError> {
        let what = format!("watch {} in {}", interface.unwrap_or("all"), namespace.name());
        let interface = interface.map(str::to_owned);
        let socket = namespace
            .enter(move || {
                let socket = packet_socket::open_for_reception(interface.as_deref())?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                Ok(socket)
            })
            .context(|| what.clone())?;
        let (socket, stop) = (Arc::new(socket), Arc::<AtomicBool>::default());
        let thread = thread::Builder::new()
            .name("lab-capture".to_owned())
            .spawn({
                let (socket, stop) = (Arc::clone(&socket), Arc::clone(&stop));
                move || {
                    let mut buffer = [MaybeUninit::uninit(); 65_536];
                    while !stop.load(Ordering::Relaxed) {
                        // A time-out comes here too, and so does an interface that is gone.
                        let Ok(length) = socket.recv(&mut buffer) else { continue };
                        // SAFETY: recv has filled this many bytes.
                        take(unsafe { &*(&raw const buffer[..length] as *const [u8]) });
                    }
                }
            })
            .context(|| what)?;
        Ok(Self { socket, overlooked: AtomicU64::default(), stop, thread: Some(thread) })
    }

    /// Frames that came but found no room.
    pub(super) fn overlooked(&self) -> u64 {
        let since = packet_socket::overlooked(&self.socket);
        self.overlooked.fetch_add(since, Ordering::SeqCst) + since
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
