//! What is wanted: the input of the compiler.

use std::{collections::BTreeSet, fmt, sync::Arc};

use l2sces_model::{DatapathId, Epoch, InterfaceName, MacAddress, Name, Vni};

/// A switch under control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchSpec {
    /// Its datapath id.
    pub id: DatapathId,
    /// Names it in group numbers: from 1, unique among the switches, the same for life.
    pub ordinal: u16,
    /// Its name, for messages.
    pub name: String,
    /// The cluster of the node that it is on.
    pub cluster: Name,
    /// The node that it is on, by whose agent's certificate it is known.
    pub node: Name,
}

/// A slice: the switches and links that its networks may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceSpec {
    /// Its name.
    pub name: Name,
    /// Names it in group numbers: from 1 to 32,767, unique among the slices, the same for life.
    pub ordinal: u16,
    /// Its switches.
    pub switches: Vec<DatapathId>,
    /// Its links, each listed once.
    pub links: Vec<LinkSpec>,
    /// Switches that carry frames of others only where there is no other way.
    pub avoid_transit: BTreeSet<DatapathId>,
    /// Whether the agents on the nodes measure its links, by probes that go over each link alone.
    pub is_measured: bool,
}

/// An undirected link between two switches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkSpec {
    /// One end.
    pub a: LinkEnd,
    /// The other end.
    pub b: LinkEnd,
    /// What it costs to use it; paths of the least total cost are taken.
    pub cost: u32,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkEnd {
    /// The switch.
    pub switch: DatapathId,
    /// Its tunnel interface.
    pub interface: InterfaceName,
}

/// An isolated layer-2 segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its identifier.
    pub vni: Vni,
    /// The slice whose links it may use.
    pub slice: Name,
}

/// Names a port; unique among all ports, whatever their network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(Arc<str>);

impl PortId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PortId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for PortId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a network meets a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Names it.
    pub id: PortId,
    /// The network.
    pub vni: Vni,
    /// The switch.
    pub switch: DatapathId,
    /// The interface on the switch.
    pub interface: InterfaceName,
    /// What is behind it.
    pub role: PortRole,
}

/// What is behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRole {
    /// One endpoint of the network, and those behind it that may be learned.
    Access {
        /// Its MAC address: no other source is let in that has not been learned.
        mac: MacAddress,
        /// How many other addresses may be learned from what it sends. With 0, frames with another
        /// source are dropped.
        max_learned: u16,
    },
    /// The node's other switch. Many networks share the interface; the packet mark tells them
    /// apart.
    Trunk {
        /// Which part of the network the switch belongs to. Frames are handed from switch to switch
        /// within a segment only: segments are joined elsewhere, beyond the trunks, and access
        /// ports are in segment 0.
        segment: u16,
        /// The plan that the trunk belongs to: it takes frames of that epoch only. A network may
        /// have trunks of several epochs, also on one switch.
        epoch: Epoch,
        /// Whether frames that have crossed no trunk yet set out by the plan, and get its epoch. If
        /// trunks of several epochs say so, the highest is taken; if none does, they do not set out.
        is_current: bool,
        /// The regions whose endpoints are reached through the trunk, seen from this segment.
        regions: BTreeSet<Name>,
    },
}

/// After how long without a frame a learned address is forgotten, in seconds; 0: never. 300 if
/// nothing is said (IEEE 802.1Q, section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeingTime(pub u16);

impl Default for AgeingTime {
    fn default() -> Self {
        Self(300)
    }
}

/// An endpoint behind a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The network.
    pub vni: Vni,
    /// The endpoint's MAC address.
    pub mac: MacAddress,
    /// Where it is: it is reached through the trunk of the network that leads there, as long as
    /// there is one.
    pub region: Name,
    /// Whether it was learned there, and not announced by who knows.
    pub is_learned: bool,
}
