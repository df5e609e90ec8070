//! Room for frames while the machine is busy.

use std::fs;

/// What a socket may hold that does not ask for another size, in bytes of the kernel's memory. All
/// namespaces have it from the first one.
const DEFAULT: &str = "/proc/sys/net/core/rmem_default";

/// As much as a switch is sent in a few seconds of a test.
const ROOM: u32 = 8 << 20;

/// Puts back what there was when it is dropped.
pub(super) struct Room {
    before: String,
}

/// Gives the sockets of the switches to come room for what they are sent while they wait for a processor:
/// Open vSwitch's userspace datapath takes the default, which is a third of a second of the tests' frames,
/// and then it loses some. Nothing where that cannot be set, or is more already.
pub(super) fn make() -> Option<Room> {
    let before = fs::read_to_string(DEFAULT).ok()?;
    let is_less = before.trim().parse::<u32>().is_ok_and(|bytes| bytes < ROOM);
    (is_less && fs::write(DEFAULT, ROOM.to_string()).is_ok()).then_some(Room { before })
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::write(DEFAULT, &self.before) {
            tracing::warn!(%error, "{DEFAULT} cannot be set back to {}", self.before.trim());
        }
    }
}
