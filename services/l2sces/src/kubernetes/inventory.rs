//! Which objects of a cluster are ours to remove: those that it is given when it joins, by their names. Others
//! may have our label.

use std::collections::BTreeSet;

use kube::{Client, ResourceExt, api::DynamicObject};
use l2sces_custom_resources::{PART_OF_LABEL, PART_OF_US};

use super::{
    NAMESPACE,
    configuration::{self, SETTINGS},
    kind,
    manifests::{custom_resources, every_workload, slice_manager_access},
    object::{kinds_to_keep, list, shown},
};
use crate::error::CliError;

/// Kinds of which there is one in the namespace that the slice-manager uses, whichever that is.
const ANYWHERE: [&str; 2] = ["Role", "RoleBinding"];

/// The Lease that the operator makes.
const LEASE: &str = "l2sces-operator";

/// The type of Secrets that Kubernetes writes the tokens of service accounts into.
const TOKEN: &str = "kubernetes.io/service-account-token";

/// The objects that are ours.
pub(crate) struct Inventory(BTreeSet<Key>);

/// Kind; namespace, unless it is none or any; name.
type Key = (String, Option<String>, String);

impl Inventory {
    pub(crate) fn new() -> Result<Self, CliError> {
        let made = [every_workload()?, custom_resources()?].concat();
        let access = slice_manager_access("")?.into_iter().map(|mut object| {
            if ANYWHERE.contains(&kind(&object)) {
                object.metadata.namespace = None;
            }
            object
        });
        let made = made.into_iter().chain(access);
        let made =
            made.map(|object| (kind(&object).to_owned(), object.namespace(), object.name_any()));
        let named = configuration::names().chain([("Lease", LEASE.to_owned())]);
        let named = named.map(|(kind, name)| (kind.to_owned(), Some(NAMESPACE.to_owned()), name));
        Ok(Self(made.chain(named).collect()))
    }

    /// Whether an object is ours; a pod is, if a workload of ours has made it.
    pub(crate) fn has(&self, object: &DynamicObject) -> bool {
        if kind(object) != "Pod" {
            return self.knows(kind(object), object, &object.name_any());
        }
        let labels = object.labels();
        let is_labelled = labels.get(PART_OF_LABEL).is_some_and(|whole| whole == PART_OF_US);
        let app = labels.get("app").filter(|_| is_labelled);
        app.is_some_and(|app| {
            ["Deployment", "DaemonSet"].iter().any(|kind| self.knows(kind, object, app))
        })
    }

    fn knows(&self, kind: &str, at: &DynamicObject, name: &str) -> bool {
        let key = |namespace| (kind.to_owned(), namespace, name.to_owned());
        self.0.contains(&key(at.namespace())) || self.0.contains(&key(None))
    }

    /// What others have in our namespace and would lose with it: that of the services that control all
    /// clusters, say.
    pub(crate) async fn others(&self, client: &Client) -> Result<Vec<String>, CliError> {
        let mut others = Vec::new();
        for resource in kinds_to_keep() {
            let here = list(client, &resource, Some(NAMESPACE), None).await?;
            others.extend(here.iter().filter(|object| self.is_of_others(object)).map(shown));
        }
        Ok(others)
    }

    fn is_of_others(&self, object: &DynamicObject) -> bool {
        !self.has(object) && object.data.get("type").is_none_or(|type_| type_ != TOKEN)
    }
}

/// What the services that control all clusters have too, where they run in the same cluster: the namespace,
/// and the policy by which nothing enters it.
pub(crate) fn is_shared(object: &DynamicObject) -> bool {
    let name = object.name_any();
    match kind(object) {
        "Namespace" => name == NAMESPACE,
        "NetworkPolicy" => name == "default-deny",
        _ => false,
    }
}

/// By which a removal that is begun again knows whom to ask.
pub(crate) fn is_settings(object: &DynamicObject) -> bool {
    kind(object) == "ConfigMap" && object.name_any() == SETTINGS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::object::converted;

    fn object(
        kind: &str,
        namespace: &str,
        name: &str,
        labels: &serde_json::Value,
    ) -> DynamicObject {
        converted(&json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": { "namespace": namespace, "name": name, "labels": labels },
        }))
        .unwrap()
    }

    #[test]
    fn what_only_has_our_label_is_not_ours() {
        let inventory = Inventory::new().unwrap();
        let ours = json!({ PART_OF_LABEL: PART_OF_US });
        let has = |kind, namespace, name| inventory.has(&object(kind, namespace, name, &ours));
        assert!(has("Secret", NAMESPACE, "l2sces-issuer"));
        assert!(!has("Secret", NAMESPACE, "slice-manager-database"));
        assert!(!has("Secret", NAMESPACE, "l2sces-authority"));
        assert!(!has("Secret", "default", "l2sces-issuer"));
        assert!(has("Deployment", NAMESPACE, "operator"));
        for control in ["slice-manager", "sco-provider", "inter-domain-dns"] {
            assert!(!has("Deployment", NAMESPACE, control), "{control}");
            assert!(!has("Service", NAMESPACE, control), "{control}");
        }
        assert!(has("Role", "anywhere", "l2sces-slice-manager"));
        assert!(!has("Role", "anywhere", "operator"));
    }

    #[test]
    fn pods_belong_to_whose_workload_made_them() {
        let inventory = Inventory::new().unwrap();
        let pod = |app: &str, whole: &str| {
            let labels = json!({ "app": app, PART_OF_LABEL: whole });
            inventory.has(&object("Pod", NAMESPACE, "any", &labels))
        };
        assert!(pod("sps-agent", PART_OF_US));
        assert!(!pod("sps-agent", "another"));
        assert!(!pod("slice-manager", PART_OF_US));
    }
}
