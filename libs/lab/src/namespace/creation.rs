//! Making a named network namespace, as ip-netns(8) does.

use std::{
    fs, io, mem,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    thread,
};

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use socket2::{Domain, Socket, Type};

/// Makes a namespace with the loopback interface up, and gives it a name in `directory`.
pub(super) fn create(directory: &Path, name: &str) -> io::Result<()> {
    share(directory)?;
    let path = directory.join(name);
    fs::OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path)?;
    let thread = thread::Builder::new().name("lab-namespace".to_owned()).spawn({
        let path = path.clone();
        move || -> io::Result<()> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            bring_loopback_up()?;
            bind(Path::new("/proc/thread-self/ns/net"), &path)?;
            Ok(())
        }
    })?;
    let made =
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a namespace panicked")));
    made.inspect_err(|_| drop(fs::remove_file(&path)))
}

/// Makes the directory of the names, and a mount of it that all mount namespaces share: a name
/// removed in one is then removed in all, and its namespace not kept alive by the others.
fn share(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let nothing: Option<&Path> = None;
    let make_shared =
        || mount(nothing, directory, nothing, MsFlags::MS_SHARED | MsFlags::MS_REC, nothing);
    match make_shared() {
        // It is no mount point yet.
        Err(Errno::EINVAL) => {
            bind(directory, directory)?;
            make_shared()?;
        }
        shared => shared?,
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> nix::Result<()> {
    let nothing: Option<&Path> = None;
    mount(Some(from), to, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)
}

/// Brings up the loopback interface of the namespace that the calling thread is in.
fn bring_loopback_up() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: an ifreq is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: the request is an ifreq with name and flags, and lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
