//! The real program asks a real API server, as the service account of the network plugin's pods and with the
//! rights of our manifests, whether a node has left. There are no controllers, and no node.
#![expect(clippy::unwrap_used, reason = "what helps tests may panic as they do")]

use std::{fs, path::Path, time::Duration};

use l2sces_lab::{kubernetes::ApiServer, wait};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// How long the API server may take to know of what has changed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Our manifests.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s/base");

/// A node of an overlay.
const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: a1, labels: {l2sces.l2sm.io/sps: \"true\"}}
";

const STAYS: &str = "error: node a1 has not left\n";

/// An API server that has our plugin, and what a pod of the plugin is known by there.
struct Cluster {
    api: ApiServer,
    /// A kubeconfig for each token.
    credentials: TempDir,
}

#[derive(Debug, PartialEq)]
struct Ran {
    said: String,
    code: Option<i32>,
}

impl Cluster {
    async fn start() -> Self {
        let api = ApiServer::start(&[]).await.unwrap();
        let cluster = Self { api, credentials: tempfile::tempdir().unwrap() };
        cluster.kubectl(&format!("apply --filename {MANIFESTS}/namespace/namespace.yaml")).await;
        cluster.api.kubectl().apply(NODE).await.unwrap();
        cluster
    }

    /// Has the API server run a line of kubectl.
    async fn kubectl(&self, line: &str) {
        self.api.kubectl().run(line.split_whitespace()).await.unwrap();
    }

    /// Has everything of the plugin as it is to be.
    async fn install(&self) {
        self.kubectl(&format!("apply --kustomize {MANIFESTS}/cni")).await;
        self.kubectl("label --overwrite node a1 l2sces.l2sm.io/sps=true").await;
    }

    /// A new token of the plugin's account, in a kubeconfig.
    async fn account(&self, name: &str) -> std::path::PathBuf {
        let raw = "/api/v1/namespaces/l2sces-system/serviceaccounts/cni/token";
        let request =
            r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}"#;
        let kubectl = self.api.kubectl();
        let answer = kubectl.with_input(["create", "--raw", raw, "--filename", "-"], request).await;
        let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
        let token = answer.pointer("/status/token").and_then(Value::as_str).unwrap();
        let administrator = fs::read_to_string(self.api.kubeconfig()).unwrap();
        let path = self.credentials.path().join(name);
        fs::write(&path, administrator.replace(self.api.admin_token(), token)).unwrap();
        path
    }
}

async fn ask(kubeconfig: &Path, flags: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_l2sces"));
    command.env_clear().kill_on_drop(true).args(["cluster", "node-left", "a1", "--kubeconfig"]);
    let output = command.arg(kubeconfig).args(flags).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    Ran { said: String::from_utf8(said).unwrap(), code: output.status.code() }
}

/// It has left, and this is why.
async fn has_left(kubeconfig: &Path, why: &str) {
    let ran = ask(kubeconfig, &[]).await;
    let said = format!("node a1 has left: {why}\n");
    assert_eq!(ran, Ran { said, code: Some(0) });
}

async fn has_not_left(kubeconfig: &Path) {
    let ran = ask(kubeconfig, &[]).await;
    assert_eq!(ran, Ran { said: STAYS.to_owned(), code: Some(1) });
}

/// Waits until an account is answered like this: rights are known a little after they are given or taken.
async fn until(kubeconfig: &Path, code: i32, said: &str) {
    wait::holds(&format!("it is said {said:?}"), PATIENCE, || async {
        let ran = ask(kubeconfig, &[]).await;
        if ran.code == Some(code) && ran.said.contains(said) { Ok(()) } else { Err(ran.said) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_node_has_left_when_its_daemon_set_or_its_label_goes_and_not_otherwise() {
    let cluster = Cluster::start().await;
    cluster.install().await;
    let account = cluster.account("account").await;
    until(&account, 1, STAYS).await;

    cluster.kubectl("label node a1 l2sces.l2sm.io/sps-").await;
    has_left(&account, "Node a1 is not one of an overlay").await;
    cluster.kubectl("delete node a1").await;
    has_left(&account, "Node a1 is gone").await;
    cluster.api.kubectl().apply(NODE).await.unwrap();
    has_not_left(&account).await;

    let of_system = "--namespace l2sces-system daemonset cni";
    let hold = r#"--type=merge --patch={"metadata":{"finalizers":["example.org/held"]}}"#;
    cluster.kubectl(&format!("patch {of_system} {hold}")).await;
    cluster.kubectl(&format!("delete {of_system} --wait=false")).await;
    has_left(&account, "DaemonSet cni is being deleted").await;
    let release = r#"--type=merge --patch={"metadata":{"finalizers":[]}}"#;
    cluster.kubectl(&format!("patch {of_system} {release}")).await;
    has_left(&account, "DaemonSet cni is gone").await;
    cluster.install().await;
    has_not_left(&account).await;

    // Nobody takes away what is in it, as controllers would, in whichever order.
    cluster.kubectl("delete namespace l2sces-system --wait=false").await;
    has_left(&account, "Namespace l2sces-system is being deleted").await;
}

#[tokio::test]
async fn whoever_is_refused_for_good_has_left_and_whoever_is_not_answered_has_not() {
    let mut cluster = Cluster::start().await;
    cluster.install().await;
    let account = cluster.account("account").await;
    until(&account, 1, STAYS).await;

    cluster.api.stop();
    let unanswered = ask(&account, &["--timeout", "2s"]).await;
    assert_eq!(unanswered.code, Some(3), "{unanswered:?}");
    let said = "error: nobody tells whether node a1 has left: ";
    assert!(unanswered.said.starts_with(said), "{unanswered:?}");
    cluster.api.restart().await.unwrap();
    until(&account, 1, STAYS).await;

    for binding in ["rolebinding cni --namespace l2sces-system", "clusterrolebinding l2sces-cni"] {
        cluster.kubectl(&format!("delete {binding}")).await;
        until(&account, 0, ": we are refused: ").await;
        cluster.install().await;
        until(&account, 1, STAYS).await;
    }

    // An API server remembers for a while which tokens were good.
    let unused = cluster.account("unused").await;
    cluster.kubectl("delete serviceaccount cni --namespace l2sces-system").await;
    until(&unused, 0, ": we are refused: Unauthorized").await;
}
