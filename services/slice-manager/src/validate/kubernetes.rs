use base64::{Engine, engine::general_purpose::STANDARD};
use kube::config::{AuthInfo, Kubeconfig};
use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;
use secrecy::ExposeSecret;

use super::Report;
use crate::{
    domain::{DriftPolicy, Endpoint, KubernetesServer},
    downstream::authorities,
    vault::Credentials,
};

/// Most bytes of credentials, or of a kubeconfig: tokens of service accounts have about a thousand.
const MAX_BYTES: usize = 64 * 1024;
/// Where pods are unless somebody says something else.
const DEFAULT_NAMESPACE: &str = "default";

/// The API server that a client describes, and as whom the slice-manager is to act there.
pub(super) fn kubernetes(
    report: &mut Report,
    message: &api::KubernetesDriver,
) -> Option<(KubernetesServer, Option<Credentials>)> {
    let namespace = match message.namespace.as_str() {
        "" => DEFAULT_NAMESPACE,
        text => text,
    };
    let namespace = report.check("cluster.spec.kubernetes.namespace", namespace.parse::<Name>());
    let drift = match message.drift_policy() {
        api::DriftPolicy::Unspecified | api::DriftPolicy::Mend => DriftPolicy::Mend,
        api::DriftPolicy::Report => DriftPolicy::Report,
    };
    let access = if message.kubeconfig.is_empty() {
        fields(report, message)
    } else {
        for (field, text) in [
            ("api_endpoint", &message.api_endpoint),
            ("ca_pem", &message.ca_pem),
            ("bearer_token", &message.bearer_token),
        ] {
            if !text.is_empty() {
                let field = format!("cluster.spec.kubernetes.{field}");
                report.add(field, "must be empty: it is in the kubeconfig");
            }
        }
        let access = read_kubeconfig(&message.kubeconfig);
        report.check("cluster.spec.kubernetes.kubeconfig", access)
    };
    let (namespace, (endpoint, ca_pem, credentials)) = (namespace?, access?);
    Some((KubernetesServer { endpoint, ca_pem, namespace, drift }, credentials))
}

type Access = (Endpoint, String, Option<Credentials>);

fn fields(report: &mut Report, message: &api::KubernetesDriver) -> Option<Access> {
    let endpoint = secure(&message.api_endpoint);
    let endpoint = report.check("cluster.spec.kubernetes.api_endpoint", endpoint);
    let ca = authorities(&message.ca_pem).map(|_| message.ca_pem.clone());
    let ca = report.check("cluster.spec.kubernetes.ca_pem", ca);
    let credentials = match message.bearer_token.trim() {
        "" => Some(None),
        text => report.check("cluster.spec.kubernetes.bearer_token", token(text)).map(Some),
    };
    Some((endpoint?, ca?, credentials?))
}

fn secure(text: &str) -> Result<Endpoint, String> {
    let endpoint: Endpoint = text.parse().map_err(|error| format!("{error}"))?;
    if endpoint.is_plaintext() { Err("must begin with https://".to_owned()) } else { Ok(endpoint) }
}

fn token(text: &str) -> Result<Credentials, &'static str> {
    let is_token = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    // Not what it is: it may be a token all the same.
    if is_token { Ok(Credentials::Token(text.to_owned())) } else { Err("is no bearer token") }
}

/// What the current context of a kubeconfig says. It must hold all of it: files that it names are not
/// here, and commands are not run.
fn read_kubeconfig(text: &str) -> Result<Access, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("must have at most {MAX_BYTES} bytes, not {}", text.len()));
    }
    // What is wrong with it might be told with parts of it.
    let config = Kubeconfig::from_yaml(text).map_err(|_| "must be a kubeconfig in YAML")?;
    let current = config.current_context.as_deref().unwrap_or_default();
    let context = config.contexts.iter().find(|context| context.name == current);
    let context = context.and_then(|context| context.context.as_ref());
    let context = context.ok_or_else(|| format!("has no context '{current}'"))?;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| format!("has no cluster '{}'", context.cluster))?;
    let user = context.user.as_deref().unwrap_or_default();
    let found = config.auth_infos.iter().find(|found| found.name == user);
    let auth = found.and_then(|found| found.auth_info.as_ref());
    let auth = auth.ok_or_else(|| format!("has no user '{user}'"))?;

    let endpoint = secure(cluster.server.as_deref().unwrap_or_default());
    let endpoint = endpoint.map_err(|error| format!("its server {error}"))?;
    let ca = cluster.certificate_authority_data.as_deref();
    let ca = ca.ok_or("must hold certificate-authority-data, not name a file")?;
    let ca = decoded(ca).ok_or("its certificate-authority-data is no base64")?;
    authorities(&ca).map_err(|error| format!("its certificate-authority-data {error}"))?;
    Ok((endpoint, ca, Some(user_credentials(auth)?)))
}

