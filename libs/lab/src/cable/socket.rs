//! One end of a cable: an interface that takes and gives frames.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use l2sces_model::MacAddress;
use socket2::Socket;

use super::CableEnd;
use crate::{namespace::Namespace, packet_socket};

/// What comes in at an interface, and a way out of it.
#[derive(Debug)]
pub(super) struct EndSocket {
    socket: Socket,
    /// Space for the kernel's time stamp.
    control: Vec<u8>,
}

impl EndSocket {
    pub(super) fn open(namespace: &Namespace, end: &CableEnd) -> io::Result<Self> {
        let interface = end.interface.clone();
        let socket = namespace.enter(move || {
            let socket = packet_socket::open_for_reception(Some(&interface))?;
            packet_socket::for_timing(&socket).map(|()| socket)
        })?;
        Ok(Self { socket, control: packet_socket::control_space() })
    }

    /// A second handle, to send through.
    pub(super) fn sender(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// Reads a frame and how long ago it came: the kernel knows, and the time that this thread took
    /// to wake up does not add to the delay.
    pub(super) fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> io::Result<(&'b mut [u8], Duration)> {
        let (length, age) = packet_socket::receive(&self.socket, &mut self.control, buffer)?;
        Ok((&mut buffer[..length], age))
    }

    /// Frames that came and were not read, because the machine was too busy, since this was asked
    /// last.
    pub(super) fn overlooked(socket: &Socket) -> u64 {
        packet_socket::overlooked(socket)
    }
}

impl AsFd for EndSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a frame is for a station, or for all.
pub(super) fn is_for(frame: &[u8], station: MacAddress) -> bool {
    frame.get(..6).is_some_and(|to| to[0] & 1 == 1 || *to == station.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_for_the_station_and_for_groups_are_taken() {
        let station = MacAddress::new([2, 0, 0, 0, 0, 7]);
        assert!(is_for(&[2, 0, 0, 0, 0, 7, 1, 1], station));
        assert!(is_for(&[0xff; 14], station));
        assert!(!is_for(&[2, 0, 0, 0, 0, 8, 1, 1], station));
        assert!(!is_for(&[1], station));
    }
}
