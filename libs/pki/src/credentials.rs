use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::{
    Identity, PkiError,
    own_certificate::OwnCertificate,
    pem::{authorities, read},
};

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
/// clone. A certificate that is renewed in its file is shown from then on; the authority is the one
/// that was read.
#[derive(Clone)]
pub struct Credentials {
    ca_pem: Arc<str>,
    own: Arc<OwnCertificate>,
    server: Arc<ServerConfig>,
    open_server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Credentials {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// A file cannot be read, does not hold what it should, or certificate and key do not belong
    /// together.
    pub fn load(paths: &CredentialPaths) -> Result<Self, PkiError> {
        install_crypto_provider();
        let ca_pem = read(&paths.ca)?;
        let roots = Arc::new(authorities(&ca_pem, &paths.ca)?);
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots))
            .build()
            .map_err(|_| PkiError::Pem { path: paths.ca.clone(), wanted: "authority" })?;
        let own = OwnCertificate::load(&paths.cert, &paths.key, Arc::clone(&verifier))?;
        let own = Arc::new(own);
        // Every connection begins with certificates that are valid by then: none takes up the session of
        // one before, in which nobody shows any.
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(own.clone());
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let open_server =
            ServerConfig::builder().with_no_client_auth().with_cert_resolver(own.clone());
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_cert_resolver(own.clone());
        client.resumption = Resumption::disabled();
        Ok(Self {
            ca_pem: ca_pem.into(),
            own,
            server: Arc::new(server),
            open_server: Arc::new(open_server),
            client: Arc::new(client),
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

    /// Certificate of the authority, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The own certificate and its private key, PEM.
    pub fn own_pem(&self) -> (String, String) {
        let own = self.own.pem();
        (own.cert, own.key)
    }

    /// Whether the own certificate is one of the authority, and valid now.
    pub fn is_certified(&self) -> bool {
        self.own.is_certified()
    }

    /// Whether a certificate of an authority (PEM) would be accepted of a peer.
    pub fn accepts(&self, cert_pem: &str) -> bool {
        self.own.accepts(cert_pem)
    }

    /// The own identity, if the own certificate has one.
    pub fn identity(&self) -> Option<&Identity> {
        self.own.identity()
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

/// Makes `ring` the process's provider of cryptography; may be called any number of times.
pub fn install_crypto_provider() {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// For the connecting end of a process that has no certificate: the server must show one of the authority
/// in the file `ca`, with the name or address that it is reached by. No ALPN: add the protocol where there
/// is one.
///
/// # Errors
/// The file cannot be read, or holds no authority.
pub fn anonymous_client_config(ca: &Path) -> Result<Arc<ClientConfig>, PkiError> {
    install_crypto_provider();
    let roots = authorities(&read(ca)?, ca)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let authority = fs::read(&paths.ca).unwrap();
        fs::write(&paths.ca, "no PEM").unwrap();
        let error = Credentials::load(&paths).unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
        fs::write(&paths.ca, authority).unwrap();
        fs::remove_file(&paths.key).unwrap();
        let error = Credentials::load(&paths).unwrap_err().to_string();
        assert!(error.contains("admin.key"), "{error}");
    }
}
