//! In which traces switches are changed: in those of whoever asked for it.

use std::collections::HashMap;

use l2sces_model::{DatapathId, InterfaceName};
use l2sces_openflow::Change;
use l2sces_trace::{Causes, TraceContext};
use tracing::{Span, field::Empty, info_span};

/// Why something is going to be compiled.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// What has been asked for since the last compilation.
    asked: Causes,
    /// Who has asked for ports whose interfaces the switches do not have yet.
    awaiting: HashMap<(DatapathId, InterfaceName), TraceContext>,
}

impl Traces {
    /// Somebody asks for something.
    pub(crate) fn note(&mut self, cause: Option<TraceContext>) {
        self.asked.add(cause);
    }

    /// A port is asked for whose interface is not there: when it appears, that is why.
    pub(crate) fn await_interface(
        &mut self,
        switch: DatapathId,
        interface: InterfaceName,
        cause: Option<TraceContext>,
    ) {
        if let Some(cause) = cause {
            self.awaiting.insert((switch, interface), cause);
        }
    }

    /// A switch tells of an interface.
    pub(crate) fn interface_appeared(&mut self, switch: DatapathId, interface: &InterfaceName) {
        if !self.awaiting.is_empty() {
            self.asked.add(self.awaiting.remove(&(switch, interface.clone())));
        }
    }

    /// Nobody asks for a port with this interface any more.
    pub(crate) fn forget_interface(&mut self, switch: DatapathId, interface: &InterfaceName) {
        self.awaiting.remove(&(switch, interface.clone()));
    }

    /// Everything that has been asked for is compiled now.
    pub(crate) fn take(&mut self) -> Causes {
        std::mem::take(&mut self.asked)
    }
}

/// A count as an attribute, which is a signed number or else a text.
pub(crate) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The span of a compilation.
pub(crate) fn compilation(causes: &Causes) -> Span {
    let span = info_span!(
        parent: None,
        "compile flows",
        l2sces.steps = Empty,
        l2sces.switches = Empty
    );
    causes.set_on(&span);
    span
}

/// The span in which a switch makes changes, from when they are handed out until it answers the
/// barrier after the last of them.
pub(crate) fn installation(
    cause: Option<TraceContext>,
    switch: DatapathId,
    name: Option<&str>,
    changes: &[Change],
) -> Span {
    let is_flow = |change: &&Change| matches!(change, Change::AddFlow(_) | Change::DeleteFlow(_));
    let is_group = |change: &&Change| {
        matches!(change, Change::PutGroup(_) | Change::ModifyGroup(_) | Change::DeleteGroup(_))
    };
    let span = info_span!(
        parent: None,
        "install flows",
        otel.kind = "client",
        network.protocol.name = "openflow",
        l2sces.switch.id = %switch,
        l2sces.switch.name = name,
        openflow.flow_mods = number(changes.iter().filter(is_flow).count()),
        openflow.group_mods = number(changes.iter().filter(is_group).count()),
        otel.status_code = Empty,
    );
    TraceContext::set_parent(cause, &span);
    span
}
