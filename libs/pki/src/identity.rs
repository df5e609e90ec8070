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
}

/// A text names no [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "must be one of admin, slice-manager, sco-provider, sdn-controller, sps-agent, ned-agent, \
     inter-domain-dns and operator, not {0:?}"
)]
pub struct UnknownRole(String);

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::SliceManager,
        Self::ScoProvider,
        Self::SdnController,
        Self::SpsAgent,
        Self::NedAgent,
        Self::InterDomainDns,
        Self::Operator,
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
        }
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

/// Who holds a certificate: `spiffe://l2sces/<role>/<name>`, its only URI among the subject
/// alternative names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// Which one of its role: letters, digits, `.`, `-` and `_` (a SPIFFE path segment).
    pub name: String,
}

/// Why a text is no [`Identity`], or a value cannot be written as one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// It is not `spiffe://l2sces/<role>/<name>`.
    #[error("an identity must have the form spiffe://l2sces/<role>/<name>")]
    Syntax,
    /// The role is unknown.
    #[error("the role of an identity {0}")]
    Role(#[from] UnknownRole),
    /// The name is no SPIFFE path segment.
    #[error(
        "the name of an identity must have 1 to 63 letters, digits, '.', '-' and '_', not {0:?}"
    )]
    Name(String),
}

const PREFIX: &str = "spiffe://l2sces/";

impl Identity {
    /// The identity of `name` in `role`.
    ///
    /// # Errors
    /// The name cannot be written in a certificate.
    pub fn new(role: Role, name: &str) -> Result<Self, IdentityError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(1..=63).contains(&name.len())
            || !name.chars().all(allowed)
            || matches!(name, "." | "..")
        {
            return Err(IdentityError::Name(name.to_owned()));
        }
        Ok(Self { role, name: name.to_owned() })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}", self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let path = text.strip_prefix(PREFIX).ok_or(IdentityError::Syntax)?;
        let (role, name) = path.split_once('/').ok_or(IdentityError::Syntax)?;
        Self::new(role.parse()?, name)
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
    use super::*;

    #[test]
    fn display_and_parse_are_inverse_for_every_role() {
        for role in Role::ALL {
            let identity = Identity::new(role, "a1").unwrap();
            assert_eq!(identity.to_string().parse(), Ok(identity));
            assert_eq!(role.to_string().parse(), Ok(role));
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
            ("spiffe://l2sces/admin/a/b", IdentityError::Name("a/b".into())),
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
