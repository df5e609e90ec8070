//! The manifests of a cluster whose pods get networks: those of `k8s/` and the definitions of the custom
//! resources, which are built in, as a cluster wants them.

use k8s_openapi::{
    DeepMerge,
    api::apps::v1::{DaemonSet, Deployment},
};
use kube::{ResourceExt, api::DynamicObject};
use l2sces_custom_resources::definitions;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::object::{converted, kind};
use crate::{
    args::{Datapath, WorkloadFlags},
    error::CliError,
};

/// A file of `k8s/`: its path there, and what it holds.
type BuiltIn = (&'static str, &'static str);

macro_rules! built_in {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../k8s/", $path)))),*]
    };
}

/// All of `k8s/base/kustomization.yaml`.
const BASE: [BuiltIn; 21] = built_in![
    "base/namespace/namespace.yaml",
    "base/namespace/network-policy.yaml",
    "base/sdn-controller/service.yaml",
    "base/sdn-controller/service-account.yaml",
    "base/sdn-controller/deployment.yaml",
    "base/sdn-controller/network-policy.yaml",
    "base/operator/service.yaml",
    "base/operator/service-account.yaml",
    "base/operator/role.yaml",
    "base/operator/deployment.yaml",
    "base/operator/network-policy.yaml",
    "base/operator/webhook.yaml",
    "base/openvswitch/service-account.yaml",
    "base/openvswitch/daemon-set.yaml",
    "base/sps-agent/service-account.yaml",
    "base/sps-agent/daemon-set.yaml",
    "base/ned-agent/service-account.yaml",
    "base/ned-agent/daemon-set.yaml",
    "base/cni/service-account.yaml",
    "base/cni/role.yaml",
    "base/cni/daemon-set.yaml",
];

/// Where there is a slice-manager.
const SLICE_MANAGER_ACCESS: [BuiltIn; 2] = built_in![
    "base/slice-manager-access/service-account.yaml",
    "base/slice-manager-access/role.yaml",
];

/// The name of a slice-manager's service account, and of its Secret, Role and RoleBinding.
pub(crate) const SLICE_MANAGER_ACCOUNT: &str = "l2sces-slice-manager";

/// Where several operators run.
const DISRUPTION_BUDGET: [BuiltIn; 1] = built_in!["overlays/managed/disruption-budget.yaml"];

/// What is laid over the base where Open vSwitch runs in user space.
const NETDEV: [BuiltIn; 2] = built_in!["overlays/dev/openvswitch.yaml", "overlays/dev/agents.yaml"];

/// The images of the manifests, which say no registry and no tag that counts.
const IMAGES: [&str; 2] = ["l2sces", "l2sces-node"];

/// The key of the operator's and the sdn-controller's pods that tells of another configuration: they read
/// theirs when they start.
const CONFIGURATION: &str = "l2sces.l2sm.io/configuration";

/// The definitions of the custom resources.
pub(crate) fn custom_resources() -> Result<Vec<DynamicObject>, CliError> {
    definitions().iter().map(converted).collect()
}

/// Everything of the base, and what there is with some flags only.
pub(super) fn every_workload() -> Result<Vec<DynamicObject>, CliError> {
    Ok([parse_all(&BASE)?, parse_all(&DISRUPTION_BUDGET)?].concat())
}

/// Everything of the base, as the flags want it.
pub(crate) fn workloads(flags: &WorkloadFlags) -> Result<Vec<DynamicObject>, CliError> {
    let mut objects = parse_all(&BASE)?;
    if flags.operators > 1 {
        objects.extend(parse_all(&DISRUPTION_BUDGET)?);
    }
    if flags.datapath == Datapath::Netdev {
        for patch in parse_all(&NETDEV)? {
            let patched = objects.iter_mut().find(|object| is_same(object, &patch));
            let patched =
                patched.ok_or_else(|| failed("a patch is of nothing", &patch.name_any()))?;
            *patched = merged::<DaemonSet>(patched, &patch)?;
        }
    }
    for object in &mut objects {
        if kind(object) == "Deployment" && object.name_any() == "operator" {
            let patch = json!({ "spec": { "replicas": flags.operators } });
            *object = merged::<Deployment>(object, &over(object, patch)?)?;
        }
        containers(object).for_each(|container| set_image(container, flags));
    }
    Ok(objects)
}

