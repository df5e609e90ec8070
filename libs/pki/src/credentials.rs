use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use crate::{Identity, PkiError, peer_identity};

/// Files of one end's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialPaths {
    /// Certificate of the authority that the peers' certificates must be signed by, PEM.
    pub ca: PathBuf,
    /// Own certificate, PEM.
    pub cert: PathBuf,
    /// Own private key, PEM.
    pub key: PathBuf,
}

/// One end's certificate and key, and the authority it trusts: checked, ready for TLS. Cheap to
/// clone.
#[derive(Clone)]
pub struct Credentials {
    pem: Arc<Pem>,
    server: Arc<ServerConfig>,
    open_server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Arc<[CertificateDer<'static>]>,
    identity: Option<Identity>,
}

struct Pem {
    ca: String,
    cert: String,
    key: String,
}

impl Credentials {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// A file cannot be read, does not hold what it should, or certificate and key do not belong
    /// together.
    pub fn load(paths: &CredentialPaths) -> Result<Self, PkiError> {
        install_crypto_provider();
        let pem = Pem { ca: read(&paths.ca)?, cert: read(&paths.cert)?, key: read(&paths.key)? };
        let authorities = certificates(&pem.ca, &paths.ca)?;
        let chain = certificates(&pem.cert, &paths.cert)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes())
            .map_err(|_| PkiError::Pem { path: paths.key.clone(), wanted: "private key" })?;
        let unusable = |reason: String| PkiError::Unusable {
            certificate: paths.cert.clone(),
            key: paths.key.clone(),
            reason,
        };

        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots
                .add(authority)
                .map_err(|_| PkiError::Pem { path: paths.ca.clone(), wanted: "authority" })?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots))
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let server = ServerConfig::builder()
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable(error.to_string()))?;
        let open_server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable(error.to_string()))?;
        let identity = chain.first().and_then(|certificate| peer_identity(certificate));
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.clone(), key)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            pem: Arc::new(pem),
            server: Arc::new(server),
            open_server: Arc::new(open_server),
            client: Arc::new(client),
            verifier,
            chain: chain.into(),
            identity,
        })
    }

    /// For the accepting end: a client must show a certificate of the authority. No ALPN: add the
    /// protocol where there is one.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For the accepting end, where clients have no certificate yet: they are asked for none. No ALPN:
    /// add the protocol where there is one.
    pub fn open_server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.open_server)
    }

    /// For the connecting end: the server must show a certificate of the authority with the name
    /// or address it is reached by. No ALPN: add the protocol where there is one.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The three files' contents: authority, certificate, private key.
    pub fn pem(&self) -> (&str, &str, &str) {
        (&self.pem.ca, &self.pem.cert, &self.pem.key)
    }

    /// Whether the own certificate is one of the authority, and valid now.
    pub fn is_certified(&self) -> bool {
        self.chain.split_first().is_some_and(|(own, others)| {
            self.verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
        })
    }

    /// The own identity, if the own certificate has one.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Makes `ring` the process's provider of cryptography; may be called any number of times.
pub fn install_crypto_provider() {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}

fn certificates(pem: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let refused = || PkiError::Pem { path: path.to_owned(), wanted: "certificate" };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| refused())?;
    if found.is_empty() { Err(refused()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Role};

    fn files(dir: &Path) -> CredentialPaths {
        let authority = Authority::create().unwrap();
        authority.save(dir).unwrap();
        let identity = Identity::new(Role::Admin, "test").unwrap();
        authority.issue(&identity, &[]).unwrap().save(dir, "admin").unwrap();
        CredentialPaths {
            ca: dir.join("ca.pem"),
            cert: dir.join("admin.pem"),
            key: dir.join("admin.key"),
        }
    }

    #[test]
    fn loads_what_the_authority_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::load(&files(dir.path())).unwrap();
        assert_eq!(credentials.identity(), Some(&Identity::new(Role::Admin, "test").unwrap()));
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let paths = files(dir.path());
        let other = Authority::load(dir.path()).unwrap();
        let identity = Identity::new(Role::Admin, "other").unwrap();
        fs::write(&paths.key, other.issue(&identity, &[]).unwrap().key_pem).unwrap();
        let loaded = Credentials::load(&paths);
        assert!(matches!(loaded, Err(PkiError::Unusable { .. })), "{loaded:?}");
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = files(dir.path());
        fs::write(&paths.ca, "no PEM").unwrap();
        let error = Credentials::load(&paths).unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
        fs::remove_file(&paths.key).unwrap();
        let error = Credentials::load(&paths).unwrap_err().to_string();
        assert!(error.contains("admin.key"), "{error}");
    }
}
