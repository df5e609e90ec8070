//! The southbound library against a real Open vSwitch. Needs root, and Open vSwitch 3.1 or later.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod measure;
mod monitor;
mod process;
mod read_back;
mod sessions;
mod support;
mod tls;
mod tunnel;
