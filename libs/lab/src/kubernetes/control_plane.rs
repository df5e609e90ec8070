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
pub(super) const PATIENCE: Duration = Duration::from_secs(360);

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
    let arguments = etcd_arguments(&data, ETCD_CLIENTS, ETCD_PEERS);
    let unit = Unit::Etcd(cluster.name.clone());
    process(layout, cluster, unit, PathBuf::from("/usr/bin/etcd"), arguments)
}

/// The arguments of an etcd that keeps its data in a directory, and listens at these URLs.
pub(super) fn etcd_arguments(data: &Path, clients: &str, peers: &str) -> Vec<String> {
    vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        // The data need to survive a crash of etcd, not one of the machine.
        "--unsafe-no-fsync".to_owned(),
    ]
}

/// Paths of the files that every API server has.
pub(super) struct ApiServerFiles {
    pub(super) certificate: String,
    pub(super) key: String,
    /// The key that the tokens of service accounts are checked with, and the one that signs them.
    pub(super) accounts: [String; 2],
    /// The tokens of everybody else.
    pub(super) tokens: String,
}

/// The arguments that hand them to an API server.
pub(super) fn api_server_arguments(files: &ApiServerFiles) -> Vec<String> {
    let ApiServerFiles { certificate, key, accounts: [public, private], tokens } = files;
    vec![
        format!("--tls-cert-file={certificate}"),
        format!("--tls-private-key-file={key}"),
        format!("--service-account-key-file={public}"),
        format!("--service-account-signing-key-file={private}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--token-auth-file={tokens}"),
    ]
}

fn kube_apiserver(layout: &Layout, cluster: &KubernetesCluster) -> ProcessSpec {
    let pki = |name: &str| cluster.pki(name).display().to_string();
    let mut arguments = api_server_arguments(&ApiServerFiles {
        certificate: pki("api.crt"),
        key: pki("api.key"),
        accounts: [pki("service-accounts.pub"), pki("service-accounts.key")],
        tokens: pki("tokens.csv"),
    });
    arguments.extend([
        format!("--etcd-servers={ETCD_CLIENTS}"),
        format!("--advertise-address={}", cluster.address),
        format!("--client-ca-file={}", pki("ca.crt")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        format!("--service-cluster-ip-range={}", cluster.service_network),
        // Webhooks are called at their pods' addresses: there is no kube-proxy here.
        "--enable-aggregator-routing=true".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ]);
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
