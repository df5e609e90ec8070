use std::{fmt, str::FromStr};

use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a peer is, which decides what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A person, or a program that acts for one.
    Admin,
    /// The `slice-manager`.
    SliceManager,
    /// The `sco-provider`.
    ScoProvider,
    /// An `sdn-controller`.
    SdnController,
    /// An `sps-agent`.
    SpsAgent,
    /// A `ned-agent`.
    NedAgent,
    /// The `inter-domain-dns`.
    InterDomainDns,
    /// An operator inside a managed cluster.
    Operator,
    /// The `slice-operator` of the control cluster.
    SliceOperator,
}

/// A text names no [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "must be one of admin, slice-manager, sco-provider, sdn-controller, sps-agent, ned-agent, \
     inter-domain-dns, operator and slice-operator, not {0:?}"
)]
pub struct UnknownRole(String);

impl Role {
    /// Every role.
    pub const ALL: [Self; 9] = [
        Self::Admin,
        Self::SliceManager,
        Self::ScoProvider,
        Self::SdnController,
        Self::SpsAgent,
        Self::NedAgent,
        Self::InterDomainDns,
        Self::Operator,
        Self::SliceOperator,
    ];

    /// The role in kebab-case, as it stands in certificates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::SliceManager => "slice-manager",
            Self::ScoProvider => "sco-provider",
            Self::SdnController => "sdn-controller",
            Self::SpsAgent => "sps-agent",
            Self::NedAgent => "ned-agent",
            Self::InterDomainDns => "inter-domain-dns",
            Self::Operator => "operator",
            Self::SliceOperator => "slice-operator",
        }
    }

    /// Whether it is an agent's, whose holders are named after their nodes.
    pub const fn is_agent(self) -> bool {
        matches!(self, Self::SpsAgent | Self::NedAgent)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Who holds a certificate: `spiffe://l2sces/<role>/<name>`, or of an agent
/// `spiffe://l2sces/<role>/<cluster>/<name>`, its only URI among the subject alternative names. Roles,
/// clusters and names are SPIFFE path segments: 1 to 63 letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// The cluster that an agent's node is in. `None`: it does not say, and of other roles always.
    pub cluster: Option<String>,
    /// Which one of its role: an agent's node, the cluster of an sdn-controller or operator.
    pub name: String,
}

/// Why a text is no [`Identity`], or a value cannot be written as one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// It is not `spiffe://l2sces/<role>/<name>`.
    #[error("an identity must have the form spiffe://l2sces/<role>/[<cluster>/]<name>")]
    Syntax,
    /// The role is unknown.
    #[error("the role of an identity {0}")]
    Role(#[from] UnknownRole),
    /// The name, or the cluster, is no SPIFFE path segment.
    #[error(
        "the name of an identity must have 1 to 63 letters, digits, '.', '-' and '_', not {0:?}"
    )]
    Name(String),
    /// It names a cluster, and its role is none of an agent's.
    #[error("the identity of the role {0} names no cluster: only those of agents do")]
    Cluster(Role),
}

const PREFIX: &str = "spiffe://l2sces/";

impl Identity {
    /// The identity of `name` in `role`.
    ///
    /// # Errors
    /// The name cannot be written in a certificate.
    pub fn new(role: Role, name: &str) -> Result<Self, IdentityError> {
        Ok(Self { role, cluster: None, name: segment(name)? })
    }

    /// The identity of the agent of a node in a cluster.
    ///
    /// # Errors
    /// The role is none of an agent's, or a name cannot be written in a certificate.
    pub fn in_cluster(role: Role, cluster: &str, node: &str) -> Result<Self, IdentityError> {
        if !role.is_agent() {
            return Err(IdentityError::Cluster(role));
        }
        Ok(Self { role, cluster: Some(segment(cluster)?), name: segment(node)? })
    }

    /// The cluster that the holder serves, if it is one: agents may name theirs, sdn-controllers and operators
    /// are named after theirs.
    pub fn own_cluster(&self) -> Option<&str> {
        match self.role {
            Role::SpsAgent | Role::NedAgent => self.cluster.as_deref(),
            Role::SdnController | Role::Operator => Some(&self.name),
            Role::Admin
            | Role::SliceManager
            | Role::ScoProvider
            | Role::InterDomainDns
            | Role::SliceOperator => None,
        }
    }

    /// Whoever filled in the fields by hand has not had them checked.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        let checked = match &self.cluster {
            Some(cluster) => Self::in_cluster(self.role, cluster, &self.name),
            None => Self::new(self.role, &self.name),
        };
        checked.map(drop)
    }

    /// Whether it is that of an agent of a node in a cluster. One that names no cluster is that of the
    /// nodes of its name in all clusters: whoever made it by hand has the authority.
    pub fn is_of_node(&self, cluster: &str, node: &str) -> bool {
        let is_there = self.cluster.as_deref().is_none_or(|own| own == cluster);
        self.role.is_agent() && is_there && self.name == node
    }

    /// Whether a certificate with this identity may take the place of one with `former` while its holder
    /// runs: it is the same, but for a cluster that the former does not name.
    pub fn succeeds(&self, former: &Self) -> bool {
        let is_same = (self.role, &self.name) == (former.role, &former.name);
        is_same && (former.cluster.is_none() || self.cluster == former.cluster)
    }
}

