//! Secrets at rest: sealed by a key that is in a file, not in the database.

use std::{fmt, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use l2sces_model::Name;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// As whom the slice-manager acts towards an API server. Never shown, and stored only sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// Whom a bearer token names.
    Token(String),
    /// Whom a certificate names.
    Certificate {
        /// The certificate, PEM.
        cert_pem: String,
        /// Its key, PEM.
        key_pem: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Certificate { .. } => "Certificate(..)",
        })
    }
}

/// Credentials that only a [`Vault`] with the right key can open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// Id of the key.
    key: String,
    /// Nonce, ciphertext and tag, in base64.
    r#box: String,
}

/// The keys that seal and open.
#[derive(Debug, Default)]
pub struct Vault {
    /// The first seals, each opens.
    keys: Vec<(String, LessSafeKey)>,
}

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It holds no key.
    #[error("holds no key: a line is a key's id and 32 random bytes in base64")]
    Empty,
    /// A line is no key.
    #[error("line {0} is no key: an id of letters, digits, '-' and '_', and 32 bytes in base64")]
    Line(usize),
    /// Two keys have one id.
    #[error("line {0} has the id of a line before")]
    Repeated(usize),
}

/// Why nothing was sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VaultError {
    /// There is no key at all.
    #[error("the slice-manager was started without --encryption-key-file")]
    NoKeys,
    /// The key is not there any more.
    #[error("they are sealed with key {0}, which --encryption-key-file lacks")]
    UnknownKey(String),
    /// They are not what was sealed for this cluster.
    #[error("they were sealed for another cluster, or have been tampered with")]
    Forged,
    /// The machine gives no randomness, or the secret is too large.
    #[error("they cannot be sealed")]
    Unsealable,
}

impl Vault {
    /// Reads the keys: a line each, an id and 32 bytes in base64. Lines that begin with `#` are
    /// comments.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        Self::parse(&fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut keys: Vec<(String, LessSafeKey)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, key) = parse_key(line).ok_or(KeyFileError::Line(index + 1))?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyFileError::Repeated(index + 1));
            }
            keys.push((id, key));
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(Self { keys }) }
    }

    /// Seals the credentials for a cluster, so that they open for no other.
    ///
    /// # Errors
    /// There is no key, or no randomness.
    pub fn seal(&self, cluster: &Name, credentials: &Credentials) -> Result<Sealed, VaultError> {
        let (id, key) = self.keys.first().ok_or(VaultError::NoKeys)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Unsealable)?;
        let mut text = serde_json::to_vec(credentials).map_err(|_| VaultError::Unsealable)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(cluster.as_str()),
            &mut text,
        )
        .map_err(|_| VaultError::Unsealable)?;
        let r#box = STANDARD.encode([nonce.as_slice(), &text].concat());
        Ok(Sealed { key: id.clone(), r#box })
    }

    /// Opens the credentials of a cluster.
    ///
    /// # Errors
    /// Their key is not there, or they are not the cluster's.
    pub fn open(&self, cluster: &Name, sealed: &Sealed) -> Result<Credentials, VaultError> {
        if self.keys.is_empty() {
            return Err(VaultError::NoKeys);
        }
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key)
            .ok_or_else(|| VaultError::UnknownKey(sealed.key.clone()))?;
        let mut bytes = STANDARD.decode(&sealed.r#box).map_err(|_| VaultError::Forged)?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(VaultError::Forged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Forged)?;
        let opened = key
            .open_in_place(nonce, Aad::from(cluster.as_str()), text)
            .map_err(|_| VaultError::Forged)?;
        serde_json::from_slice(opened).map_err(|_| VaultError::Forged)
    }

    /// Whether the key that seals now has sealed these.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|(id, _)| *id == sealed.key)
    }
}

fn parse_key(line: &str) -> Option<(String, LessSafeKey)> {
    let (id, key) = line.split_once(char::is_whitespace)?;
    let is_id = id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let bytes = STANDARD.decode(key.trim()).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
    is_id.then(|| (id.to_owned(), LessSafeKey::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "new AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn token() -> Credentials {
        Credentials::Token("a-very-secret-token".to_owned())
    }

    #[test]
    fn what_was_sealed_opens_for_its_cluster_only() {
        let vault = Vault::parse(NEW).unwrap();
        let sealed = vault.seal(&name("a"), &token()).unwrap();
        assert_eq!(vault.open(&name("a"), &sealed), Ok(token()));
        assert_eq!(vault.open(&name("b"), &sealed), Err(VaultError::Forged));
        let again = vault.seal(&name("a"), &token()).unwrap();
        assert_ne!(again, sealed, "a nonce of its own");
        let shown = format!("{sealed:?} {:?}", token());
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!serde_json::to_string(&sealed).unwrap().contains("secret"));
    }

    #[test]
    fn a_byte_that_was_changed_is_noticed() {
        let vault = Vault::parse(NEW).unwrap();
        let sealed = vault.seal(&name("a"), &token()).unwrap();
        let mut bytes = STANDARD.decode(&sealed.r#box).unwrap();
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            let forged = Sealed { r#box: STANDARD.encode(&bytes), ..sealed.clone() };
            assert_eq!(vault.open(&name("a"), &forged), Err(VaultError::Forged), "byte {index}");
            bytes[index] ^= 1;
        }
        let short = Sealed { r#box: "AAAA".to_owned(), ..sealed };
        assert_eq!(vault.open(&name("a"), &short), Err(VaultError::Forged));
    }

    #[test]
    fn keys_rotate() {
        let old = Vault::parse(OLD).unwrap();
        let sealed = old.seal(&name("a"), &token()).unwrap();
        let both = Vault::parse(&format!("# in use\n{NEW}\n\n# until all is sealed anew\n{OLD}\n"));
        let both = both.unwrap();
        assert_eq!(both.open(&name("a"), &sealed), Ok(token()));
        assert!(old.is_current(&sealed) && !both.is_current(&sealed));
        assert!(both.is_current(&both.seal(&name("a"), &token()).unwrap()));
        let new = Vault::parse(NEW).unwrap();
        let refused = new.open(&name("a"), &sealed);
        assert_eq!(refused, Err(VaultError::UnknownKey("old".to_owned())));
        assert_eq!(Vault::default().seal(&name("a"), &token()), Err(VaultError::NoKeys));
    }

    #[test]
    fn bad_key_files_are_refused() {
        for (text, wanted) in [
            ("", "holds no key"),
            ("# none", "holds no key"),
            ("old", "line 1 is no key"),
            ("old AAAA", "line 1 is no key"),
            ("o.d AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "line 1 is no key"),
            (&format!("{OLD}\n{OLD}"), "line 2 has the id"),
        ] {
            let error = Vault::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
