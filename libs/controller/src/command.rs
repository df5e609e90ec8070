use std::collections::BTreeSet;

use l2sces_fabric::{EndpointSpec, NetworkSpec, PortId, PortSpec, SliceSpec, SwitchSpec};
use l2sces_model::{DatapathId, MacAddress, Name, Vni};
use l2sces_trace::Caused;
use tokio::sync::oneshot;

use crate::LinkState;

/// What an engine is asked, and by whom.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Caused<Command>,
    /// To be told when it is carried out.
    pub(crate) done: oneshot::Sender<()>,
}

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
