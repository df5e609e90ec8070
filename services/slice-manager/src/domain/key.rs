use std::{fmt, str::FromStr};

use l2sces_model::Name;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The kinds of resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A managed domain.
    Cluster,
    /// Clusters joined for one tenant.
    Slice,
    /// An isolated segment of a slice.
    Network,
    /// An endpoint of a network.
    Port,
}

/// Which resource: its kind, and its name below those of its parents.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A cluster.
    Cluster(Name),
    /// A slice.
    Slice(Name),
    /// A network.
    Network {
        /// Its slice.
        slice: Name,
        /// Its own name.
        name: Name,
    },
    /// A port.
    Port {
        /// Its slice.
        slice: Name,
        /// Its network.
        network: Name,
        /// Its own name.
        name: Name,
    },
}

/// Texts that name no resource.
#[derive(Debug, Error)]
#[error("'{kind}/{slice}/{network}/{name}' names no resource")]
pub struct BadKey {
    kind: String,
    slice: String,
    network: String,
    name: String,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Slice, Self::Network, Self::Port];

    /// The kind in lower case, as stored and as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Slice => "slice",
            Self::Network => "network",
            Self::Port => "port",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Key {
    /// The kind of resource.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Cluster(_) => Kind::Cluster,
            Self::Slice(_) => Kind::Slice,
            Self::Network { .. } => Kind::Network,
            Self::Port { .. } => Kind::Port,
        }
    }

    /// The resource's own name.
    pub const fn name(&self) -> &Name {
        match self {
            Self::Cluster(name)
            | Self::Slice(name)
            | Self::Network { name, .. }
            | Self::Port { name, .. } => name,
        }
    }

    /// Name of the slice that it lies in; empty: none.
    pub fn slice(&self) -> &str {
        match self {
            Self::Cluster(_) | Self::Slice(_) => "",
            Self::Network { slice, .. } | Self::Port { slice, .. } => slice.as_str(),
        }
    }

    /// Name of the network that it lies in; empty: none.
    pub fn network(&self) -> &str {
        match self {
            Self::Cluster(_) | Self::Slice(_) | Self::Network { .. } => "",
            Self::Port { network, .. } => network.as_str(),
        }
    }

    /// The key made of these texts, empty where the kind has no such parent.
    ///
    /// # Errors
    /// They name no resource.
    pub fn from_parts(kind: &str, slice: &str, network: &str, name: &str) -> Result<Self, BadKey> {
        let parse = || {
            let key = match kind.parse().ok()? {
                Kind::Cluster => Self::Cluster(name.parse().ok()?),
                Kind::Slice => Self::Slice(name.parse().ok()?),
                Kind::Network => {
                    Self::Network { slice: slice.parse().ok()?, name: name.parse().ok()? }
                }
                Kind::Port => Self::Port {
                    slice: slice.parse().ok()?,
                    network: network.parse().ok()?,
                    name: name.parse().ok()?,
                },
            };
            (key.slice() == slice && key.network() == network).then_some(key)
        };
        parse().ok_or_else(|| BadKey {
            kind: kind.to_owned(),
            slice: slice.to_owned(),
            network: network.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The names from the outermost parent to the resource, such as `s1/blue/p1`.
    pub fn path(&self) -> String {
        match self {
            Self::Cluster(name) | Self::Slice(name) => name.to_string(),
            Self::Network { slice, name } => format!("{slice}/{name}"),
            Self::Port { slice, network, name } => format!("{slice}/{network}/{name}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_key_are_inverse() {
        for (kind, slice, network, name, shown) in [
            ("cluster", "", "", "a", "cluster a"),
            ("slice", "", "", "s", "slice s"),
            ("network", "s", "", "n", "network s/n"),
            ("port", "s", "n", "p", "port s/n/p"),
        ] {
            let key = Key::from_parts(kind, slice, network, name).unwrap();
            assert_eq!(
                (key.kind().as_str(), key.slice(), key.network(), key.name().as_str()),
                (kind, slice, network, name)
            );
            assert_eq!(key.to_string(), shown);
        }
    }

    #[test]
    fn refuses_parts_that_name_nothing() {
        for (kind, slice, network, name) in [
            ("clusters", "", "", "a"),
            ("cluster", "s", "", "a"),
            ("network", "", "", "n"),
            ("network", "s", "n", "n"),
            ("port", "s", "", "p"),
            ("slice", "", "", ""),
        ] {
            assert!(Key::from_parts(kind, slice, network, name).is_err(), "{kind} {slice} {name}");
        }
    }
}
