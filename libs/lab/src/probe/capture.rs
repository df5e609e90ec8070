use std::{
    io,
    mem::MaybeUninit,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
};

/// Room for what comes while the machine is busy elsewhere, in bytes of the kernel's memory.
const ROOM: libc::c_int = 32 << 20;

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
                let socket = packet_socket(interface.as_deref())?;
                // Hides the frames that the namespace itself sends.
                set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
                set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM)?;
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
        let since = dropped(&self.socket);
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

fn set_option(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the option's value is an int, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Frames that found no room since this was asked last (packet(7), `PACKET_STATISTICS`).
fn dropped(socket: &Socket) -> u64 {
    // SAFETY: the statistics are plain data, for which zeros are valid.
    let mut statistics: libc::tpacket_stats = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&statistics)).unwrap_or_default();
    // SAFETY: statistics and length live until the call returns, and the length is that of the
    // statistics.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { statistics.tp_drops.into() } else { 0 }
}
