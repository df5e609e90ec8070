//! Our workloads in a cluster, installed as docs/operations.md has an administrator do it.

use std::{fs, path::Path};

use futures::future::try_join_all;
use l2sces_pki::{Authority, Identity, PkiError, Role};
use serde_json::{Value, json};

use super::{kubectl::Kubectl, layout::KubernetesCluster};
use crate::{
    error::{Context, LabError},
    layout::Layout,
    unit::Unit,
};

/// Their namespace.
const NAMESPACE: &str = "l2sces-system";

/// The Deployments, with the roles of their certificates.
const DEPLOYMENTS: [(&str, Role); 2] =
    [("sdn-controller", Role::SdnController), ("operator", Role::Operator)];

/// Tells every cluster of our custom resources, and makes the namespace.
pub(crate) async fn define(layout: &Layout) -> Result<(), LabError> {
    try_join_all(layout.kubernetes.clusters.iter().map(|cluster| async move {
        let kubectl = Kubectl::new(layout, cluster);
        kubectl.run(["apply", "--kustomize", &manifests("crds")]).await?;
        let namespace = manifests("base/namespace/namespace.yaml");
        kubectl.run(["apply", "--filename", &namespace]).await
    }))
    .await?;
    Ok(())
}

/// Installs them in every cluster that has nodes, and waits for those that need no custom resource.
pub(crate) async fn up(layout: &Layout) -> Result<(), LabError> {
    let clusters = layout.kubernetes.clusters.iter();
    let with_nodes = clusters.filter(|cluster| !cluster.nodes.is_empty());
    try_join_all(with_nodes.map(|cluster| install(layout, cluster))).await?;
    Ok(())
}

/// A part of our manifests.
pub(super) fn manifests(path: &str) -> String {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s");
    all.join(path).display().to_string()
}

async fn install(layout: &Layout, cluster: &KubernetesCluster) -> Result<(), LabError> {
    let kubectl = Kubectl::new(layout, cluster);
    kubectl.apply(&configuration(layout, cluster)?.to_string()).await?;
    kubectl.run(["apply", "--kustomize", &manifests("overlays/dev")]).await?;
    for (deployment, _) in DEPLOYMENTS {
        let deployment = format!("deployment/{deployment}");
        let rollout = ["rollout", "status", &deployment, "--timeout=360s"];
        kubectl.run(["--namespace", NAMESPACE].iter().chain(&rollout)).await?;
    }
    Ok(())
}

/// What the manifests refer to: certificates, the authority for agents, the database's URL, and which
/// cluster it is.
fn configuration(layout: &Layout, cluster: &KubernetesCluster) -> Result<Value, LabError> {
    let certificates = |error: PkiError| LabError::Certificates(error.to_string());
    let pki = layout.directory.join("pki");
    let authority = Authority::load(&pki).map_err(certificates)?;
    let ca = authority.certificate_pem();
    let key = pki.join("ca.key");
    let key = fs::read_to_string(&key).context(|| format!("read {}", key.display()))?;
    let name = &cluster.name;
    let database = &layout.role(&Unit::SdnController(name.clone()))?.network_url;
    let settings = json!({
        "L2SCES_CLUSTER": name,
        "L2SCES_SCO_PROVIDER": layout.service(&Unit::ScoProvider)?.endpoint,
    });
    let mut items = vec![
        object("ConfigMap", "l2sces", "data", &settings),
        object("ConfigMap", "l2sces-ca", "data", &json!({ "ca.pem": ca })),
        secret("l2sces-issuer", &json!({ "ca.pem": ca, "ca.key": key })),
        secret("sdn-controller-database", &json!({ "url": database })),
    ];
    for (deployment, role) in DEPLOYMENTS {
        let service = format!("{deployment}.{NAMESPACE}");
        let names = [format!("{service}.svc"), service, "localhost".to_owned()];
        let identity = Identity::new(role, name).map_err(PkiError::from).map_err(certificates)?;
        let issued = authority.issue(&identity, &names).map_err(certificates)?;
        let files = json!({ "ca.pem": ca, "cert.pem": issued.cert_pem, "key.pem": issued.key_pem });
        items.push(secret(&format!("{deployment}-tls"), &files));
    }
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

fn secret(name: &str, data: &Value) -> Value {
    object("Secret", name, "stringData", data)
}

fn object(kind: &str, name: &str, field: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": NAMESPACE },
        field: data,
    })
}
