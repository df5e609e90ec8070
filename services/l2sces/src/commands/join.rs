//! Has a Kubernetes cluster join.

use std::io::IsTerminal;

use kube::{Client, api::DynamicObject};
use l2sces_proto::{
    resource::v1::Metadata,
    slice::v1::{Cluster, KubernetesDriver, Node, cluster_spec::Driver},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{apply::apply_one, write::send_get};
use crate::{
    args::{ConnectionArgs, Format, JoinArgs},
    error::CliError,
    kubernetes::{self, Done, SLICE_MANAGER_ACCOUNT, kind},
    output::Output,
    progress::Progress,
    resource::Key,
    session::Session,
    wait,
};

/// What stands in the place of a secret on a terminal: "hidden".
const HIDDEN: &str = "aGlkZGVu";

/// Prints, or applies, what the cluster needs.
pub(super) async fn run(
    connection: &ConnectionArgs,
    format: Format,
    args: JoinArgs,
) -> Result<(), CliError> {
    if !args.apply {
        let objects = objects(&args, connection.endpoint.as_deref())?;
        return print(&args, format, objects);
    }
    let mut session = match args.registration.no_register {
        true => None,
        false => Some(Session::new(connection, format)?),
    };
    let cluster = kubernetes::connect(&args.kubeconfig).await?;
    let deadline = Instant::now() + args.timeout;
    kubernetes::joined(&cluster.client, &args.name).await?;
    // What is wrong with the nodes is told before anything is done.
    let nodes = match (&session, args.registration.nodes.is_empty()) {
        (Some(_), true) => kubernetes::nodes(&cluster.client).await?,
        _ => kubernetes::named(args.registration.nodes.clone()),
    };
    let endpoint = session.as_ref().and(connection.endpoint.as_deref());
    let objects = objects(&args, endpoint)?;
    let (mut output, mut progress) = (Output::stdout(format), Progress::stderr());
    apply_all(&cluster.client, &objects, &mut output, &mut progress).await?;
    kubernetes::until_ready(&cluster.client, &mut progress, deadline).await?;
    // The operators that used it are gone by now.
    if kubernetes::removal::delete_former_issuer(&cluster.client).await? {
        output.line("Secret l2sces-system/l2sces-issuer deleted: it had the authority's key")?;
    }
    let Some(session) = &mut session else { return Ok(()) };
    let (bearer_token, ca_pem) =
        kubernetes::token(&cluster.client, SLICE_MANAGER_ACCOUNT, &mut progress, deadline).await?;
    let driver = KubernetesDriver {
        api_endpoint: args.registration.kubernetes.unwrap_or(cluster.endpoint),
        ca_pem,
        bearer_token,
        namespace: args.registration.kubernetes_namespace,
        ..KubernetesDriver::default()
    };
    let is_found = args.registration.nodes.is_empty();
    let nodes = |known: &[Node]| if is_found { kubernetes::as_known(nodes, known) } else { nodes };
    register(session, args.name.as_str(), driver, nodes, deadline).await
}

/// Everything that the cluster needs, in the order in which it is applied.
fn objects(args: &JoinArgs, slice_manager: Option<&str>) -> Result<Vec<DynamicObject>, CliError> {
    let slice_manager = slice_manager.filter(|_| !args.registration.no_register);
    let configuration = kubernetes::configuration(args, slice_manager)?;
    let mut objects = kubernetes::workloads(&args.workloads)?;
    if let Some(secret) = &args.database.database_secret {
        kubernetes::set_database_secret(&mut objects, secret)?;
    }
    kubernetes::set_configuration(&mut objects, &kubernetes::digest(&configuration)?)?;
    objects.extend(configuration);
    objects.extend(kubernetes::custom_resources()?);
    if !args.registration.no_register {
        let namespace = &args.registration.kubernetes_namespace;
        objects.extend(kubernetes::slice_manager_access(namespace)?);
    }
    kubernetes::sort(&mut objects);
    Ok(objects)
}

fn print(args: &JoinArgs, format: Format, mut objects: Vec<DynamicObject>) -> Result<(), CliError> {
    let mut progress = Progress::stderr();
    if std::io::stdout().is_terminal() && !args.show_secrets {
        objects.iter_mut().for_each(hide);
        progress.note("secrets are hidden on a terminal; --show-secrets shows them");
    } else {
        progress.note(
            "this has private keys and the database's URL: pipe it into kubectl, keep no copy",
        );
    }
    Output::stdout(format).manifests(&objects)
}

/// Takes what is in a Secret out of it.
fn hide(object: &mut DynamicObject) {
    let is_secret = kind(object) == "Secret";
    let data = object.data.get_mut("data").and_then(Value::as_object_mut);
    if let Some(data) = data.filter(|_| is_secret) {
        data.values_mut().for_each(|value| *value = json!(HIDDEN));
    }
}

async fn apply_all(
    client: &Client,
    objects: &[DynamicObject],
    output: &mut Output,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let mut unchanged = 0;
    for (number, object) in objects.iter().enumerate() {
        let shown = kubernetes::shown(object);
        progress.show(&format!("{shown} ({} of {})", number + 1, objects.len()));
        let done = kubernetes::apply(client, object).await?;
        progress.clear();
        match done {
            Done::Unchanged => unchanged += 1,
            done => output.line(&format!("{shown} {}", done.as_str()))?,
        }
    }
    output.line(&format!("{unchanged} of {} objects unchanged", objects.len()))
}

/// Creates the cluster at the slice-manager, or updates it, and waits until it reaches the cluster. `nodes`
/// says which it is to have, told those that it has.
async fn register(
    session: &mut Session,
    name: &str,
    mut driver: KubernetesDriver,
    nodes: impl FnOnce(&[Node]) -> Vec<Node>,
    deadline: Instant,
) -> Result<(), CliError> {
    let key = Key { name: name.to_owned(), ..Key::default() };
    let stored = send_get::<Cluster>(session, &key).await?;
    let metadata = Some(Metadata { name: name.to_owned(), ..Metadata::default() });
    let mut cluster = stored.unwrap_or(Cluster { metadata, ..Cluster::default() });
    let spec = cluster.spec.get_or_insert_default();
    if let Some(Driver::Kubernetes(before)) = &spec.driver {
        driver.drift_policy = before.drift_policy;
    }
    (spec.driver, spec.nodes) = (Some(Driver::Kubernetes(driver)), nodes(&spec.nodes));
    let (written, done) = apply_one(session, cluster, false).await?;
    session.output.done(&written, done)?;
    let ready = wait::until_ready(session, written, deadline).await?;
    session.output.result(&ready)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use clap::Parser;
    use k8s_openapi::ByteString;
    use kube::ResourceExt;
    use l2sces_custom_resources::{PART_OF_LABEL, PART_OF_US};
    use l2sces_pki::Authority;

    use super::*;
    use crate::kubernetes::Inventory;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: JoinArgs,
    }

    /// All that a cluster is given by an authority, which is made in the directory.
    fn given(pki: &Path) -> Vec<DynamicObject> {
        Authority::create().unwrap().save(pki).unwrap();
        let line = Line::parse_from([
            "join",
            "a",
            "--pki",
            &pki.display().to_string(),
            "--sco-provider=https://sco.example:50060",
            "--database-url=postgres://role:password@host:5432/database",
            "--kubernetes-namespace=pods",
        ]);
        objects(&line.args, Some("https://manager.example:50051")).unwrap()
    }

    #[test]
    fn no_cluster_is_given_the_key_of_the_authority() {
        let pki = tempfile::tempdir().unwrap();
        let objects = given(pki.path());
        let key = fs::read_to_string(pki.path().join("ca.key")).unwrap();
        let own = fs::read_to_string(pki.path().join("operator-a.key")).unwrap();
        let mut has_own = false;
        for object in objects.iter().filter(|object| kind(object) == "Secret") {
            let data = object.data.get("data").cloned().unwrap_or_default();
            let data: Option<BTreeMap<String, ByteString>> = serde_json::from_value(data).unwrap();
            for ByteString(bytes) in data.into_iter().flat_map(BTreeMap::into_values) {
                let text = String::from_utf8(bytes).unwrap();
                assert!(!text.contains(key.trim()), "{}", kubernetes::shown(object));
                has_own |= text.contains(own.trim());
            }
        }
        assert!(has_own, "where keys are has not been found");
    }

    #[test]
    fn whatever_is_applied_is_removed_when_the_cluster_leaves() {
        let pki = tempfile::tempdir().unwrap();
        let inventory = Inventory::new().unwrap();
        for object in given(pki.path()) {
            let label = object.labels().get(PART_OF_LABEL).map(String::as_str);
            assert_eq!(label, Some(PART_OF_US), "{}", kubernetes::shown(&object));
            assert!(inventory.has(&object), "{}", kubernetes::shown(&object));
        }
    }
}
