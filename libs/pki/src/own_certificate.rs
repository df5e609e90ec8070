use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use crate::{
    Identity, PkiError,
    pem::{certificates, read},
    summarize,
};

/// Shortest time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificate that a process shows, and its key: as the files have them, which may be renewed while
/// the process runs. They are looked at when a connection is made, so that whoever makes none reads
/// nothing; a connection that is there stays as it is.
pub(crate) struct OwnCertificate {
    cert: PathBuf,
    key: PathBuf,
    verifier: Arc<dyn ClientCertVerifier>,
    /// That of the certificate that was read first.
    identity: Option<Identity>,
    state: Mutex<State>,
}

struct State {
    pem: OwnPem,
    certified: Arc<CertifiedKey>,
    looked_at: Instant,
    /// Why the files were of no use at the last look; told once.
    fault: Option<String>,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OwnPem {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl OwnCertificate {
    /// Reads and checks the files; whether the certificate is one of the verifier's authority does not
    /// matter.
    pub(crate) fn load(
        cert: &Path,
        key: &Path,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<Self, PkiError> {
        let pem = OwnPem::read(cert, key)?;
        let certified = pem.certified(cert, key)?;
        let state =
            State { pem, certified: certified.into(), looked_at: Instant::now(), fault: None };
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            verifier,
            identity: state.pem.identity(),
            state: Mutex::new(state),
        })
    }

    /// The identity, which a renewed certificate has as well; it may have come to name its cluster.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What the files held at the last look.
    pub(crate) fn pem(&self) -> OwnPem {
        self.state().pem.clone()
    }

    /// Whether it is one of the authority, and valid now.
    pub(crate) fn is_certified(&self) -> bool {
        self.certifies(&self.state().certified)
    }

    fn certifies(&self, certified: &CertifiedKey) -> bool {
        self.verifies(&certified.cert)
    }

    /// Whether a certificate in PEM is one of the authority, and valid now.
    pub(crate) fn accepts(&self, pem: &str) -> bool {
        certificates(pem, &self.cert).is_ok_and(|chain| self.verifies(&chain))
    }

    fn verifies(&self, chain: &[CertificateDer<'_>]) -> bool {
        chain.split_first().is_some_and(|(own, others)| {
            self.verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
        })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut state = self.state();
        if state.looked_at.elapsed() >= LOOK_INTERVAL {
            state.looked_at = Instant::now();
            self.look(&mut state);
        }
        Arc::clone(&state.certified)
    }

    /// Takes over what the files hold by now, unless it is of no use. Two files are not replaced at
    /// once: for a moment they may not belong together.
    fn look(&self, state: &mut State) {
        let fault = match self.renewed(&state.pem) {
            Ok(None) => None,
            Ok(Some((pem, certified))) => {
                tracing::info!(certificate = %self.cert.display(), "shows a renewed certificate");
                (state.pem, state.certified) = (pem, certified.into());
                None
            }
            Err(fault) => Some(fault),
        };
        if let Some(fault) = fault.as_ref().filter(|fault| state.fault.as_ref() != Some(fault)) {
            tracing::warn!(%fault, "goes on with the certificate that it has");
        }
        state.fault = fault;
    }

    /// What the files hold, if it is another certificate; or why it cannot be used.
    fn renewed(&self, known: &OwnPem) -> Result<Option<(OwnPem, CertifiedKey)>, String> {
        let pem = OwnPem::read(&self.cert, &self.key).map_err(|error| error.to_string())?;
        if pem == *known {
            return Ok(None);
        }
        let certified = pem.certified(&self.cert, &self.key).map_err(|error| error.to_string())?;
        let path = self.cert.display();
        let is_of_holder = match (pem.identity(), known.identity()) {
            (Some(renewed), Some(former)) => renewed.succeeds(&former),
            (renewed, former) => renewed == former,
        };
        if !is_of_holder {
            return Err(format!("{path} is a certificate of another identity"));
        }
        if !self.certifies(&certified) {
            return Err(format!("{path} is no valid certificate of the authority"));
        }
        Ok(Some((pem, certified)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Both are asked in the middle of a handshake, and must answer at once: two small files are read no
// slower than the handshake's own cryptography takes.
impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Without the key.
impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Whether a certificate is one of a key, both in PEM. Two files are not replaced at once: whoever
/// replaced them may have died in between.
pub fn belong_together(cert_pem: &str, key_pem: &str) -> bool {
    let pem = OwnPem { cert: cert_pem.to_owned(), key: key_pem.to_owned() };
    pem.certified(Path::new(""), Path::new("")).is_ok()
}

impl OwnPem {
    fn read(cert: &Path, key: &Path) -> Result<Self, PkiError> {
        Ok(Self { cert: read(cert)?, key: read(key)? })
    }

    fn identity(&self) -> Option<Identity> {
        summarize(&self.cert)?.identity
    }

    /// Certificate and key, as TLS uses them.
    fn certified(&self, cert: &Path, key: &Path) -> Result<CertifiedKey, PkiError> {
        let chain = certificates(&self.cert, cert)?;
        let private_key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| PkiError::Pem { path: key.to_owned(), wanted: "private key" })?;
        CertifiedKey::from_der(chain, private_key, &ring::default_provider()).map_err(|error| {
            PkiError::Unusable {
                certificate: cert.to_owned(),
                key: key.to_owned(),
                reason: error.to_string(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, RootCertStore, ServerConnection, server::WebPkiClientVerifier};
    use rustls_pki_types::ServerName;

    use super::*;
    use crate::{Authority, CredentialPaths, Credentials};

    /// A directory with an authority, and a certificate of it.
    struct Files {
        dir: tempfile::TempDir,
        authority: Authority,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = Self { authority: Authority::create().unwrap(), dir };
            files.authority.save(files.dir.path()).unwrap();
            files.issue(&files.authority, "a1");
            files
        }

        /// Puts another certificate in the place of that which is there.
        fn issue(&self, authority: &Authority, name: &str) {
            let identity = format!("spiffe://l2sces/sps-agent/{name}").parse().unwrap();
            let issued = authority.issue(&identity, &["localhost".to_owned()]).unwrap();
            issued.save(self.dir.path(), "own").unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn credentials(&self) -> Credentials {
            let [ca, cert, key] = ["ca.pem", "own.pem", "own.key"].map(|name| self.path(name));
            Credentials::load(&CredentialPaths { ca, cert, key }).unwrap()
        }

        fn own(&self) -> OwnCertificate {
            let mut roots = RootCertStore::empty();
            let authority = CertificateDer::from_pem_file(self.path("ca.pem")).unwrap();
            roots.add(authority).unwrap();
            let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
            OwnCertificate::load(&self.path("own.pem"), &self.path("own.key"), verifier).unwrap()
        }

        fn certificate(&self) -> CertificateDer<'static> {
            CertificateDer::from_pem_file(self.path("own.pem")).unwrap()
        }
    }

    /// The certificates that client and server see of each other when they shake hands.
    fn shown(credentials: &Credentials) -> [CertificateDer<'static>; 2] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(credentials.client_config(), name).unwrap();
        let mut server = ServerConnection::new(credentials.server_config()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        [client.peer_certificates(), server.peer_certificates()]
            .map(|seen| seen.unwrap()[0].clone())
    }

    #[test]
    fn a_renewed_certificate_is_shown_by_both_ends() {
        let files = Files::new();
        let credentials = files.credentials();
        let first = files.certificate();
        assert_eq!(shown(&credentials), [first.clone(), first.clone()]);
        files.issue(&files.authority, "a1");
        let second = files.certificate();
        assert_ne!(first, second);
        let begun = Instant::now();
        while shown(&credentials) != [second.clone(), second.clone()] {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
        let (cert_pem, _) = credentials.own_pem();
        assert_eq!(cert_pem, std::fs::read_to_string(files.path("own.pem")).unwrap());
    }

    #[test]
    fn what_is_of_no_use_is_not_taken_over() {
        let files = Files::new();
        let own = files.own();
        let known = own.pem();
        let fault = || own.renewed(&known).err().unwrap();
        assert!(own.renewed(&known).unwrap().is_none());

        files.issue(&files.authority, "a2");
        assert!(fault().contains("another identity"), "{}", fault());
        files.issue(&Authority::create().unwrap(), "a1");
        assert!(fault().contains("no valid certificate of the authority"), "{}", fault());
        // Half of a renewal.
        std::fs::write(files.path("own.key"), &known.key).unwrap();
        assert!(fault().contains("cannot use certificate"), "{}", fault());
        std::fs::remove_file(files.path("own.key")).unwrap();
        assert!(fault().contains("cannot read"), "{}", fault());

        let before = own.current();
        own.look(&mut own.state());
        assert!(Arc::ptr_eq(&before, &own.current()));
        files.issue(&files.authority, "a1");
        own.look(&mut own.state());
        assert_eq!(own.current().cert, [files.certificate()]);
    }

    #[test]
    fn a_renewed_certificate_may_come_to_name_the_cluster() {
        let files = Files::new();
        let own = files.own();
        files.issue(&files.authority, "a/a1");
        own.look(&mut own.state());
        assert_eq!(own.current().cert, [files.certificate()]);
        let known = own.pem();
        for other in ["b/a1", "a1"] {
            files.issue(&files.authority, other);
            let fault = own.renewed(&known).err().unwrap();
            assert!(fault.contains("another identity"), "{other}: {fault}");
        }
    }
}
