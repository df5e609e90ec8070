use std::{
    fmt, fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use time::{Duration, OffsetDateTime};

use crate::{Identity, PkiError};

/// File name of the authority's certificate.
pub const CA_CERTIFICATE_FILE: &str = "ca.pem";

/// File name of the authority's private key.
pub const CA_KEY_FILE: &str = "ca.key";

const AUTHORITY_LIFETIME: Duration = Duration::days(3650);
const CERTIFICATE_LIFETIME: Duration = Duration::days(365);

/// Certificates are valid from a little before they are made: clocks differ between hosts.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// A private certificate authority: one self-signed certificate and its key (ECDSA P-256).
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that an [`Authority`] signed, and its private key.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PKCS #8, PEM.
    pub key_pem: String,
}

impl Authority {
    /// Makes a new authority, valid for ten years.
    ///
    /// # Errors
    /// No key could be made.
    pub fn create() -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("l2sces authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, AUTHORITY_LIFETIME);
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// Reads the authority that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file cannot be read, or is not an authority's.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, PkiError> {
        let read = |name: &str| {
            let path = dir.as_ref().join(name);
            fs::read_to_string(&path).map_err(|source| PkiError::Read { path, source })
        };
        let certificate_pem = read(CA_CERTIFICATE_FILE)?;
        let key = KeyPair::from_pem(&read(CA_KEY_FILE)?)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)?;
        Ok(Self { certificate_pem, issuer })
    }

    /// Writes `ca.pem` and `ca.key` (mode 0600) into a directory, which is made if it is missing.
    ///
    /// # Errors
    /// There is an authority already: overwriting it would cut off everybody who trusts it. Or a
    /// file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), PkiError> {
        let dir = dir.as_ref();
        create_dir(dir)?;
        write_new(&dir.join(CA_KEY_FILE), &self.issuer.key().serialize_pem(), 0o600)?;
        write_new(&dir.join(CA_CERTIFICATE_FILE), &self.certificate_pem, 0o644)
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a key and signs its certificate, valid for a year, for both ends of a connection. `sans`
    /// are the IP addresses and DNS names that clients reach the holder by; a client needs none.
    ///
    /// # Errors
    /// The identity or one of the names cannot be written in a certificate.
    pub fn issue(
        &self,
        identity: &Identity,
        sans: &[String],
    ) -> Result<IssuedCertificate, PkiError> {
        let key = KeyPair::generate()?;
        let cert_pem = self.sign(&key, identity, sans)?;
        Ok(IssuedCertificate { cert_pem, key_pem: key.serialize_pem() })
    }

    /// The same for the key of a [`CertificateRequest`](crate::CertificateRequest); the certificate, in
    /// PEM. Nothing else that the request says counts.
    ///
    /// # Errors
    /// It is no request, or not signed by its key; the identity or one of the names cannot be written
    /// in a certificate.
    pub fn certify(
        &self,
        csr_pem: &str,
        identity: &Identity,
        sans: &[String],
    ) -> Result<String, PkiError> {
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(PkiError::Request)?;
        self.sign(&request.public_key, identity, sans)
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        identity: &Identity,
        sans: &[String],
    ) -> Result<String, PkiError> {
        // Whoever filled in the fields by hand has not had them checked.
        identity.check()?;
        let uri = identity.to_string();
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("{} {}", identity.role, identity.name));
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        for san in sans {
            params.subject_alt_names.push(alternative_name(san)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, CERTIFICATE_LIFETIME);
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

/// Without the key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl IssuedCertificate {
    /// Writes certificate and key (mode 0600) as `<stem>.pem` and `<stem>.key`, in the place of
    /// older ones, into a directory, which is made if it is missing. The key comes last: Open vSwitch
    /// looks at the certificate only when the key has changed, and then takes up both or neither.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>, stem: &str) -> Result<(), PkiError> {
        let dir = dir.as_ref();
        create_dir(dir)?;
        let mut written = Vec::new();
        for (extension, text, mode) in
            [("pem", &self.cert_pem, 0o644), ("key", &self.key_pem, 0o600)]
        {
            let path = dir.join(format!("{stem}.{extension}"));
            let new = dir.join(format!("{stem}.{extension}.new"));
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(PkiError::Write { path: new, source: error });
                }
                _ => write_new(&new, text, mode)?,
            }
            written.push((new, path));
        }
        for (new, path) in written {
            fs::rename(new, &path).map_err(|source| PkiError::Write { path, source })?;
        }
        Ok(())
    }
}

/// Without the key.
impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate")
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "l2sces");
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + lifetime;
}

fn alternative_name(text: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || PkiError::AlternativeName(text.to_owned());
    rustls_pki_types::DnsName::try_from(text).map_err(|_| refused())?;
    text.try_into().map(SanType::DnsName).map_err(|_| refused())
}

