//! A real API server of Kubernetes with an etcd of its own, without nodes.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use k8s_openapi::{
    api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Config, api::PostParams, config::AuthInfo};
use l2sces_custom_resources::{GROUP, definitions};
use l2sces_pki::{Authority, Identity, Role as PkiRole};
use tokio::time::{Instant, sleep};

/// Who may do everything.
const ADMIN: &str = "token-of-the-administrator";
/// The slice-manager, which may do what it must.
pub(crate) const MANAGER: &str = "token-of-the-slice-manager";
/// The slice-manager's next token.
pub(crate) const NEXT: &str = "another-token-of-the-slice-manager";

/// Longest that it may take to start: on a busy machine, minutes.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct ApiServer {
    directory: tempfile::TempDir,
    port: u16,
    etcd: Child,
    server: Child,
    pub(crate) ca_pem: String,
}

impl ApiServer {
    /// Starts both, with our custom resources and the slice-manager's permissions.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        authority.save(directory.path()).unwrap();
        let identity = Identity::new(PkiRole::Admin, "api-server").unwrap();
        let issued = authority.issue(&identity, &["127.0.0.1".to_owned()]).unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file("api.pem"), issued.cert_pem).unwrap();
        fs::write(file("api.key"), issued.key_pem).unwrap();
        let accounts = rcgen::KeyPair::generate().unwrap();
        fs::write(file("accounts.key"), accounts.serialize_pem()).unwrap();
        fs::write(file("accounts.pub"), accounts.public_key_pem()).unwrap();
        let tokens = format!(
            "{ADMIN},admin,admin,system:masters\n{MANAGER},slice-manager,m,\n{NEXT},slice-manager,n,\n"
        );
        fs::write(file("tokens.csv"), tokens).unwrap();
        let [clients, peers] = [free_port(), free_port()];
        let etcd = start_etcd(directory.path(), clients, peers);
        fs::write(file("etcd"), clients.to_string()).unwrap();
        let port = free_port();
        let server = start_server(directory.path(), clients, port);
        let ca_pem = fs::read_to_string(file("ca.pem")).unwrap();
        let this = Self { directory, port, etcd, server, ca_pem };
        this.until_ready().await;
        this.install().await;
        this
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self) -> Client {
        let mut config = Config::new(self.endpoint().parse().unwrap());
        let pem = rustls_pki_types::pem::PemObject::from_pem_slice(self.ca_pem.as_bytes());
        let der: rustls_pki_types::CertificateDer<'_> = pem.unwrap();
        config.root_cert = Some(vec![der.to_vec()]);
        config.auth_info = AuthInfo { token: Some(ADMIN.to_owned().into()), ..AuthInfo::default() };
        Client::try_from(config).unwrap()
    }

    /// Ends the API server; etcd keeps what it has.
    pub(crate) fn stop(&mut self) {
        end(&mut self.server);
    }

    /// Starts it again, where it was.
    pub(crate) async fn restart(&mut self) {
        let clients = fs::read_to_string(self.directory.path().join("etcd")).unwrap();
        self.server = start_server(self.directory.path(), clients.parse().unwrap(), self.port);
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        let request = || http::Request::get("/readyz").body(Vec::new()).unwrap();
        while let Err(error) = self.admin().request_text(request()).await {
            assert!(Instant::now() < deadline, "the API server is not ready: {error}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn install(&self) {
        let created = PostParams::default();
        let api: Api<CustomResourceDefinition> = Api::all(self.admin());
        for definition in definitions() {
            api.create(&created, &definition).await.unwrap();
        }
        let named =
            || ObjectMeta { name: Some("slice-manager".to_owned()), ..ObjectMeta::default() };
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        let resources = ["overlays", "networkedgedevices", "l2networks"];
        let rule = PolicyRule {
            api_groups: Some(vec![GROUP.to_owned()]),
            resources: Some(resources.map(str::to_owned).into()),
            verbs: verbs.map(str::to_owned).into(),
            ..PolicyRule::default()
        };
        let role = Role { metadata: named(), rules: Some(vec![rule]) };
        Api::default_namespaced(self.admin()).create(&created, &role).await.unwrap();
        let subject = Subject {
            kind: "User".to_owned(),
            name: "slice-manager".to_owned(),
            ..Subject::default()
        };
        let role_ref = RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: "slice-manager".to_owned(),
        };
        let binding = RoleBinding { metadata: named(), role_ref, subjects: Some(vec![subject]) };
        Api::default_namespaced(self.admin()).create(&created, &binding).await.unwrap();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        end(&mut self.server);
        end(&mut self.etcd);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start_etcd(directory: &Path, clients: u16, peers: u16) -> Child {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    Command::new("/usr/bin/etcd")
        .arg(format!("--data-dir={}", directory.join("data").display()))
        .arg(format!("--listen-client-urls={}", url(clients)))
        .arg(format!("--advertise-client-urls={}", url(clients)))
        .arg(format!("--listen-peer-urls={}", url(peers)))
        .arg(format!("--initial-advertise-peer-urls={}", url(peers)))
        .arg(format!("--initial-cluster=default={}", url(peers)))
        .arg("--unsafe-no-fsync")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn start_server(directory: &Path, etcd: u16, port: u16) -> Child {
    let file = |name: &str| directory.join(name).display().to_string();
    Command::new(programs().join("kube-apiserver"))
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={port}"))
        .arg(format!("--tls-cert-file={}", file("api.pem")))
        .arg(format!("--tls-private-key-file={}", file("api.key")))
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .arg(format!("--service-account-key-file={}", file("accounts.pub")))
        .arg(format!("--service-account-signing-key-file={}", file("accounts.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"])
        // There is nobody to make the accounts that pods would have.
        .arg("--disable-admission-plugins=ServiceAccount")
        .arg(format!("--cert-dir={}", file("certificates")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join("kube-apiserver.log")).unwrap())
        .spawn()
        .unwrap()
}

/// The programs of Kubernetes: where the environment says, or where `cargo xtask test` builds them.
fn programs() -> PathBuf {
    let named = ["L2SCES_KUBERNETES_BINARIES", "KUBEBUILDER_ASSETS"].into_iter();
    let named = named.filter_map(env::var_os).map(PathBuf::from).next();
    named.unwrap_or_else(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_slice-manager")).ancestors().nth(2);
        target.unwrap().join("kubernetes/1.20.2")
    })
}
