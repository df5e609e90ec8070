//! Offloads of network interfaces (`ethtool`, by `ioctl`).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::{errno::Errno, libc};

/// From `linux/ethtool.h`: get and set whether the interface computes checksums of what is sent.
const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

nix::ioctl_readwrite_bad!(
    /// `SIOCETHTOOL`.
    siocethtool,
    libc::SIOCETHTOOL,
    libc::ifreq
);

/// Turns checksum offload (and with it segmentation offload) of sent frames off.
pub(super) fn disable_transmit_checksum(socket: &OwnedFd, interface: &str) -> Result<(), Errno> {
    if ethtool(socket.as_fd(), interface, ETHTOOL_GTXCSUM, 0)? == 0 {
        return Ok(());
    }
    ethtool(socket.as_fd(), interface, ETHTOOL_STXCSUM, 0).map(drop)
}

fn ethtool(socket: BorrowedFd<'_>, interface: &str, command: u32, data: u32) -> Result<u32, Errno> {
    let mut value = EthtoolValue { command, data };
    let mut name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (slot, byte) in name.iter_mut().zip(interface.bytes()) {
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() },
    };
    // SAFETY: for these two commands the kernel reads the name, which ends with a zero byte, and
    // reads and writes one `ethtool_value` at `ifru_data`, which outlives the call.
    unsafe { siocethtool(socket.as_raw_fd(), &raw mut request) }?;
    Ok(value.data)
}
