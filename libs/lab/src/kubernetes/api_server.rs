//! An API server of Kubernetes with an etcd of its own, and no more, for tests of what speaks to one.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use l2sces_pki::{Authority, Identity, PkiError, Role};
use rcgen::KeyPair;
use tempfile::TempDir;

use super::{binaries, control_plane, credentials, kubectl::Kubectl, workloads};
use crate::{
    error::{Context, LabError},
    lab, wait,
};

/// The token of an administrator.
const ADMIN: &str = "token-of-the-administrator";

/// Ports below those of connections (`net.ipv4.ip_local_port_range`) and above those of most services.
const UNASSIGNED_PORTS: Range<u16> = 12_000..32_000;
/// How many of them are tried before it is said that there is none.
const PORT_ATTEMPTS: usize = 100;

/// An API server on loopback that knows our custom resources. There are no controllers, so that nothing
/// happens but what a test does. It ends with the value, and with it all that it knows.
pub struct ApiServer {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    store: u16,
    etcd: Child,
    server: Child,
    kubectl: Kubectl,
    ca_pem: String,
}

impl ApiServer {
    /// Starts one that lets users in by their tokens, and an administrator.
    ///
    /// # Errors
    /// The programs cannot be started, or do not become ready.
    pub async fn start(users: &[(&str, &str)]) -> Result<Self, LabError> {
        let io = || "prepare an API server".to_owned();
        let directory = tempfile::tempdir().context(io)?;
        let programs = binaries::directory(&lab::own_directory()?);
        let ca_pem = issue(directory.path())?;
        let users = users.iter().map(|(user, token)| format!("{token},{user},{user},\n"));
        let tokens = format!("{ADMIN},admin,admin,system:masters\n{}", users.collect::<String>());
        fs::write(directory.path().join("tokens.csv"), tokens).context(io)?;
        let [port, store, peers] = [free_port()?, free_port()?, free_port()?];
        let endpoint = format!("https://127.0.0.1:{port}");
        let kubeconfig = directory.path().join("kubeconfig");
        let text =
            credentials::kubeconfig("test", &endpoint, &directory.path().join("ca.pem"), ADMIN);
        fs::write(&kubeconfig, text).context(io)?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let arguments =
            control_plane::etcd_arguments(&directory.path().join("data"), &url(store), &url(peers));
        let etcd = start(Path::new("/usr/bin/etcd"), &arguments, &directory.path().join("etcd"))?;
        let server = start_server(&programs, directory.path(), &url(store), port)?;
        let kubectl = Kubectl::at(&programs, kubeconfig);
        let this = Self { directory, programs, port, store, etcd, server, kubectl, ca_pem };
        this.until_ready().await?;
        this.define().await?;
        Ok(this)
    }

    /// Tells it of our custom resources, and waits until it serves them and has the namespace of those
    /// who name none: it does so some time after it is ready.
    async fn define(&self) -> Result<(), LabError> {
        let crds = workloads::manifests("crds");
        let applied = self.kubectl.run(["apply", "--output", "name", "--kustomize", &crds]).await?;
        let kinds: Vec<_> =
            applied.lines().filter_map(|crd| Some(crd.split_once('/')?.1)).collect();
        let kinds = kinds.join(",");
        self.until_answered("custom resources are served", &["get", &kinds, "--all-namespaces"])
            .await?;
        self.until_answered("a namespace is there", &["get", "namespace", "default"]).await
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate of its authority.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token of an administrator.
    pub fn admin_token(&self) -> &'static str {
        ADMIN
    }

    /// What `kubectl` and clients need to administer it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// `kubectl`, as an administrator.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Ends it; etcd keeps what it has.
    pub fn stop(&mut self) {
        end(&mut self.server);
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// It cannot be started, or does not become ready.
    pub async fn restart(&mut self) -> Result<(), LabError> {
        let store = format!("http://127.0.0.1:{}", self.store);
        self.server = start_server(&self.programs, self.directory.path(), &store, self.port)?;
        self.until_ready().await
    }

    async fn until_ready(&self) -> Result<(), LabError> {
        self.until_answered("the API server is ready", &["get", "--raw", "/readyz"]).await
    }

    /// Waits until `kubectl` gets an answer.
    async fn until_answered(&self, what: &str, arguments: &[&str]) -> Result<(), LabError> {
        wait::holds(what, control_plane::PATIENCE, || async {
            let asked = self.kubectl.run(arguments).await;
            asked.map(drop).map_err(|error| error.to_string())
        })
        .await
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        end(&mut self.server);
        end(&mut self.etcd);
    }
}

/// Makes its certificate, and the key that signs the tokens of service accounts; returns its authority.
fn issue(directory: &Path) -> Result<String, LabError> {
    let issued = || -> Result<(String, KeyPair), PkiError> {
        let authority = Authority::create()?;
        authority.save(directory)?;
        let identity = Identity::new(Role::Admin, "api-server")?;
        authority.issue(&identity, &["127.0.0.1".to_owned()])?.save(directory, "api")?;
        Ok((authority.certificate_pem().to_owned(), KeyPair::generate()?))
    };
    let (ca_pem, accounts) = issued().map_err(|error| LabError::Certificates(error.to_string()))?;
    for (name, pem) in
        [("accounts.key", accounts.serialize_pem()), ("accounts.pub", accounts.public_key_pem())]
    {
        let path = directory.join(name);
        fs::write(&path, pem).context(|| format!("write {}", path.display()))?;
    }
    Ok(ca_pem)
}

fn start_server(
    programs: &Path,
    directory: &Path,
    etcd: &str,
    port: u16,
) -> Result<Child, LabError> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut arguments = control_plane::api_server_arguments(&control_plane::ApiServerFiles {
        certificate: file("api.pem"),
        key: file("api.key"),
        accounts: [file("accounts.pub"), file("accounts.key")],
        tokens: file("tokens.csv"),
    });
    arguments.extend([
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        // There is nobody to make the accounts that pods would have.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        format!("--cert-dir={}", file("certificates")),
    ]);
    start(&programs.join("kube-apiserver"), &arguments, &directory.join("kube-apiserver.log"))
}

fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Child, LabError> {
    let what = || format!("start {}", program.display());
    // It ends with a test that is killed, too.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(log.with_extension("log")).context(what)?)
        .spawn()
        .context(what)
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A port of loopback that nobody has, and that is given to this process only once. As nobody keeps it
/// until it is used, it is none of those that the kernel gives to whoever connects.
///
/// # Errors
/// None is found.
pub fn free_port() -> Result<u16, LabError> {
    static TRIED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let what = || "find a free port".to_owned();
    let mut bound = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..PORT_ATTEMPTS {
        let port = rand::random_range(UNASSIGNED_PORTS);
        if !TRIED.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            continue;
        }
        bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|_| port);
        if bound.is_ok() {
            break;
        }
    }
    bound.context(what)
}
