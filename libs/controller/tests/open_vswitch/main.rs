//! The engine with real switches. Needs root, and Open vSwitch 3.1 or later.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod labels;
mod liveness;
#[path = "../../../southbound/tests/open_vswitch/process.rs"]
mod process;
mod reading;
mod relay;
mod steps;
mod support;
