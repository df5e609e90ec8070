//! Stories of the whole system, told with real parts: labs, driven through the API as an
//! orchestrator would.

pub mod alone;
pub mod certified;
pub mod container_runtime;
pub mod dashboards;
pub mod kubernetes;
mod members;
pub mod membership;
mod networks;
pub mod plugin;
pub mod prometheus;
pub mod topology;
mod traffic;
mod world;

pub use members::{Member, members_of, members_on};
pub use networks::{NetworkKey, port_of};
pub use traffic::{Carried, Figures, Traffic};
pub use world::{LIMIT, Labels, World, described, named, patient, psql};
