//! A control plane: etcd, API server, controllers, scheduler and DNS in a network namespace.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{kubectl::Kubectl, layout::KubernetesCluster};
use crate::{
    error::{Context, LabError},
    layout::Layout,
    process::{ProcessSpec, Supervisor},
    unit::Unit,
    wait,
};

/// How long a component may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(360);

/// Answers for the names of services.
const DNS_SCRIPT: &str = include_str!("dns.sh");

/// Where etcd listens, in the control plane's own namespace.
const ETCD_CLIENTS: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Starts a control plane and waits until its API server is ready.
pub(super) async fn up(
    layout: &Layout,
    cluster: &KubernetesCluster,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    let data = cluster.directory.join("etcd");
    fs::create_dir_all(&data).context(|| format!("make {}", data.display()))?;
    supervisor.add(etcd(layout, cluster)).await?;
    supervisor.add(kube_apiserver(layout, cluster)).await?;
    let unit = Unit::KubeApiserver(cluster.name.clone());
    let kubectl = Kubectl::new(layout, cluster);
    wait::holds(&format!("{unit} is ready"), PATIENCE, || async {
        if let Err(error) = supervisor.check_alive(&unit) {
            return Ok(Err(error));
        }
        let asked = kubectl.run(["get", "--raw", "/readyz"]).await;
        asked.map(|_| Ok(())).map_err(|error| error.to_string())
    })
    .await??;
    if cluster.nodes.is_empty() {
        return Ok(());
    }
    supervisor.add(kube_controller_manager(layout, cluster)).await?;
    supervisor.add(kube_scheduler(layout, cluster)).await?;
    cluster_dns(layout, cluster, supervisor).await
}

/// Gives the nodes what an installer would, and waits until they are ready.
pub(super) async fn admit_nodes(
    layout: &Layout,
    cluster: &KubernetesCluster,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    let kubectl = Kubectl::new(layout, cluster);
    let mut bind: Vec<_> =
        ["create", "clusterrolebinding", "kube-proxy", "--clusterrole=system:node-proxier"]
            .map(str::to_owned)
            .into();
    bind.extend(cluster.nodes.iter().map(|node| format!("--user=system:node:{}", node.name)));
    kubectl.run(bind).await?;
    for node in &cluster.nodes {
        let unit = Unit::KubernetesNode(node.name.clone());
        wait::holds(&format!("node {} is ready", node.name), PATIENCE, || async {
            if let Err(error) = supervisor.check_alive(&unit) {
                return Ok(Err(error));
            }
            let ready = "jsonpath={.status.conditions[?(@.type=='Ready')]}";
            let condition = kubectl.run(["get", "node", &node.name, "-o", ready]).await;
            let condition = condition.map_err(|error| error.to_string())?;
            if condition.contains(r#""status":"True""#) { Ok(Ok(())) } else { Err(condition) }
        })
        .await??;
    }
    if let Some(first) = cluster.nodes.first() {
        // The nodes of a lab are alike; one of them stands for those that the control plane is on.
        let label = "node-role.kubernetes.io/control-plane=";
        kubectl.run(["label", "node", &first.name, label]).await?;
    }
    Ok(())
}

fn etcd(layout: &Layout, cluster: &KubernetesCluster) -> ProcessSpec {
    let data = cluster.directory.join("etcd");
    let arguments = vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={ETCD_CLIENTS}"),
        format!("--advertise-client-urls={ETCD_CLIENTS}"),
        format!("--listen-peer-urls={ETCD_PEERS}"),
        format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
        format!("--initial-cluster=default={ETCD_PEERS}"),
        // The data need to survive a crash of etcd, not one of the machine.
        "--unsafe-no-fsync".to_owned(),
    ];
    let unit = Unit::Etcd(cluster.name.clone());
    process(layout, cluster, unit, PathBuf::from("/usr/bin/etcd"), arguments)
}

fn kube_apiserver(layout: &Layout, cluster: &KubernetesCluster) -> ProcessSpec {
    let pki = |name: &str| cluster.pki(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers={ETCD_CLIENTS}"),
        format!("--advertise-address={}", cluster.address),
        format!("--tls-cert-file={}", pki("api.crt")),
        format!("--tls-private-key-file={}", pki("api.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--token-auth-file={}", pki("tokens.csv")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        format!("--service-cluster-ip-range={}", cluster.service_network),
        // Webhooks are called at their pods' addresses: there is no kube-proxy here.
        "--enable-aggregator-routing=true".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    if cluster.nodes.is_empty() {
        // There is nobody to make the accounts that pods would have.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    let unit = Unit::KubeApiserver(cluster.name.clone());
    component(layout, cluster, unit, arguments)
}

fn kube_controller_manager(layout: &Layout, cluster: &KubernetesCluster) -> ProcessSpec {
    let arguments = vec![
        format!("--kubeconfig={}", cluster.kubeconfig_of("kube-controller-manager").display()),
        format!(
            "--service-account-private-key-file={}",
            cluster.pki("service-accounts.key").display()
        ),
        format!("--root-ca-file={}", cluster.ca.display()),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    component(layout, cluster, Unit::KubeControllerManager(cluster.name.clone()), arguments)
}

fn kube_scheduler(layout: &Layout, cluster: &KubernetesCluster) -> ProcessSpec {
    let arguments = vec![
        format!("--kubeconfig={}", cluster.kubeconfig_of("kube-scheduler").display()),
        "--leader-elect=false".to_owned(),
    ];
    component(layout, cluster, Unit::KubeScheduler(cluster.name.clone()), arguments)
}

/// Starts what stands for CoreDNS, which Debian does not have.
async fn cluster_dns(
    layout: &Layout,
    cluster: &KubernetesCluster,
    supervisor: &Supervisor,
) -> Result<(), LabError> {
    let directory = cluster.directory.join("dns");
    fs::create_dir_all(&directory).context(|| format!("make {}", directory.display()))?;
    let script = cluster.directory.join("dns.sh");
    fs::write(&script, DNS_SCRIPT).context(|| format!("write {}", script.display()))?;
    let path = |path: &Path| path.display().to_string();
    let arguments = vec![
        path(&script),
        cluster.address.to_string(),
        layout.control.address.to_string(),
        path(&directory),
        path(&layout.kubernetes.binaries.join("kubectl")),
        path(&cluster.kubeconfig),
    ];
    let unit = Unit::ClusterDns(cluster.name.clone());
    supervisor.add(process(layout, cluster, unit, PathBuf::from("/bin/sh"), arguments)).await
}

fn component(
    layout: &Layout,
    cluster: &KubernetesCluster,
    unit: Unit,
    arguments: Vec<String>,
) -> ProcessSpec {
    let program = layout.kubernetes.binaries.join(unit.program());
    process(layout, cluster, unit, program, arguments)
}

fn process(
    layout: &Layout,
    cluster: &KubernetesCluster,
    unit: Unit,
    program: PathBuf,
    arguments: Vec<String>,
) -> ProcessSpec {
    ProcessSpec {
        program,
        arguments,
        environment: BTreeMap::new(),
        namespace: Some(cluster.namespace.clone()),
        user: None,
        log: layout.log(&unit),
        unit,
    }
}