fn create_dir(dir: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|source| PkiError::Write { path: dir.to_owned(), source })
}

/// Writes a file that must not exist, with its mode from the first moment on.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => PkiError::Exists(path.to_owned()),
        _ => PkiError::Write { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{CertificateRequest, CredentialPaths, Credentials, Role, summarize};

    fn identity() -> Identity {
        Identity::new(Role::SpsAgent, "a1").unwrap()
    }

    #[test]
    fn a_loaded_authority_issues_what_the_saved_one_would_trust() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(dir.path()).unwrap();
        let key_mode = fs::metadata(dir.path().join(CA_KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(key_mode & 0o777, 0o600);

        let loaded = Authority::load(dir.path()).unwrap();
        let issued = loaded.issue(&identity(), &["10.0.0.11".into(), "a1.example".into()]).unwrap();
        let summary = summarize(&issued.cert_pem).unwrap();
        assert_eq!(summary.identity, Some(identity()));
        assert_eq!(summary.alternative_names, ["10.0.0.11", "a1.example"]);
        assert!(!summary.is_authority);
        assert_eq!(summary.issuer, summarize(authority.certificate_pem()).unwrap().subject);
    }

    #[test]
    fn certifies_the_key_of_a_request_and_nothing_else_that_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(dir.path()).unwrap();
        let request = CertificateRequest::create().unwrap();
        let sans = ["10.0.0.11".to_owned()];
        let certificate = authority.certify(&request.csr_pem, &identity(), &sans).unwrap();
        let summary = summarize(&certificate).unwrap();
        assert_eq!(summary.identity, Some(identity()));
        assert_eq!(summary.alternative_names, ["10.0.0.11"]);
        assert!(!summary.is_authority);
        request.answered(certificate).save(dir.path(), "own").unwrap();
        let [ca, cert, key] = ["ca.pem", "own.pem", "own.key"].map(|name| dir.path().join(name));
        let credentials = Credentials::load(&CredentialPaths { ca, cert, key }).unwrap();
        assert_eq!(credentials.identity(), Some(&identity()));

        // Whoever asks for more than a certificate for the key does not get it.
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        params.distinguished_name = named("admin alice");
        let greedy = params.serialize_request(&key).unwrap().pem().unwrap();
        let summary = summarize(&authority.certify(&greedy, &identity(), &[]).unwrap()).unwrap();
        assert_eq!(summary.identity, Some(identity()));
        assert_eq!(summary.alternative_names, [""; 0]);
        assert!(!summary.subject.contains("alice"), "{}", summary.subject);
    }

    #[test]
    fn a_request_is_signed_by_its_own_key() {
        let authority = Authority::create().unwrap();
        let csr = CertificateRequest::create().unwrap().csr_pem;
        let mut lines: Vec<_> = csr.lines().map(str::to_owned).collect();
        // The signature is at the end.
        let last = lines.len() - 2;
        lines[last] = lines[last].chars().rev().collect();
        for text in ["", "no PEM", &lines.join("\n"), authority.certificate_pem()] {
            let refused = authority.certify(text, &identity(), &[]);
            assert!(matches!(refused, Err(PkiError::Request(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn an_authority_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        Authority::create().unwrap().save(dir.path()).unwrap();
        let before = fs::read(dir.path().join(CA_KEY_FILE)).unwrap();
        let again = Authority::create().unwrap().save(dir.path());
        assert!(matches!(again, Err(PkiError::Exists(_))), "{again:?}");
        assert_eq!(fs::read(dir.path().join(CA_KEY_FILE)).unwrap(), before);
    }

    #[test]
    fn a_certificate_is_renewed_in_place_with_a_private_key_file() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        for _ in 0..2 {
            authority.issue(&identity(), &[]).unwrap().save(dir.path(), "a1").unwrap();
        }
        let mode = fs::metadata(dir.path().join("a1.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn refuses_names_that_no_certificate_can_have() {
        let authority = Authority::create().unwrap();
        for san in ["", "a b", "10.0.0.0/8", "é.example"] {
            let issued = authority.issue(&identity(), &[san.to_owned()]);
            assert!(matches!(issued, Err(PkiError::AlternativeName(_))), "{san:?}");
        }
        let unchecked = |role, name: &str| Identity { role, cluster: None, name: name.to_owned() };
        for unchecked in [unchecked(Role::Admin, "a/b"), unchecked(Role::SpsAgent, "a/b")] {
            assert!(matches!(authority.issue(&unchecked, &[]), Err(PkiError::Identity(_))));
        }
    }

    #[test]
    fn a_file_that_is_no_authority_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Authority::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
    }
}
