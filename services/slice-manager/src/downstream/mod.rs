//! The services that carry out what is desired: the sco-provider, and the sdn-controller, or the API
//! server, of each cluster. Of each, this replica knows by a watch how its objects fare.

mod cluster;
mod fabric;
mod kubernetes;
mod object;
mod observed;
mod remote;
mod remotes;
mod sco;
mod trouble;
mod watch;

pub use cluster::{ClusterBody, ClusterClient, GatewayPlace, SlicePart};
pub use fabric::FabricClient;
pub use kubernetes::KubernetesClient;
pub(crate) use kubernetes::authorities;
pub use object::{Given, ObjectKey, ObjectState, Target, Version};
pub use remote::{Applied, Remote, Service, StateChange, StateStream};
pub use remotes::Remotes;
pub use sco::{ScoBody, ScoClient};
pub use trouble::Trouble;
pub(crate) use trouble::reason;
