//! Stories of the whole system, told with real parts: a lab of two clusters with two nodes each,
//! driven through the API as an orchestrator would.

mod members;
mod world;

pub use members::{Member, members_of};
pub use world::{LIMIT, World, port_of};
