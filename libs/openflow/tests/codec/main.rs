//! The codec against bytes of other makes, against Wireshark's dissector, and against itself.

mod bad;
mod golden;
mod round_trip;
mod samples;
mod wireshark;
