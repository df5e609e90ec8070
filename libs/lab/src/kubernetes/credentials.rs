//! A cluster's certificates and keys, and what its components, nodes and people log in with.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::layout::{CONTROL_CLUSTER, KubernetesCluster};
use crate::{
    error::{Context, LabError},
    layout::secret,
};

/// The components of a control plane that speak to the API server.
const COMPONENTS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// Whose kubeconfig the slice-operator has.
pub(crate) const SLICE_OPERATOR: &str = "slice-operator";

/// Makes a cluster's authority, the API server's certificate, the key that signs the tokens of
/// service accounts, and a token in a kubeconfig for everybody else.
pub(super) fn issue_all(cluster: &KubernetesCluster) -> Result<(), LabError> {
    let pki = cluster.directory.join("pki");
    fs::create_dir_all(&pki).context(|| format!("make {}", pki.display()))?;
    issue_certificates(cluster)?;
    let mut tokens = String::new();
    let mut admit = |name: &str, user: &str, groups: &str| -> Result<(), LabError> {
        let token = secret() + &secret();
        tokens += &format!("{token},{user},{user},{groups}\n");
        let text = kubeconfig(&cluster.name, &cluster.api_server, &cluster.ca, &token);
        write(&cluster.kubeconfig_of(name), &text)
    };
    admit("admin", "admin", "system:masters")?;
    if cluster.name == CONTROL_CLUSTER {
        // It may do what its role says, as in a pod.
        admit(SLICE_OPERATOR, "system:serviceaccount:l2sces-system:slice-operator", "")?;
    }
    for component in COMPONENTS {
        admit(component, &format!("system:{component}"), "")?;
    }
    for node in &cluster.nodes {
        admit(&node.name, &format!("system:node:{}", node.name), "system:nodes")?;
    }
    write(&cluster.pki("tokens.csv"), &tokens)
}

fn issue_certificates(cluster: &KubernetesCluster) -> Result<(), LabError> {
    let issue = || -> Result<_, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, format!("Kubernetes {}", cluster.name));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec![
            cluster.address.to_string(),
            cluster.kubernetes_service.to_string(),
            "127.0.0.1".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            "kubernetes.default.svc".to_owned(),
        ])?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&server_key, &Issuer::from_params(&ca, &ca_key))?;
        let signer = KeyPair::generate()?;
        Ok([
            ("ca.crt", ca_certificate.pem()),
            ("ca.key", ca_key.serialize_pem()),
            ("api.crt", certificate.pem()),
            ("api.key", server_key.serialize_pem()),
            ("service-accounts.key", signer.serialize_pem()),
            ("service-accounts.pub", signer.public_key_pem()),
        ])
    };
    let files = issue().map_err(|error| LabError::Certificates(error.to_string()))?;
    files.iter().try_for_each(|(name, text)| write(&cluster.pki(name), text))
}

/// What finds a cluster's API server and logs in with a token.
pub(super) fn kubeconfig(name: &str, server: &str, ca: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster: {{server: \"{server}\", certificate-authority: {ca}}}
users:
- name: {name}
  user: {{token: {token}}}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}}}
current-context: {name}
",
        ca = ca.display(),
    )
}

/// Writes a file that only its owner may read.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .context(|| format!("write {}", path.display()))
}
