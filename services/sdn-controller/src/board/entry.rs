//! What is known of an object, and what follows from that. Pure.

use std::collections::BTreeSet;

use l2sces_model::{MacAddress, Name};
use l2sces_proto::{sco::v1::Endpoint, switch::v1::Port as AgentPort};

use crate::domain::{
    Addresses, Assignment, Condition, Key, Network, NetworkKey, Node, ObjectState, Port, PortKey,
    Reason, Slice, Trouble, Version,
};

/// What is known of one thing that shall be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Fact<T> {
    /// Nothing.
    #[default]
    Unknown,
    /// It is not, and why.
    Failed(Trouble),
    /// It is, in this form.
    Done(T),
}

#[derive(Clone, Debug, Default)]
pub(super) enum SwitchFact {
    #[default]
    Unknown,
    Ready,
    /// Why it is not.
    Down(String),
}

fn pending(message: impl Into<String>) -> Condition {
    Err(Trouble::new(Reason::Pending, message))
}

fn deleting<T>(fact: &Fact<T>) -> Condition {
    let message = match fact {
        Fact::Failed(trouble) => format!("being deleted: {}", trouble.message),
        Fact::Unknown | Fact::Done(_) => "being deleted".to_owned(),
    };
    Err(Trouble::new(Reason::Deleting, message))
}

/// What is known of a node.
#[derive(Default)]
pub(super) struct NodeEntry {
    version: Option<Version>,
    deleting: bool,
    /// Whether the agent has made the bridge.
    pub(super) agent: Fact<()>,
    pub(super) switch: SwitchFact,
}

impl NodeEntry {
    pub(super) fn put(&mut self, node: &Node) {
        self.version = Some(node.spec.version.clone());
        self.deleting = node.deleting;
    }

    pub(super) fn is_going(&self) -> bool {
        self.deleting
    }

    pub(super) fn state(&self, name: &Name) -> Option<ObjectState> {
        Some(ObjectState {
            key: Key::Node(name.clone()),
            version: self.version.clone()?,
            condition: self.condition(name),
            assignment: None,
        })
    }

    fn condition(&self, name: &Name) -> Condition {
        if self.deleting {
            return deleting(&self.agent);
        }
        match &self.agent {
            Fact::Failed(trouble) => Err(trouble.clone()),
            Fact::Unknown => pending("waiting for the node's sps-agent"),
            Fact::Done(()) => self.switch_condition(name),
        }
    }

    fn switch_condition(&self, name: &Name) -> Condition {
        let message = match &self.switch {
            SwitchFact::Ready => return Ok(()),
            SwitchFact::Unknown => format!("the switch of node {name} has not connected yet"),
            SwitchFact::Down(reason) => format!("the switch of node {name}: {reason}"),
        };
        Err(Trouble::new(Reason::SwitchNotConnected, message))
    }
}

/// What is known of a slice.
#[derive(Default)]
pub(super) struct SliceEntry {
    version: Option<Version>,
    deleting: bool,
    has_links: bool,
    pub(super) links: Fact<()>,
}

impl SliceEntry {
    pub(super) fn put(&mut self, slice: &Slice) {
        self.version = Some(slice.spec.version.clone());
        self.deleting = slice.deleting;
        self.has_links = !slice.links().is_empty();
    }

    pub(super) fn state(&self, name: &Name) -> Option<ObjectState> {
        Some(ObjectState {
            key: Key::Slice(name.clone()),
            version: self.version.clone()?,
            condition: self.condition(),
            assignment: None,
        })
    }

    fn condition(&self) -> Condition {
        if self.deleting {
            return deleting(&self.links);
        }
        match &self.links {
            _ if !self.has_links => Ok(()),
            Fact::Unknown => pending("the links have not been looked at yet"),
            Fact::Failed(trouble) => Err(trouble.clone()),
            Fact::Done(()) => Ok(()),
        }
    }
}

/// What is known of a network.
#[derive(Default)]
pub(super) struct NetworkEntry {
    version: Option<Version>,
    deleting: bool,
    pub(super) flows: Fact<()>,
}

impl NetworkEntry {
    pub(super) fn put(&mut self, network: &Network) {
        self.version = Some(network.spec.version.clone());
        self.deleting = network.deleting;
    }

