//! What is known of a switch.

use std::collections::BTreeMap;

use l2sces_model::{DatapathId, InterfaceName};

use crate::SwitchSpec;

#[derive(Debug, Default)]
pub(crate) struct Switch {
    pub(crate) spec: Option<SwitchSpec>,
    /// OpenFlow port numbers, as the switch reports them.
    pub(crate) interfaces: BTreeMap<InterfaceName, u32>,
    /// Whether the switch has reported its ports since the fabric exists. Until then nothing is
    /// known of them, and everything wanted is taken to be there: after a restart of the
    /// controller, a switch that connects a moment later than another must not look like one that
    /// has lost its tunnels and ports.
    pub(crate) has_reported: bool,
    /// Whether it can be changed now. Changes are noted for such switches only: another is read as
    /// a whole when it comes back.
    pub(crate) connected: bool,
}

impl Switch {
    /// Where one of its interfaces is: at a port, or at one that is not known yet because the switch
    /// has not reported its ports. `None`: nowhere.
    pub(crate) fn place(&self, interface: &InterfaceName) -> Option<Option<u32>> {
        self.spec.as_ref()?;
        let port = self.interfaces.get(interface).copied();
        (port.is_some() || !self.has_reported).then_some(port)
    }
}

/// Whether a switch can be changed now.
pub(crate) fn is_connected(switches: &BTreeMap<DatapathId, Switch>, id: DatapathId) -> bool {
    switches.get(&id).is_some_and(|switch| switch.connected)
}