/// Has the sdn-controller find the URL of its database in another Secret.
pub(crate) fn set_database_secret(
    objects: &mut [DynamicObject],
    secret: &str,
) -> Result<(), CliError> {
    let source = json!({ "secretKeyRef": { "name": secret, "key": "url" } });
    let variable = json!({ "name": "L2SCES_DATABASE_URL", "valueFrom": source });
    let container = json!({ "name": "sdn-controller", "env": [variable] });
    let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
    patch_deployments(objects, &["sdn-controller"], &patch)
}

/// Has the Deployments start anew when their configuration, of which this is a digest, is another.
pub(crate) fn set_configuration(
    objects: &mut [DynamicObject],
    digest: &str,
) -> Result<(), CliError> {
    let metadata = json!({ "annotations": { CONFIGURATION: digest } });
    let patch = json!({ "spec": { "template": { "metadata": metadata } } });
    patch_deployments(objects, &["operator", "sdn-controller"], &patch)
}

/// What a slice-manager needs to make custom resources in a namespace.
pub(crate) fn slice_manager_access(namespace: &str) -> Result<Vec<DynamicObject>, CliError> {
    let mut objects = parse_all(&SLICE_MANAGER_ACCESS)?;
    for object in &mut objects {
        if ["Role", "RoleBinding"].contains(&kind(object)) {
            object.metadata.namespace = Some(namespace.to_owned());
        }
    }
    Ok(objects)
}

fn patch_deployments(
    objects: &mut [DynamicObject],
    names: &[&str],
    patch: &Value,
) -> Result<(), CliError> {
    let deployments = objects.iter_mut().filter(|object| kind(object) == "Deployment");
    for object in deployments.filter(|object| names.contains(&object.name_any().as_str())) {
        *object = merged::<Deployment>(object, &over(object, patch.clone())?)?;
    }
    Ok(())
}

fn parse_all(files: &[BuiltIn]) -> Result<Vec<DynamicObject>, CliError> {
    let mut objects = Vec::new();
    for (path, text) in files {
        let named = |error: serde_norway::Error| failed(&error.to_string(), path);
        for document in serde_norway::Deserializer::from_str(text) {
            let mut value = serde_norway::Value::deserialize(document).map_err(named)?;
            value.apply_merge().map_err(named)?;
            objects.push(converted(&value)?);
        }
    }
    Ok(objects)
}

fn failed(error: &str, path: &str) -> CliError {
    CliError::Failed(format!("built-in manifest {path}: {error}"))
}

fn is_same(one: &DynamicObject, other: &DynamicObject) -> bool {
    one.types == other.types
        && (one.name_any(), one.namespace()) == (other.name_any(), other.namespace())
}

/// A patch as an object of the kind and name of the one that it is for.
fn over(object: &DynamicObject, mut patch: Value) -> Result<DynamicObject, CliError> {
    patch["metadata"] = json!({ "name": object.name_any() });
    let types = object.types.clone().unwrap_or_default();
    (patch["apiVersion"], patch["kind"]) = (types.api_version.into(), types.kind.into());
    converted(&patch)
}

/// An object with another of its kind laid over it, as the API server does with strategic merge patches.
fn merged<K: DeepMerge + Serialize + DeserializeOwned>(
    object: &DynamicObject,
    patch: &DynamicObject,
) -> Result<DynamicObject, CliError> {
    let mut merged: K = converted(object)?;
    merged.merge_from(converted(patch)?);
    converted(&merged)
}

/// The containers of an object, if it has pods.
fn containers(object: &mut DynamicObject) -> impl Iterator<Item = &mut Value> {
    let pod = object.data.pointer_mut("/spec/template/spec");
    let lists = pod.and_then(Value::as_object_mut).into_iter().flatten();
    let lists = lists.filter(|(name, _)| ["containers", "initContainers"].contains(&name.as_str()));
    lists.flat_map(|(_, list)| list.as_array_mut()).flatten()
}

