use std::{
    io,
    mem::MaybeUninit,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::libc;
use socket2::Socket;

use super::frame::packet_socket;
use crate::{
    error::{Context, LabError},
    namespace::Namespace,
    wait,
};

/// Most frames kept; further ones are counted only.
const KEPT: usize = 10_000;

/// Watches what an interface receives, and keeps the frames that a filter lets through.
///
/// The kernel takes the outermost VLAN tag off a frame before a sniffer sees it, so look for marks
/// in the payload rather than for bytes at fixed places.
pub struct Sniffer {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    frames: Vec<Vec<u8>>,
}

impl Sniffer {
    /// Starts watching an interface, or all interfaces, of a namespace. From when this returns, no
    /// frame is missed.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn start(
        namespace: &Namespace,
        interface: Option<&str>,
        filter: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Self, LabError> {
        let what = format!("watch {} in {}", interface.unwrap_or("all"), namespace.name());
        let interface = interface.map(str::to_owned);
        let socket = namespace
            .enter(move || {
                let socket = packet_socket(interface.as_deref())?;
                ignore_outgoing(&socket)?;
                // Room for a burst on a machine that is busy elsewhere.
                socket.set_recv_buffer_size(8 << 20)?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                Ok(socket)
            })
            .context(|| what.clone())?;
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let thread = thread::Builder::new()
            .name("lab-sniffer".to_owned())
            .spawn({
                let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
                move || watch(&socket, &seen, &stop, filter)
            })
            .context(|| what)?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// Starts watching for frames that carry a mark.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn for_marker(
        namespace: &Namespace,
        interface: Option<&str>,
        marker: [u8; 16],
    ) -> Result<Self, LabError> {
        Self::start(namespace, interface, move |frame| {
            frame.windows(marker.len()).any(|window| window == marker)
        })
    }

    /// Number of frames so far.
    pub fn count(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The frames so far, the first 10,000.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).frames.clone()
    }

    /// Waits until at least `count` frames have come.
    ///
    /// # Errors
    /// They do not within `limit`.
    pub async fn wait_for(&self, count: u64, limit: Duration) -> Result<(), LabError> {
        wait::holds(&format!("{count} frames come"), limit, || async {
            let seen = self.count();
            if seen >= count { Ok(()) } else { Err(format!("{seen} came")) }
        })
        .await
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn watch(socket: &Socket, seen: &Mutex<Seen>, stop: &AtomicBool, filter: impl Fn(&[u8]) -> bool) {
    let mut buffer = [MaybeUninit::uninit(); 65_536];
    while !stop.load(Ordering::Relaxed) {
        // A time-out comes here too, and so does an interface that is gone.
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        // SAFETY: recv has filled this many bytes.
        let frame = unsafe { &*(&raw const buffer[..length] as *const [u8]) };
        if filter(frame) {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.count += 1;
            if seen.frames.len() < KEPT {
                seen.frames.push(frame.to_vec());
            }
        }
    }
}

/// Hides the frames that the namespace itself sends.
fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let one: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&one)).unwrap_or_default();
    // SAFETY: the option's value is an int, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const one).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
