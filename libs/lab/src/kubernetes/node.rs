//! A node: a process with namespaces of every kind, and containerd, kubelet and kube-proxy in it.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path};

use tokio::process::Command;

use super::{
    cgroups,
    image::PAUSE,
    layout::{KubernetesCluster, KubernetesNode},
};
use crate::{
    command,
    error::{Context, LabError},
    layout::Layout,
    process::{ProcessSpec, Supervisor},
    unit::Unit,
};

/// What the node's process runs.
const SCRIPT: &str = include_str!("node.sh");

/// Starts a node. The images that it is to have must be packed.
pub(super) async fn up(
    layout: &Layout,
    cluster: &KubernetesCluster,
    node: &KubernetesNode,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    fs::create_dir_all(&node.directory).context(|| format!("make {}", node.directory.display()))?;
    for (name, text) in [
        ("node.sh", SCRIPT.to_owned()),
        ("address", node.address.to_string()),
        ("10-pods.conflist", pod_network(node)),
        ("containerd.toml", containerd()),
        ("kubelet.yaml", kubelet(cluster, node)),
    ] {
        let path = node.directory.join(name);
        fs::write(&path, text).context(|| format!("write {}", path.display()))?;
    }
    cgroups::create(&node.namespace)?;
    supervisor.add(process(layout, node)).await
}

/// How the node's process is started.
fn process(layout: &Layout, node: &KubernetesNode) -> ProcessSpec {
    let unit = Unit::KubernetesNode(node.name.clone());
    let log = layout.log(&unit);
    let path = |path: &Path| path.display().to_string();
    ProcessSpec {
        program: "/bin/sh".into(),
        arguments: vec![
            path(&node.directory.join("node.sh")),
            "outside".to_owned(),
            node.name.clone(),
            path(&node.directory),
            node.namespace.clone(),
            path(&layout.kubernetes.binaries),
            log.parent().map(path).unwrap_or_default(),
        ],
        environment: BTreeMap::new(),
        namespace: Some(node.namespace.clone()),
        user: None,
        log,
        unit,
    }
}

/// A command in all namespaces of a node, whose process has this id.
pub(crate) fn command(process: i32, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
    let children = format!("/proc/{process}/task/{process}/children");
    let init = fs::read_to_string(&children).context(|| format!("read {children}"))?;
    let mut command = command::command("nsenter");
    command.args(["--target", init.trim(), "--mount", "--uts", "--ipc", "--net", "--pid"]);
    command.args(["--cgroup", "--"]).arg(program);
    Ok(command)
}

/// Pods have a bridge on their node and, through it, routes to everywhere.
fn pod_network(node: &KubernetesNode) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": node.pod_network }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
    .to_string()
}

fn containerd() -> String {
    // Lowering what the kernel's killer thinks of a process needs CAP_SYS_RESOURCE, which is not to
    // be had everywhere; there is no AppArmor in a namespace, and huge pages have no group.
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"#
    )
}

fn kubelet(cluster: &KubernetesCluster, node: &KubernetesNode) -> String {
    format!(
        r#"kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
address: {}
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
clusterDNS: [{}]
cgroupDriver: cgroupfs
failSwapOn: false
clusterDomain: cluster.local
resolvConf: ""
nodeStatusUpdateFrequency: 5s
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%"}}
imageGCHighThresholdPercent: 100
"#,
        node.address, cluster.address
    )
}
