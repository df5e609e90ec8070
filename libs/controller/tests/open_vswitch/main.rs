//! The engine with real switches. Needs root, and Open vSwitch 3.1 or later.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "the walk uses more of it")]
#[path = "../../../fabric/tests/walk/clusters.rs"]
mod clusters;
mod holder;
mod labels;
mod learning;
mod liveness;
mod nodes;
#[path = "../../../southbound/tests/open_vswitch/process.rs"]
mod process;
mod reading;
mod relay;
#[expect(dead_code, reason = "the walk uses more of it")]
#[path = "../../../fabric/tests/walk/scenario.rs"]
mod scenario;
#[expect(dead_code, reason = "the walk uses more of it")]
#[path = "../../../fabric/tests/walk/simulator.rs"]
mod simulator;
mod steps;
mod support;
mod taken_back;
mod trace;
