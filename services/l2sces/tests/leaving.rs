//! The real program has a cluster leave while parts of it are away, against a real API server. There are no
//! controllers, and no node.
#![expect(clippy::unwrap_used, reason = "what helps tests may panic as they do")]

use l2sces_lab::kubernetes::ApiServer;
use tokio::process::Command;

/// Where no slice-manager listens.
const AWAY: [&str; 2] = ["--endpoint", "http://127.0.0.1:1"];

/// A pod of ours on a node that is away, something of another's that has our label, and an API whose server is
/// away.
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: l2sces-system}
---
apiVersion: v1
kind: Pod
metadata:
  name: sps-agent-1
  namespace: l2sces-system
  labels: {app: sps-agent, app.kubernetes.io/part-of: l2sces}
spec:
  nodeName: away
  containers: [{name: sps-agent, image: l2sces}]
---
apiVersion: v1
kind: Secret
metadata:
  name: anothers
  namespace: default
  labels: {app.kubernetes.io/part-of: l2sces}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: kube-system, name: metrics-server}
";

/// The settings of a cluster, and something else of ours that does not go.
const HELD: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: l2sces
  namespace: l2sces-system
  labels: {app.kubernetes.io/part-of: l2sces}
data: {L2SCES_CLUSTER: a}
---
apiVersion: v1
kind: Secret
metadata:
  name: l2sces-issuer
  namespace: l2sces-system
  labels: {app.kubernetes.io/part-of: l2sces}
  finalizers: [example.org/held]
";

/// A network of the cluster's own, and one that a slice is made of.
const NETWORKS: &str = "
apiVersion: l2sm.l2sm.k8s.local/v1
kind: L2Network
metadata: {name: own, namespace: default}
spec: {type: vnet}
---
apiVersion: l2sces.l2sm.io/v1
kind: SliceNetwork
metadata: {name: of-a-slice, namespace: default}
spec: {type: vnet, clusters: [a]}
";

/// By which a cluster knows that it has joined.
const SETTINGS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: l2sces-system}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: l2sces
  namespace: l2sces-system
  labels: {app.kubernetes.io/part-of: l2sces}
data: {L2SCES_CLUSTER: a}
";

#[derive(Debug)]
struct Ran {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

/// `l2sces cluster leave`, without definitions: only controllers take those away.
async fn leave(api: &ApiServer, flags: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_l2sces"));
    command.env_clear().env("L2SCES_INSECURE_PLAINTEXT", "true").kill_on_drop(true);
    command.args(["cluster", "leave", "a", "--keep-crds", "--timeout", "1s", "--kubeconfig"]);
    let output = command.arg(api.kubeconfig()).args(flags).output().await.unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

#[tokio::test]
async fn what_is_away_for_good_is_told_and_given_up_by_force_alone() {
    let api = ApiServer::start(&[]).await.unwrap();
    api.kubectl().apply(OBJECTS).await.unwrap();
    let pod = ["delete", "pod", "sps-agent-1", "--namespace=l2sces-system", "--wait=false"];
    api.kubectl().run(pod).await.unwrap();

    let planned = leave(&api, &[&AWAY[..], &["--dry-run"]].concat()).await;
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(planned.stdout.contains("Pod l2sces-system/sps-agent-1"), "{planned:?}");
    for unseen in ["API group metrics.k8s.io/v1beta1: ", "slice-manager (cannot reach "] {
        assert!(planned.stderr.contains(&format!("not looked at: {unseen}")), "{planned:?}");
    }

    let without_manager = leave(&api, &AWAY).await;
    assert_eq!(without_manager.code, Some(1), "{without_manager:?}");
    assert!(without_manager.stderr.contains("--force leaves without"), "{without_manager:?}");
    let without_node = leave(&api, &[]).await;
    assert_eq!(without_node.code, Some(3), "{without_node:?}");
    assert!(without_node.stderr.contains("has not ended (--force gives it up"), "{without_node:?}");

    let forced = leave(&api, &[&AWAY[..], &["--force"]].concat()).await;
    assert!(forced.stderr.contains("given up: cannot reach http://127.0.0.1:1"), "{forced:?}");
    let pods = ["get", "pods", "--all-namespaces", "--output=name"];
    assert_eq!(api.kubectl().run(pods).await.unwrap(), "", "{forced:?}");
    assert!(forced.stdout.contains("Secret default/anothers"), "{forced:?}");
    assert!(forced.stderr.contains("1 things are left"), "{forced:?}");
    api.kubectl().run(["delete", "secret", "anothers"]).await.unwrap();

    let again = leave(&api, &[]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(again.stdout, "nothing is left of cluster a where it was looked\n");

    api.kubectl().apply(HELD).await.unwrap();
    let held = leave(&api, &[]).await;
    assert_eq!(held.code, Some(3), "{held:?}");
    assert!(held.stderr.contains("Secret l2sces-system/l2sces-issuer is there"), "{held:?}");
    let settings = ["get", "configmap", "l2sces", "--namespace=l2sces-system", "--output"];
    let deletion = ["jsonpath={.metadata.name} {.metadata.deletionTimestamp}"];
    let settings = [&settings[..], &deletion].concat();
    let settings = api.kubectl().run(settings).await.unwrap();
    assert_eq!(settings.trim(), "l2sces", "the settings go last");
}

#[tokio::test]
async fn networks_of_a_cluster_that_never_joined_and_of_slices_stay() {
    let api = ApiServer::start(&[]).await.unwrap();
    api.kubectl().apply(NETWORKS).await.unwrap();
    let networks = async || {
        let networks = ["get", "l2networks,slicenetworks", "--output=name"];
        let names = api.kubectl().run(networks).await.unwrap();
        names.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = networks().await;
    assert_eq!(all.len(), 2, "{all:?}");
    let anothers = leave(&api, &[]).await;
    assert_eq!(anothers.code, Some(2), "{anothers:?}");
    let refusal = "never joined as a, and has 1 custom resources, such as L2Network default/own";
    assert!(anothers.stderr.contains(refusal), "{anothers:?}");
    assert_eq!(networks().await, all);

    api.kubectl().apply(SETTINGS).await.unwrap();
    // Without controllers the settings do not go.
    let begun = leave(&api, &[]).await;
    assert_eq!(begun.code, Some(3), "{begun:?}");
    assert_eq!(networks().await, all[1..]);
    let left = leave(&api, &["--dry-run"]).await;
    let slices = left.stdout.lines().find(|line| line.contains("SliceNetwork default/of-a-slice"));
    assert!(slices.is_some_and(|line| line.contains("it is not removed")), "{left:?}");
}
