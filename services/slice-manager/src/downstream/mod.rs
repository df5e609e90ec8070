//! The services that carry out what is desired: the sco-provider, and the sdn-controller of each
//! cluster. Of each, this replica knows by a watch how its objects fare.

mod fabric;
mod object;
mod observed;
mod remote;
mod remotes;
mod sco;
mod trouble;
mod watch;

pub use fabric::{FabricBody, FabricClient};
pub use object::{Given, ObjectKey, ObjectState, Target, Version};
pub use remote::{Applied, Remote, Service, StateChange, StateStream};
pub use remotes::Remotes;
pub use sco::{ScoBody, ScoClient};
pub use trouble::Trouble;
pub(crate) use trouble::reason;
