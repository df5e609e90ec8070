//! What keeps a port from having flows.

use std::fmt;

use crate::{Fabric, PortId};

/// Why a port has no flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no such port.
    NoPort,
    /// Its network is not known.
    NoNetwork,
    /// Its network's slice is not known.
    NoSlice,
    /// Its switch is not known, or not part of the slice.
    NotInSlice,
    /// The switch has no such interface.
    NoInterface,
    /// Another port has the interface.
    InterfaceTaken,
    /// Another port of the network has the same MAC address.
    AddressTaken,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no such port",
            Self::NoNetwork => "its network is not known",
            Self::NoSlice => "its network's slice is not known",
            Self::NotInSlice => "its node is not part of the slice",
            Self::NoInterface => "the switch has no such interface yet",
            Self::InterfaceTaken => "another port has the interface",
            Self::AddressTaken => "another port of the network has the same MAC address",
        })
    }
}

impl Fabric {
    /// Why a port has no flows; `None`: it has.
    pub fn problem(&self, id: &PortId) -> Option<Problem> {
        let Some(port) = self.ports.get(id) else { return Some(Problem::NoPort) };
        let Some(network) = self.networks.get(&port.vni) else { return Some(Problem::NoNetwork) };
        let Some(spec) = &network.spec else { return Some(Problem::NoNetwork) };
        let Some(slice) = self.slices.get(&spec.slice) else { return Some(Problem::NoSlice) };
        if self.switch_name(port.switch).is_none() || !slice.members.contains(&port.switch) {
            return Some(Problem::NotInSlice);
        }
        if self.interface(port.switch, &port.interface).is_none() {
            return Some(Problem::NoInterface);
        }
        if !self.owns_interface(port) {
            return Some(Problem::InterfaceTaken);
        }
        (!self.owns_address(port)).then_some(Problem::AddressTaken)
    }
}
