//! Validated values that all of l2sces speaks of: names, addresses, identifiers. No I/O.
//!
//! Each type can only hold a valid value; parsing says in one sentence what is wrong otherwise.

mod datapath_id;
mod epoch;
mod host_address;
mod interface_name;
mod mac_address;
mod name;
mod probe;
mod vni;

pub use datapath_id::{DatapathId, DatapathIdError};
pub use epoch::{Epoch, EpochError};
pub use host_address::{HostAddress, HostAddressError};
pub use interface_name::{InterfaceName, InterfaceNameError};
pub use mac_address::{MacAddress, MacAddressError};
pub use name::{Name, NameError};
pub use probe::{ETHERTYPE_PROBE, tunnel_address};
pub use vni::{Vni, VniError};

/// UDP destination port of the tunnels between the switches of one cluster. Not 4789, which other
/// CNIs own.
pub const SPS_TUNNEL_UDP_PORT: u16 = 7000;

/// UDP destination port of the tunnels between gateways of different clusters. Another than
/// [`SPS_TUNNEL_UDP_PORT`], so that both bridges of a gateway may have a tunnel to one address.
pub const NED_TUNNEL_UDP_PORT: u16 = 7001;

/// Name of the patch port on a gateway's cluster bridge.
pub const SPS_TRUNK_INTERFACE: &str = "l2t-sps";

/// Name of the patch port on a gateway's inter-cluster bridge.
pub const NED_TRUNK_INTERFACE: &str = "l2t-ned";

/// Serde by way of `Display` and `FromStr`, so that a value is a string in JSON and YAML.
macro_rules! serde_as_string {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_string;
