use std::{net::SocketAddr, path::Path};

use l2sces_grpc::{Channel, Dialer, TlsArgs};
use l2sces_pki::{Authority, Identity, Role};

/// Certificates of one authority.
pub(crate) struct Certificates {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let (authority, directory) = (Authority::create().unwrap(), tempfile::tempdir().unwrap());
        authority.save(directory.path()).unwrap();
        Self { authority, directory }
    }

    /// Where the authority is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Those of who has a role and a name in it, reached on loopback.
    pub(crate) fn args(&self, role: Role, name: &str) -> TlsArgs {
        self.args_of(&Identity::new(role, name).unwrap())
    }

    pub(crate) fn args_of(&self, identity: &Identity) -> TlsArgs {
        let issued = self.authority.issue(identity, &["127.0.0.1".to_owned()]).unwrap();
        let stem = format!("{}-{}", identity.role, identity.name);
        issued.save(self.directory.path(), &stem).unwrap();
        let file = |suffix: &str| self.directory.path().join(format!("{stem}.{suffix}"));
        TlsArgs {
            tls_ca: Some(self.directory.path().join("ca.pem")),
            tls_cert: Some(file("pem")),
            tls_key: Some(file("key")),
            insecure_plaintext: false,
        }
    }

    pub(crate) fn channel(&self, address: SocketAddr, role: Role, name: &str) -> Channel {
        self.channel_of(address, &Identity::new(role, name).unwrap())
    }

    pub(crate) fn channel_of(&self, address: SocketAddr, identity: &Identity) -> Channel {
        let endpoint = format!("https://{address}");
        Dialer::new(&self.args_of(identity)).unwrap().channel(&endpoint).unwrap()
    }
}
