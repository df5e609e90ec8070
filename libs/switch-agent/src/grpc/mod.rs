//! `l2sces.switch.v1.SwitchService`: the API ↔ the agent.

mod parse;
mod service;
mod status;

pub use service::SwitchApi;
