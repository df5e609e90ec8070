use std::collections::BTreeSet;

use l2sces_fabric::{EndpointSpec, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use tokio::sync::oneshot;

use crate::LinkState;

/// What an engine is asked.
#[derive(Debug)]
pub(crate) enum Command {
    PutSwitch(SwitchSpec),
    RemoveSwitch(DatapathId),
    PutSlice(SliceSpec),
    RemoveSlice(Name),
    PutNetwork(NetworkSpec),
    RemoveNetwork(Vni),
    PutPort(PortSpec),
    RemovePort(PortId),
    PutEndpoint(EndpointSpec),
    RemoveEndpoint(Vni, MacAddress),
    PutLearned(PortId, BTreeSet<MacAddress>),
    SetComplete,
    Links(oneshot::Sender<Vec<LinkState>>),
}