    pub(super) fn state(&self, key: &NetworkKey) -> Option<ObjectState> {
        let condition = match &self.flows {
            flows if self.deleting => deleting(flows),
            Fact::Unknown => pending("no switch has confirmed the network's flows yet"),
            Fact::Failed(trouble) => Err(trouble.clone()),
            Fact::Done(()) => Ok(()),
        };
        let (key, version) = (Key::Network(key.clone()), self.version.clone()?);
        Some(ObjectState { key, version, condition, assignment: None })
    }
}

/// What is known of what was done for a port.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PortFacts {
    /// What the agent has made.
    pub(crate) agent: Fact<AgentPort>,
    /// Whether that may have changed since.
    pub(crate) recheck: bool,
    /// Whether its flows are live.
    pub(crate) flows: Fact<()>,
    /// What the other clusters have been told.
    pub(crate) announcement: Fact<Endpoint>,
    /// What the engine sees behind it; none: it has said nothing yet.
    pub(crate) addresses: Option<Addresses>,
    /// The learned addresses that are stored and that the other clusters have been told of, if
    /// that is known.
    pub(crate) told: Option<BTreeSet<MacAddress>>,
    /// How often it has become doubtful what they have been told.
    pub(crate) doubts: u64,
}

impl PortFacts {
    /// The other clusters may have been told something else of what was learned.
    pub(crate) fn doubt(&mut self) {
        self.told = None;
        self.doubts += 1;
    }
}

/// What is known of a port.
pub(super) struct PortEntry {
    version: Version,
    pub(super) node: Name,
    pub(super) deleting: bool,
    assignment: Assignment,
    pub(super) facts: PortFacts,
}

fn assignment(port: &Port) -> Assignment {
    Assignment {
        mac: port.mac,
        address: port.address,
        interface_name: port.interface_name.clone(),
        addresses: Addresses::default(),
        mtu: port.mtu,
    }
}

impl PortEntry {
    pub(super) fn new(port: &Port) -> Self {
        Self {
            version: port.version.clone(),
            node: port.node.clone(),
            deleting: port.deleting,
            assignment: assignment(port),
            facts: PortFacts::default(),
        }
    }

    pub(super) fn put(&mut self, port: &Port) {
        if self.version != port.version {
            // What is known is known of the former version only.
            self.facts.agent = Fact::Unknown;
            self.facts.announcement = Fact::Unknown;
        }
        self.version = port.version.clone();
        self.node = port.node.clone();
        self.deleting = port.deleting;
        self.assignment = assignment(port);
    }

    /// Whether the port is not live and its node may be the cause.
    pub(super) fn waits_on(&self, node: &Name) -> bool {
        self.node == *node && !matches!(self.facts.flows, Fact::Done(()))
    }

    pub(super) fn state(&self, key: &PortKey, node: Option<&NodeEntry>) -> ObjectState {
        ObjectState {
            key: Key::Port(key.clone()),
            version: self.version.clone(),
            condition: self.condition(node),
            assignment: Some(Assignment {
                addresses: self.facts.addresses.clone().unwrap_or_default(),
                ..self.assignment.clone()
            }),
        }
    }

    /// Whether the other clusters may know something else than what is.
    pub(super) fn is_untold(&self) -> bool {
        let PortFacts { announcement, addresses, told, .. } = &self.facts;
        let learned = addresses.as_ref().map(|addresses| &addresses.learned);
        self.deleting || !matches!(announcement, Fact::Done(_)) || learned != told.as_ref()
    }

    fn condition(&self, node: Option<&NodeEntry>) -> Condition {
        let PortFacts { agent, flows, announcement, .. } = &self.facts;
        if self.deleting {
            return match agent {
                Fact::Failed(_) => deleting(agent),
                Fact::Unknown | Fact::Done(_) => deleting(announcement),
            };
        }
        match agent {
            Fact::Failed(trouble) => return Err(trouble.clone()),
            Fact::Unknown => return pending("waiting for the node's sps-agent"),
            Fact::Done(_) => {}
        }
        if !matches!(flows, Fact::Done(())) {
            if let Some(node) = node {
                node.switch_condition(&self.node)?;
            }
            return match flows {
                Fact::Failed(trouble) => Err(trouble.clone()),
                Fact::Unknown | Fact::Done(()) => Err(Trouble::new(
                    Reason::WaitingForSwitch,
                    "the switch has not confirmed the flows yet",
                )),
            };
        }
        match announcement {
            Fact::Done(_) => Ok(()),
            Fact::Failed(trouble) => Err(trouble.clone()),
            Fact::Unknown => Err(Trouble::new(
                Reason::NotAnnounced,
                "the other clusters have not been told of the port yet",
            )),
        }
    }
}
