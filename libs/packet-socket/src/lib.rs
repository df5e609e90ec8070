//! Packet sockets (packet(7)): frames as they pass an interface, and when they did.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
    time::{Duration, SystemTime},
};

use nix::{
    libc,
    sys::socket::{ControlMessageOwned, MsgFlags, recvmsg},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Room for what comes while the machine is busy elsewhere, in bytes of the kernel's memory.
const ROOM: libc::c_int = 32 << 20;

/// A packet socket (packet(7)) for all frames of an interface, or of all interfaces, of the
/// namespace that the calling thread is in.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn open(interface: Option<&str>) -> io::Result<Socket> {
    open_of(interface, u16::try_from(libc::ETH_P_ALL).unwrap_or_default())
}

/// The same, for frames of one EtherType; what is sent out of the interfaces is not seen then.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn open_of(interface: Option<&str>, ethertype: u16) -> io::Result<Socket> {
    let index = match interface {
        Some(name) => nix::net::if_::if_nametoindex(name)?,
        None => 0,
    };
    // The kernel takes the protocol in network byte order.
    let protocol = ethertype.to_be();
    // Without a protocol nothing is received before the socket is bound to the interface.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    // SAFETY: a sockaddr_ll fits into the storage, which is zeroed; its length is returned.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = storage.cast::<libc::sockaddr_ll>();
            (*address).sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
            (*address).sll_protocol = protocol;
            (*address).sll_ifindex = i32::try_from(index).unwrap_or_default();
            *length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
            Ok(())
        })
    }?;
    socket.bind(&address)?;
    Ok(socket)
}

/// A packet socket that does not see what is sent out of the interfaces, and with much room.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn open_for_reception(interface: Option<&str>) -> io::Result<Socket> {
    let socket = open(interface)?;
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM)?;
    Ok(socket)
}

/// Has the kernel note when frames come, for [`receive`]; and gives what is sent to the interface's
/// driver at once: the queue of an interface that has just come up drops what it is given, for up to a
/// second, and says that it has sent it.
///
/// # Errors
/// The kernel refuses.
pub fn for_timing(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
    socket.set_nonblocking(true)
}

/// Reads a frame into a buffer: its length, and how long ago it came. The kernel knows, so that the
/// time that this thread took to wake up does not count. `control` is [`control_space`].
///
/// # Errors
/// There is none now (`WouldBlock`), or the interface is gone or down.
pub fn receive(
    socket: &Socket,
    control: &mut [u8],
    buffer: &mut [u8],
) -> io::Result<(usize, Duration)> {
    let mut age = Duration::ZERO;
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(control), MsgFlags::MSG_DONTWAIT)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmTimestampns(stamp) = control {
            let came = SystemTime::UNIX_EPOCH + Duration::from(stamp);
            age = SystemTime::now().duration_since(came).unwrap_or_default();
        }
    }
    Ok((message.bytes, age))
}

/// Room for what the kernel tells of a frame.
pub fn control_space() -> Vec<u8> {
    nix::cmsg_space!(libc::timespec)
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
pub fn overlooked(socket: &Socket) -> u64 {
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