fn set_image(container: &mut Value, flags: &WorkloadFlags) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.split(':').next().unwrap_or_default();
    if let Some(name) = IMAGES.into_iter().find(|image| *image == name) {
        let registry = flags.registry.as_deref().map(|registry| format!("{registry}/"));
        let image = format!("{}{name}:{}", registry.unwrap_or_default(), flags.tag);
        container["image"] = image.into();
        if let Some(policy) = flags.pull_policy {
            container["imagePullPolicy"] = policy.as_str().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::args::PullPolicy;

    fn flags() -> WorkloadFlags {
        WorkloadFlags {
            registry: None,
            tag: "1".into(),
            pull_policy: None,
            datapath: Datapath::System,
            operators: 1,
        }
    }

    fn find<'a>(objects: &'a [DynamicObject], kind_: &str, name: &str) -> &'a Value {
        let found =
            objects.iter().find(|object| kind(object) == kind_ && object.name_any() == name);
        &found.unwrap().data
    }

    /// The paths that a directory's kustomization names.
    fn files(directory: &str) -> BTreeSet<String> {
        let k8s = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s");
        let text = fs::read_to_string(k8s.join(directory).join("kustomization.yaml")).unwrap();
        let names: serde_norway::Value = serde_norway::from_str(&text).unwrap();
        let listed = |key: &str| {
            let list = names.get(key).and_then(serde_norway::Value::as_sequence).cloned();
            let names = list.unwrap_or_default();
            names.into_iter().map(|name| format!("{directory}/{}", name.as_str().unwrap()))
        };
        listed("bases").flat_map(|base| files(&base)).chain(listed("resources")).collect()
    }

    fn paths(files: &[BuiltIn]) -> BTreeSet<String> {
        files.iter().map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn every_file_is_built_in() {
        assert_eq!(paths(&BASE), files("base"));
        assert_eq!(paths(&SLICE_MANAGER_ACCESS), files("base/slice-manager-access"));
    }

    #[test]
    fn images_are_those_that_the_flags_name() {
        let flags = WorkloadFlags {
            registry: Some("registry.example/team".into()),
            pull_policy: Some(PullPolicy::Never),
            ..flags()
        };
        let mut objects = workloads(&flags).unwrap();
        let containers: Vec<_> = objects.iter_mut().flat_map(containers).collect();
        assert!(containers.len() > 8);
        for container in containers {
            let image = container["image"].as_str().unwrap();
            let known = ["l2sces:1", "l2sces-node:1"];
            assert!(
                image.strip_prefix("registry.example/team/").is_some_and(|i| known.contains(&i))
            );
            assert_eq!(container["imagePullPolicy"], "Never");
        }
    }

    #[test]
    fn the_userspace_datapath_changes_what_it_must_and_nothing_else() {
        let (system, netdev) = (
            workloads(&flags()).unwrap(),
            workloads(&WorkloadFlags { datapath: Datapath::Netdev, ..flags() }).unwrap(),
        );
        let environment = "/spec/template/spec/containers/0/env";
        let of = |objects, pointer: &str| {
            find(objects, "DaemonSet", "sps-agent").pointer(pointer).cloned().unwrap()
        };
        let (before, after) = (of(&system, environment), of(&netdev, environment));
        let added = json!({ "name": "L2SCES_DATAPATH_TYPE", "value": "netdev" });
        assert!(!before.as_array().unwrap().contains(&added));
        assert!(after.as_array().unwrap().contains(&added));
        assert_eq!(after.as_array().unwrap().len(), before.as_array().unwrap().len() + 1);
        let unchanged = "/spec/template/spec/volumes";
        assert_eq!(of(&system, unchanged), of(&netdev, unchanged));
    }

    #[test]
    fn the_database_may_be_known_by_another_secret() {
        let mut objects = workloads(&flags()).unwrap();
        set_database_secret(&mut objects, "mine").unwrap();
        let deployment = find(&objects, "Deployment", "sdn-controller");
        let environment = deployment.pointer("/spec/template/spec/containers/0/env").unwrap();
        let url =
            environment.as_array().unwrap().iter().find(|v| v["name"] == "L2SCES_DATABASE_URL");
        let reference = &url.unwrap()["valueFrom"]["secretKeyRef"];
        assert_eq!(reference, &json!({ "name": "mine", "key": "url" }));
    }
}
