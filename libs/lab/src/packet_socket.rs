//! Packet sockets (packet(7)): frames as they pass an interface.

use std::{io, os::fd::AsRawFd};

use nix::libc;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Room for what comes while the machine is busy elsewhere, in bytes of the kernel's memory.
const ROOM: libc::c_int = 32 << 20;

/// A packet socket (packet(7)) for all frames of an interface, or of all interfaces, of the
/// namespace that the calling thread is in.
pub(crate) fn open(interface: Option<&str>) -> io::Result<Socket> {
    let index = match interface {
        Some(name) => nix::net::if_::if_nametoindex(name)?,
        None => 0,
    };
    // The kernel takes the protocol in network byte order.
    let protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
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
pub(crate) fn open_for_reception(interface: Option<&str>) -> io::Result<Socket> {
    let socket = open(interface)?;
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM)?;
    Ok(socket)
}

pub(crate) fn set_option(
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
pub(crate) fn overlooked(socket: &Socket) -> u64 {
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
