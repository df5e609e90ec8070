use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use tokio::{runtime::Handle, sync::oneshot};

use super::{Links, NetlinkError, offload};
use crate::AgentError;

/// A network namespace, by sockets that were opened inside it: a socket stays in the namespace of
/// its birth, so everything but opening them can be done from any thread.
pub(crate) struct Namespace {
    file: File,
    /// The interfaces inside.
    pub(crate) links: Links,
    /// Any socket, for `ioctl`.
    control: OwnedFd,
}

impl Namespace {
    /// Opens a namespace by its path.
    ///
    /// # Errors
    /// There is none, or it is the agent's own.
    pub(crate) async fn open(path: &Path) -> Result<Self, AgentError> {
        Self::open_and(path, || Ok(())).await
    }

    /// Opens a namespace, and has something done by a thread that is in it.
    ///
    /// # Errors
    /// There is none, or it is the agent's own, or what is done fails.
    pub(super) async fn open_and(
        path: &Path,
        inside: impl FnOnce() -> Result<(), NetlinkError> + Send + 'static,
    ) -> Result<Self, AgentError> {
        let (sender, opened) = oneshot::channel();
        let runtime = Handle::current();
        let entered = path.to_owned();
        // A thread of its own that ends right after: one that has changed its namespace must never
        // serve anything else.
        std::thread::Builder::new()
            .name("namespace".to_owned())
            .spawn(move || {
                // The caller may have gone.
                let _ = sender.send(Self::enter(&entered, &runtime).and_then(|namespace| {
                    inside()?;
                    Ok(namespace)
                }));
            })
            .map_err(|error| NetlinkError::new("start a thread", error))?;
        opened.await.unwrap_or_else(|_| {
            let error = io::Error::other("the thread ended");
            Err(NetlinkError::new(format!("enter {}", path.display()), error).into())
        })
    }

    /// Moves the calling thread into the namespace.
    fn enter(path: &Path, runtime: &Handle) -> Result<Self, AgentError> {
        let failed = |error| NetlinkError::new(format!("enter {}", path.display()), error);
        // Without blocking, lest a named pipe at the path hold the thread for ever.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(AgentError::NoNamespace(path.to_owned()));
            }
            Err(error) => return Err(failed(error).into()),
        };
        if is_own(&file).map_err(failed)? {
            return Err(AgentError::OwnNamespace(path.to_owned()));
        }
        match setns(&file, CloneFlags::CLONE_NEWNET) {
            Ok(()) => {}
            // What is left of a namespace of `ip netns` after it was unmounted is an empty file.
            Err(Errno::EINVAL) => return Err(AgentError::NotANamespace(path.to_owned())),
            Err(errno) => return Err(failed(errno.into()).into()),
        }
        let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|errno| failed(errno.into()))?;
        let _runtime = runtime.enter();
        let links = Links::open()?;
        Ok(Self { file, links, control })
    }

    /// The namespace itself, for handing it to the kernel.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Has the sender of the frames on this interface compute their checksums. Without a real
    /// network card nobody else would, when frames are forwarded by the userspace datapath: pings
    /// would pass and TCP would not.
    pub(crate) fn checksum_in_software(&self, interface: &str) -> Result<(), NetlinkError> {
        offload::disable_transmit_checksum(&self.control, interface).map_err(|errno| {
            NetlinkError::new(format!("disable checksum offload of {interface}"), errno.into())
        })
    }
}

/// Whether the calling thread is in this namespace.
fn is_own(file: &File) -> io::Result<bool> {
    let (own, other) = (std::fs::metadata("/proc/thread-self/ns/net")?, file.metadata()?);
    Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
}
