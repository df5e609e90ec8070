//! Kubernetes clusters: what they need of us, and how they are given it.

mod apply;
mod certificates;
mod configuration;
mod connection;
mod departure;
mod inventory;
mod joined;
mod manifests;
mod nodes;
mod object;
mod readiness;
pub(crate) mod removal;
mod residue;

pub(crate) use apply::{Done, apply};
pub(crate) use configuration::{configuration, digest};
pub(crate) use connection::{connect, explained};
pub(crate) use departure::{Departure, departure};
pub(crate) use inventory::{Inventory, is_settings, is_shared};
pub(crate) use joined::{Joined, joined};
pub(crate) use manifests::{
    SLICE_MANAGER_ACCOUNT, custom_resources, set_configuration, set_database_secret,
    slice_manager_access, workloads,
};
pub(crate) use nodes::{as_known, named, nodes};
pub(crate) use object::{NAMESPACE, api, kind, kinds_to_remove, shown, sort};
pub(crate) use readiness::{token, until_nothing, until_ready};
pub(crate) use residue::{Findings, Residue, in_cluster};
