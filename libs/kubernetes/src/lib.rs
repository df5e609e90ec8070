//! What operators of custom resources share: a client of the API server, one replica leads, caches
//! follow, finalizers hold resources, and statuses tell what became of them.

mod addresses;
mod cache;
mod client;
pub mod conditions;
mod failure;
pub mod finalizer;
mod leader;
mod measurement;
mod problem;
mod provider;
mod publisher;
mod resource;

pub use addresses::parse_network;
pub use cache::keep;
pub use client::{connect, watch_config};
pub use failure::{Failure, Trouble};
pub use leader::Candidate;
pub use measurement::{ignored_of_monitor, measurement_policy};
pub use problem::Problem;
pub use provider::check_provider;
pub use publisher::Publisher;
pub use resource::{Namespaced, NetworkKey, Reference, by_age, held_by_age, is_active};
