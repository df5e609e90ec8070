use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use l2sces_model::Name;
use thiserror::Error;

/// Which record. Ordered as records are listed: by slice, network, cluster and host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Name of the slice.
    pub slice: Name,
    /// Name of the network.
    pub network: Name,
    /// Name of the cluster.
    pub cluster: Name,
    /// Name of the endpoint.
    pub host: Name,
}

impl RecordKey {
    /// `<host>.<cluster>.<network>.<slice>`: relative to a zone, and no other record's but as
    /// an alias.
    pub fn canonical_name(&self) -> String {
        self.canonical_name_of(&self.host)
    }

    /// `<host>.<cluster>.<network>.<slice>` with another host, such as an alias.
    pub fn canonical_name_of(&self, host: &Name) -> String {
        let Self { slice, network, cluster, .. } = self;
        format!("{host}.{cluster}.{network}.{slice}")
    }

    /// `<host>.<network>` with a host that may be another, such as an alias: relative to a zone, and
    /// perhaps shared with other records.
    pub fn short_name_of(&self, host: &Name) -> String {
        format!("{host}.{network}", network = self.network)
    }
}

/// The addresses of one endpoint: 1 to 64 different unicast addresses, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<IpAddr>);

/// Why a list is no [`Addresses`]. Indices count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressesError {
    /// It is empty.
    #[error("must not be empty")]
    None,
    /// It is too long.
    #[error("must be at most {max}, not {0}", max = Addresses::MAX)]
    TooMany(usize),
    /// An address is not one of a single host.
    #[error("must be the unicast address of a host, not {address}")]
    NotUnicast {
        /// Where in the list.
        index: usize,
        /// The address.
        address: IpAddr,
    },
    /// An IPv4 address is written as an IPv6 address, which would be answered to the wrong type
    /// of question.
    #[error("must be written as the IPv4 address that it is, not {address}")]
    Mapped {
        /// Where in the list.
        index: usize,
        /// The address.
        address: IpAddr,
    },
    /// An address is there twice.
    #[error("must be listed once only: {address}")]
    Duplicate {
        /// Where in the list the second is.
        index: usize,
        /// The address.
        address: IpAddr,
    },
}

impl AddressesError {
    /// Which address is at fault, if one is.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::None | Self::TooMany(_) => None,
            Self::NotUnicast { index, .. }
            | Self::Mapped { index, .. }
            | Self::Duplicate { index, .. } => Some(*index),
        }
    }
}

impl Addresses {
    /// The most addresses of a record.
    pub const MAX: usize = 64;

    /// The addresses, in the order given.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }
}

impl TryFrom<Vec<IpAddr>> for Addresses {
    type Error = AddressesError;

    fn try_from(addresses: Vec<IpAddr>) -> Result<Self, AddressesError> {
        if addresses.is_empty() {
            return Err(AddressesError::None);
        }
        if addresses.len() > Self::MAX {
            return Err(AddressesError::TooMany(addresses.len()));
        }
        let mut seen = HashSet::new();
        for (index, &address) in addresses.iter().enumerate() {
            if !is_host(address) {
                return Err(AddressesError::NotUnicast { index, address });
            }
            if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
                return Err(AddressesError::Mapped { index, address });
            }
            if !seen.insert(address) {
                return Err(AddressesError::Duplicate { index, address });
            }
        }
        Ok(Self(addresses))
    }
}

/// Whether another host can reach a host by this address.
fn is_host(address: IpAddr) -> bool {
    let limited_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified()
        || address.is_multicast()
        || address.is_loopback()
        || limited_broadcast)
}

/// What one endpoint is called and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub key: RecordKey,
    /// What the record says of it.
    pub contents: Contents,
}

/// What a record says of its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Its addresses.
    pub addresses: Addresses,
    /// Names by which it is found as well as by its own. Other records may have them, too.
    pub aliases: BTreeSet<Name>,
}

impl Contents {
    /// The most aliases of a record.
    pub const MOST_ALIASES: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Result<Addresses, AddressesError> {
        Addresses::try_from(texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn keeps_the_order_given() {
        let given = ["10.0.0.2", "fd00::1", "10.0.0.1"];
        let kept: Vec<_> =
            addresses(&given).unwrap().as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(kept, given);
    }

    #[test]
    fn refuses_addresses_that_no_other_host_can_reach() {
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "127.0.0.1", "::1"]
        {
            let address = text.parse().unwrap();
            assert_eq!(
                addresses(&["10.0.0.1", text]),
                Err(AddressesError::NotUnicast { index: 1, address })
            );
        }
    }

    #[test]
    fn refuses_other_lists() {
        assert_eq!(addresses(&[]), Err(AddressesError::None));
        let many = (0..65).map(|n| IpAddr::from([10, 0, 0, n])).collect::<Vec<_>>();
        assert!(Addresses::try_from(many[..64].to_vec()).is_ok());
        assert_eq!(Addresses::try_from(many), Err(AddressesError::TooMany(65)));
        let duplicate = addresses(&["fd00::1", "fd00:0::1"]).unwrap_err();
        assert_eq!(duplicate.index(), Some(1));
        assert!(matches!(addresses(&["::ffff:10.0.0.1"]), Err(AddressesError::Mapped { .. })));
    }
}
