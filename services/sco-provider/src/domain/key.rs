use std::fmt;

use l2sces_controller::PortId;
use l2sces_model::{DatapathId, Epoch, MacAddress, Name};

/// Names a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayKey {
    /// Its cluster.
    pub cluster: Name,
    /// Its node in the cluster.
    pub node: Name,
}

impl GatewayKey {
    /// Datapath id of the gateway's `br-ned`: the same whenever it is derived.
    pub fn datapath_id(&self) -> DatapathId {
        DatapathId::derived(&["ned", self.cluster.as_str(), self.node.as_str()])
    }
}

impl fmt::Display for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.node)
    }
}

/// Names a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey {
    /// Its slice.
    pub slice: Name,
    /// Its name in the slice.
    pub name: Name,
}

impl NetworkKey {
    /// Names the network's port on the trunk of a gateway, for frames of an epoch.
    pub fn gate_port(&self, gateway: &GatewayKey, epoch: Epoch) -> PortId {
        PortId::from(format!("gate/{self}/{gateway}/{epoch}"))
    }
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slice, self.name)
    }
}

/// Names an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// Its network.
    pub network: NetworkKey,
    /// The cluster that it is in.
    pub cluster: Name,
    /// The name of its port.
    pub port: Name,
    /// The address that was learned behind the port; none: the endpoint is the port itself.
    pub learned: Option<MacAddress>,
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.cluster, self.port)?;
        match self.learned {
            Some(mac) => write!(f, "/{mac}"),
            None => Ok(()),
        }
    }
}

/// What a worker reconciles.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A gateway.
    Gateway(GatewayKey),
    /// A slice, by name.
    Slice(Name),
    /// A network.
    Network(NetworkKey),
    /// An endpoint, in the data plane and towards the clusters.
    Endpoint(EndpointKey),
    /// The name of an endpoint in the DNS.
    Name(EndpointKey),
}

/// As logs and spans show it: "network s1/blue".
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(key) => write!(f, "gateway {key}"),
            Self::Slice(name) => write!(f, "slice {name}"),
            Self::Network(key) => write!(f, "network {key}"),
            Self::Endpoint(key) => write!(f, "endpoint {key}"),
            Self::Name(key) => write!(f, "name {key}"),
        }
    }
}

/// What reports a state of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// A gateway.
    Gateway(GatewayKey),
    /// A slice, by name.
    Slice(Name),
    /// A network.
    Network(NetworkKey),
}

impl Key {
    /// The object whose state a run is part of; endpoints have none.
    pub fn object(&self) -> Option<ObjectKey> {
        match self {
            Self::Gateway(key) => Some(ObjectKey::Gateway(key.clone())),
            Self::Slice(name) => Some(ObjectKey::Slice(name.clone())),
            Self::Network(key) => Some(ObjectKey::Network(key.clone())),
            Self::Endpoint(_) | Self::Name(_) => None,
        }
    }
}

/// A kind of object, for messages and error details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A gateway.
    Gateway,
    /// A slice.
    Slice,
    /// A network.
    Network,
    /// An endpoint.
    Endpoint,
}

impl Kind {
    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Slice => "slice",
            Self::Network => "network",
            Self::Endpoint => "endpoint",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