fn user_credentials(auth: &AuthInfo) -> Result<Credentials, String> {
    if let Some(given) = &auth.token {
        return Ok(token(given.expose_secret())?);
    }
    let (Some(cert), Some(key)) = (&auth.client_certificate_data, &auth.client_key_data) else {
        let wanted = "must hold a token, or client-certificate-data and client-key-data: files are \
                      not read and commands not run";
        return Err(wanted.to_owned());
    };
    let cert_pem = decoded(cert).ok_or("its client-certificate-data is no base64")?;
    let key_pem = decoded(key.expose_secret()).ok_or("its client-key-data is no base64")?;
    Ok(Credentials::Certificate { cert_pem, key_pem })
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use l2sces_pki::{Authority, Identity, Role};

    use super::*;

    fn ca() -> String {
        let identity = Identity::new(Role::Admin, "server").unwrap();
        Authority::create().unwrap().issue(&identity, &[]).unwrap().cert_pem
    }

    fn good() -> api::KubernetesDriver {
        api::KubernetesDriver {
            api_endpoint: "https://10.0.0.1:6443".to_owned(),
            ca_pem: ca(),
            bearer_token: "secret-token\n".to_owned(),
            ..api::KubernetesDriver::default()
        }
    }

    fn kubeconfig(user: &str) -> String {
        let ca = STANDARD.encode(ca());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://10.0.0.1:6443', \
             certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        )
    }

    fn read(
        message: &api::KubernetesDriver,
    ) -> Result<(KubernetesServer, Option<Credentials>), Report> {
        let mut report = Report::default();
        let read = kubernetes(&mut report, message);
        report.finish(read)
    }

    fn token() -> Option<Credentials> {
        Some(Credentials::Token("secret-token".to_owned()))
    }

    #[test]
    fn fields_and_kubeconfig_say_the_same() {
        let (server, credentials) = read(&good()).unwrap();
        assert_eq!(credentials, token());
        assert_eq!((server.namespace.as_str(), server.drift), ("default", DriftPolicy::Mend));
        let by_file = api::KubernetesDriver {
            kubeconfig: kubeconfig("{token: secret-token}"),
            namespace: "pods".to_owned(),
            drift_policy: api::DriftPolicy::Report.into(),
            ..api::KubernetesDriver::default()
        };
        let (server, credentials) = read(&by_file).unwrap();
        assert_eq!(server.endpoint.as_str(), "https://10.0.0.1:6443");
        assert_eq!((server.namespace.as_str(), server.drift), ("pods", DriftPolicy::Report));
        assert_eq!(credentials, token());
        let pem = STANDARD.encode("pem");
        let certificate = format!("{{client-certificate-data: {pem}, client-key-data: {pem}}}");
        let by_certificate =
            api::KubernetesDriver { kubeconfig: kubeconfig(&certificate), ..by_file };
        let (_, credentials) = read(&by_certificate).unwrap();
        assert!(matches!(credentials, Some(Credentials::Certificate { .. })));
    }

    #[test]
    fn what_is_wrong_is_named_and_secrets_are_not() {
        type Spoil = fn(&mut api::KubernetesDriver);
        let cases: [(Spoil, &str, &str); 9] = [
            (|k| k.api_endpoint.clear(), "api_endpoint", "must not be empty"),
            (|k| k.api_endpoint = "http://10.0.0.1:1".into(), "api_endpoint", "https://"),
            (|k| k.ca_pem = "no".into(), "ca_pem", "certificates in PEM"),
            (|k| k.bearer_token = "secret token".into(), "bearer_token", "is no bearer token"),
            (|k| k.namespace = "A".into(), "namespace", ""),
            (|k| k.kubeconfig = kubeconfig("{token: t}"), "api_endpoint", "in the kubeconfig"),
            (
                |k| {
                    *k =
                        api::KubernetesDriver { kubeconfig: "{secret".into(), ..Default::default() }
                },
                "kubeconfig",
                "must be a kubeconfig",
            ),
            (
                |k| {
                    let kubeconfig = kubeconfig("{exec: {command: secret}}");
                    *k = api::KubernetesDriver { kubeconfig, ..Default::default() };
                },
                "kubeconfig",
                "commands not run",
            ),
            (
                |k| {
                    let kubeconfig = kubeconfig("{}").replace("current-context: x", "");
                    *k = api::KubernetesDriver { kubeconfig, ..Default::default() };
                },
                "kubeconfig",
                "has no context",
            ),
        ];
        for (spoil, field, description) in cases {
            let mut message = good();
            spoil(&mut message);
            let report = read(&message).unwrap_err();
            let first = &report.violations()[0];
            assert_eq!(first.field, format!("cluster.spec.kubernetes.{field}"), "{report}");
            assert!(first.description.contains(description), "{report}");
            assert!(!report.to_string().contains("secret"), "{report}");
        }
    }
}
