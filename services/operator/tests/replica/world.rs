//! An API server, and operators for it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use l2sces_lab::{
    kubernetes::{ApiServer, free_port},
    wait,
};
use l2sces_pki::{Authority, Identity, Role};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long anything may take to become as wanted: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The namespace that operators run in.
pub(crate) const SYSTEM: &str = "l2sces-system";

/// An API server that knows our custom resources, and an authority for certificates.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) authority: Authority,
    /// Where its sco-provider would listen, on loopback.
    pub(crate) sco_provider: u16,
    directory: tempfile::TempDir,
}

/// A replica of the operator; killed when dropped.
pub(crate) struct Operator {
    process: Child,
    /// Where it serves its API, reviews and certificates on loopback.
    pub(crate) listen: u16,
    pub(crate) reviews: u16,
    pub(crate) issuer: u16,
}

impl World {
    pub(crate) async fn start() -> Self {
        let api = ApiServer::start(&[]).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(directory.path()).unwrap();
        let identity = Identity::new(Role::Operator, "a").unwrap();
        let issued = authority.issue(&identity, &["127.0.0.1".to_owned()]).unwrap();
        issued.save(directory.path(), "operator").unwrap();
        let sco_provider = free_port().unwrap();
        let world = Self { api, authority, sco_provider, directory };
        world.run(&["create", "namespace", SYSTEM]).await;
        world
    }

    /// Directory of the authority.
    pub(crate) fn pki(&self) -> &Path {
        self.directory.path()
    }

    /// File of the authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Starts a replica of the operator.
    pub(crate) fn operator(&self, replica: &str) -> Operator {
        let [listen, reviews, issuer] = [(); 3].map(|()| free_port().unwrap());
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let local = |port: u16| format!("127.0.0.1:{port}");
        let nobody = format!("https://{}", local(free_port().unwrap()));
        let process = Command::new(env!("CARGO_BIN_EXE_operator"))
            .args(["--cluster", "a", "--replica", replica, "--log-filter", "info"])
            .args(["--sdn-controller", &nobody])
            .args(["--sco-provider", &format!("https://{}", local(self.sco_provider))])
            .args(["--listen", &local(listen), "--webhook-listen", &local(reviews)])
            .args(["--issuer-listen", &local(issuer)])
            .args(["--tls-ca", &file("ca.pem"), "--tls-cert", &file("operator.pem")])
            .args(["--tls-key", &file("operator.key")])
            .env("KUBECONFIG", self.api.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(file(&format!("{replica}.log"))).unwrap())
            .spawn()
            .unwrap();
        Operator { process, listen, reviews, issuer }
    }

    pub(crate) async fn apply(&self, manifests: &str) {
        self.api.kubectl().apply(manifests).await.unwrap();
    }

    /// What `kubectl` prints.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        self.api.kubectl().run(arguments).await.unwrap()
    }

    /// Waits until what `kubectl` prints is as wanted.
    pub(crate) async fn until(
        &self,
        arguments: &[&str],
        is_wanted: impl Fn(&str) -> bool,
    ) -> String {
        wait::holds(&format!("{arguments:?} is as wanted"), PATIENCE, || async {
            let printed = self.api.kubectl().run(arguments).await;
            let printed = printed.map_err(|error| error.to_string())?;
            if is_wanted(&printed) { Ok(printed) } else { Err(printed) }
        })
        .await
        .unwrap()
    }

    /// Waits until a replica leads that is wanted; its name.
    pub(crate) async fn leader(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let holder = "jsonpath={.items[*].spec.holderIdentity}";
        let ask = ["--namespace", SYSTEM, "get", "leases", "--output", holder];
        self.until(&ask, |holder| !holder.is_empty() && is_wanted(holder)).await
    }
}

impl Operator {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
