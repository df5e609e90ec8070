//! The sco-provider over a real Postgres, with stand-ins for switches, agents and DNS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod api;
mod certification;
mod crash;
mod identity;
mod learned;
mod measurements;
mod members;
mod objects;
mod plans;
mod succession;
mod support;
mod workers;
