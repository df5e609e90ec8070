//! The admission webhook of pods that are to be attached (label `l2sm=true`): refuses what cannot be,
//! and adds what a pod needs to come where it can be attached. No side effects: nothing is written
//! before the pod is there.
//!
//! - `server`: HTTPS, as the API server calls it.
//! - `review`: what is to become of a pod.
//! - `configuration`: lets the API server trust the server.

mod configuration;
mod review;
mod server;

pub(crate) use configuration::trust;
pub(crate) use server::{Webhook, serve};
