//! The slice-manager as a process, with a real Postgres, and services downstream that only remember
//! what they are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod deletion;
mod fabric;
mod fake;
mod idempotency;
mod kubernetes;
mod links;
mod lists;
mod living;
mod managed;
mod manager;
mod postgres;
mod races;
mod reconciling;
mod recovery;
mod refusals;
mod replicas;
mod samples;
mod sco;
mod watches;
mod world;
