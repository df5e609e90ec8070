//! The codec against bytes of other makes, against Wireshark's dissector, and against itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bad;
mod golden;
mod round_trip;
mod samples;
mod wireshark;
