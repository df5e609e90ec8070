//! Where everything of the lab's Kubernetes clusters is.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{error::LabError, topology::ClusterTopology};

/// Port of the API servers.
const API_PORT: u16 = 6443;

/// Name of the control cluster.
pub const CONTROL_CLUSTER: &str = "control";

/// The Kubernetes clusters of a lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Directory of the programs of Kubernetes.
    pub binaries: PathBuf,
    /// Directory of the images that every node has.
    pub images: PathBuf,
    /// The clusters.
    pub clusters: Vec<KubernetesCluster>,
}

/// A Kubernetes cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubernetesCluster {
    /// Name.
    pub name: String,
    /// Network namespace of its control plane.
    pub namespace: String,
    /// Directory with its certificates and its etcd.
    pub directory: PathBuf,
    /// Management address of its control plane.
    pub address: Ipv4Addr,
    /// URL of its API server; reachable inside the lab only.
    pub api_server: String,
    /// The certificate of its authority, in PEM.
    pub ca: PathBuf,
    /// What `kubectl` needs to administer it, from any namespace of the lab but those of pods.
    pub kubeconfig: PathBuf,
    /// Addresses of its pods.
    pub pod_network: String,
    /// Addresses of its services.
    pub service_network: String,
    /// The address of the API server for pods: the first of the services'.
    pub kubernetes_service: Ipv4Addr,
    /// Its nodes. The first counts as one of the control plane: it has the label for that.
    pub nodes: Vec<KubernetesNode>,
}

/// A node of a Kubernetes cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubernetesNode {
    /// Name, unique in the lab.
    pub name: String,
    /// Name of its cluster.
    pub cluster: String,
    /// Network namespace, and name of its control groups.
    pub namespace: String,
    /// Directory with what it keeps: images, containers, configuration.
    pub directory: PathBuf,
    /// Its address: `InternalIP` in Kubernetes.
    pub address: Ipv4Addr,
    /// Addresses of the pods on it.
    pub pod_network: String,
}

impl Kubernetes {
    pub(crate) fn new(
        clusters: &[ClusterTopology],
        id: &str,
        directory: &Path,
        binaries: PathBuf,
    ) -> Self {
        let clusters = (1_u8..).zip(clusters).map(|(c, cluster)| {
            let name = cluster.name.to_string();
            let address = Ipv4Addr::new(10, 200, 200 + c, 1);
            let cluster_directory = directory.join("kubernetes").join(&name);
            let nodes = (1_u8..).zip(&cluster.nodes).map(|(n, node)| KubernetesNode {
                name: node.name.to_string(),
                cluster: name.clone(),
                namespace: format!("l2s-{id}-{name}-{}", node.name),
                directory: cluster_directory.join(node.name.as_str()),
                address: Ipv4Addr::new(10, 200, 200 + c, 10 + n),
                pod_network: format!("10.{}.{n}.0/24", 130 + c),
            });
            KubernetesCluster {
                namespace: format!("l2s-{id}-api-{name}"),
                api_server: format!("https://{address}:{API_PORT}"),
                ca: cluster_directory.join("pki/ca.crt"),
                kubeconfig: cluster_directory.join("admin.kubeconfig"),
                pod_network: format!("10.{}.0.0/16", 130 + c),
                service_network: format!("10.{}.0.0/16", 60 + c),
                kubernetes_service: Ipv4Addr::new(10, 60 + c, 0, 1),
                nodes: nodes.collect(),
                directory: cluster_directory,
                address,
                name,
            }
        });
        Self { binaries, images: directory.join("kubernetes/images"), clusters: clusters.collect() }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &KubernetesNode> {
        self.clusters.iter().flat_map(|cluster| &cluster.nodes)
    }

    /// A node by name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&KubernetesNode, LabError> {
        self.nodes()
            .find(|node| node.name == name)
            .ok_or_else(|| LabError::Unknown { kind: "Kubernetes node", name: name.to_owned() })
    }

    /// A cluster by name.
    ///
    /// # Errors
    /// There is none.
    pub fn cluster(&self, name: &str) -> Result<&KubernetesCluster, LabError> {
        self.clusters
            .iter()
            .find(|cluster| cluster.name == name)
            .ok_or_else(|| LabError::Unknown { kind: "Kubernetes cluster", name: name.to_owned() })
    }
}

impl KubernetesCluster {
    /// The `kubeconfig` of a component, such as `kube-scheduler`, or of a node.
    pub(crate) fn kubeconfig_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.kubeconfig"))
    }

    /// A file of its certificates and keys.
    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.directory.join("pki").join(name)
    }
}
