//! How the agent marks what it makes: keys of `external_ids` on rows, and a group on network
//! interfaces, where a mark must exist from the first moment.

use l2sces_ovsdb::{Row, Value};

use crate::AgentKind;

/// Which agent made it: `sps` or `ned`.
pub(crate) const AGENT: &str = "l2sces-agent";
/// What it is: see [`Object`].
pub(crate) const OBJECT: &str = "l2sces-object";
/// Of a port: who it is for, `<slice>/<network>/<port>`.
pub(crate) const OWNER: &str = "l2sces-owner";
/// Of a port: `namespace` (the agent made a virtual Ethernet pair) or `interface`.
pub(crate) const ATTACHMENT: &str = "l2sces-attachment";
/// Of a port: the addresses that the agent has set in the namespace, separated by blanks.
pub(crate) const ADDRESSES: &str = "l2sces-addresses";
/// Of a port: the number of the network interface that was added to the bridge. When an interface
/// of the same name has another number, it was made again and Open vSwitch still holds the old one.
pub(crate) const IFINDEX: &str = "l2sces-ifindex";

/// What a marked row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Bridge,
    Controller,
    Link,
    Trunk,
    Listener,
    Port,
    Certificate,
}

impl Object {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Controller => "controller",
            Self::Link => "link",
            Self::Trunk => "trunk",
            Self::Listener => "listener",
            Self::Port => "port",
            Self::Certificate => "certificate",
        }
    }
}

/// The marks that every row of an agent has.
pub(crate) fn marks(kind: AgentKind, object: Object) -> Value {
    Value::map([(AGENT, kind.as_str()), (OBJECT, object.as_str())])
}

/// Whether an agent of this kind made the row, as this object.
pub(crate) fn is_marked(row: &Row, kind: AgentKind, object: Object) -> bool {
    row.map_string("external_ids", AGENT) == Some(kind.as_str())
        && row.map_string("external_ids", OBJECT) == Some(object.as_str())
}

/// Whether any agent made the row.
pub(crate) fn is_any_agents(row: &Row) -> bool {
    row.map_string("external_ids", AGENT).is_some()
}

/// The group of the network interfaces that an agent of this kind makes. The kernel sets it when
/// it makes the interface, so an agent killed right after that finds it as its own.
pub(crate) const fn link_group(kind: AgentKind) -> u32 {
    match kind {
        AgentKind::Sps => 0x6c32_0001,
        AgentKind::Ned => 0x6c32_0002,
    }
}