fn segment(text: &str) -> Result<String, IdentityError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_segment = (1..=63).contains(&text.len()) && text.chars().all(allowed);
    if !is_segment || matches!(text, "." | "..") {
        return Err(IdentityError::Name(text.to_owned()));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/", self.role)?;
        if let Some(cluster) = &self.cluster {
            write!(f, "{cluster}/")?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let path = text.strip_prefix(PREFIX).ok_or(IdentityError::Syntax)?;
        let (role, name) = path.split_once('/').ok_or(IdentityError::Syntax)?;
        let role = role.parse()?;
        match name.split_once('/') {
            Some((cluster, node)) => Self::in_cluster(role, cluster, node),
            None => Self::new(role, name),
        }
    }
}

/// The identity in a certificate (DER), or `None` if it has none or is ambiguous. The certificate's
/// signature must have been verified before: that is TLS's part.
pub fn peer_identity(cert_der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(cert_der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next()?;
    // A SPIFFE certificate has exactly one URI (X509-SVID, section 2); two could be read two ways.
    uris.next().is_none().then(|| uri.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// What may be a segment, and what is one mostly.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z0-9._-]{1,63}", "[a-zA-Z./_é-]{0,5}", "[a-z]{62,65}"]
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(
            role in select(&Role::ALL[..]),
            cluster in proptest::option::of(text()),
            name in text(),
        ) {
            let made = match &cluster {
                Some(cluster) => Identity::in_cluster(role, cluster, &name),
                None => Identity::new(role, &name),
            };
            prop_assert_eq!(role.to_string().parse(), Ok(role));
            if let Ok(identity) = made {
                prop_assert_eq!(&identity.cluster, &cluster);
                prop_assert_eq!(identity.to_string().parse(), Ok(identity));
            }
        }

        /// Nothing is read two ways: what is no identity cannot be written as one either.
        #[test]
        fn whatever_is_parsed_is_written_as_it_was(
            role in select(&Role::ALL[..]),
            rest in "[a-z/.é]{0,8}",
        ) {
            let text = format!("{PREFIX}{role}/{rest}");
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert!(identity.cluster.is_none() || role.is_agent());
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }

    #[test]
    fn an_agent_is_of_its_node_and_of_its_cluster_if_it_names_one() {
        let of = |text: &str, cluster, node| {
            text.parse::<Identity>().is_ok_and(|identity| identity.is_of_node(cluster, node))
        };
        for role in ["sps-agent", "ned-agent"] {
            assert!(of(&format!("spiffe://l2sces/{role}/a/n1"), "a", "n1"));
            assert!(!of(&format!("spiffe://l2sces/{role}/a/n1"), "b", "n1"));
            assert!(!of(&format!("spiffe://l2sces/{role}/a/n1"), "a", "n2"));
            assert!(of(&format!("spiffe://l2sces/{role}/n1"), "a", "n1"));
            assert!(of(&format!("spiffe://l2sces/{role}/n1"), "b", "n1"));
            assert!(!of(&format!("spiffe://l2sces/{role}/n1"), "a", "n2"));
        }
        assert!(!of("spiffe://l2sces/operator/n1", "a", "n1"));
    }

    #[test]
    fn agents_controllers_and_operators_are_of_one_cluster() {
        let own_cluster = |text: &str| {
            let identity: Identity = format!("spiffe://l2sces/{text}").parse().unwrap();
            identity.own_cluster().map(str::to_owned)
        };
        for of_a in ["sps-agent/a/n1", "ned-agent/a/n1", "sdn-controller/a", "operator/a"] {
            assert_eq!(own_cluster(of_a).as_deref(), Some("a"), "{of_a}");
        }
        for of_none in
            ["sps-agent/n1", "ned-agent/n1", "slice-manager/a", "sco-provider/a", "admin/a"]
        {
            assert_eq!(own_cluster(of_none), None, "{of_none}");
        }
    }

    #[test]
    fn a_holder_may_come_to_name_its_cluster_and_never_another() {
        let identity = |text: &str| format!("{PREFIX}{text}").parse::<Identity>().unwrap();
        let succeeds = |new, former| identity(new).succeeds(&identity(former));
        assert!(succeeds("sps-agent/a/n1", "sps-agent/a/n1"));
        assert!(succeeds("sps-agent/a/n1", "sps-agent/n1"));
        for (new, former) in [
            ("sps-agent/n1", "sps-agent/a/n1"),
            ("sps-agent/b/n1", "sps-agent/a/n1"),
            ("sps-agent/a/n2", "sps-agent/n1"),
            ("ned-agent/a/n1", "sps-agent/n1"),
        ] {
            assert!(!succeeds(new, former), "{new} after {former}");
        }
    }

    #[test]
    fn refuses_what_is_no_identity() {
        let cases = [
            ("", IdentityError::Syntax),
            ("spiffe://other/admin/a", IdentityError::Syntax),
            ("spiffe://l2sces/admin", IdentityError::Syntax),
            ("spiffe://l2sces/root/a", IdentityError::Role(UnknownRole("root".into()))),
            ("spiffe://l2sces/admin/", IdentityError::Name(String::new())),
            ("spiffe://l2sces/admin/a/b", IdentityError::Cluster(Role::Admin)),
            ("spiffe://l2sces/operator/a/b", IdentityError::Cluster(Role::Operator)),
            ("spiffe://l2sces/sps-agent/a/b/c", IdentityError::Name("b/c".into())),
            ("spiffe://l2sces/sps-agent//b", IdentityError::Name(String::new())),
            ("spiffe://l2sces/ned-agent/a/", IdentityError::Name(String::new())),
            ("spiffe://l2sces/ned-agent/../b", IdentityError::Name("..".into())),
            ("spiffe://l2sces/admin/..", IdentityError::Name("..".into())),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Identity>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_garbled_certificate_has_no_identity() {
        assert_eq!(peer_identity(b"not DER"), None);
    }
}
