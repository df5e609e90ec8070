//! The manifests in `k8s/crds` are those that the types make, and an API server takes them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use l2sces_custom_resources::{definitions, manifest};
use serde_json::Value;

#[test]
fn the_manifests_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s/crds");
    let mut expected = BTreeSet::new();
    for definition in definitions() {
        let (name, text) = manifest(&definition).unwrap();
        let written = fs::read_to_string(directory.join(&name)).unwrap_or_default();
        assert!(written == text, "k8s/crds/{name} is out of date: run `cargo xtask crds`");
        expected.insert(name);
    }
    let found: BTreeSet<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    assert_eq!(found, expected, "run `cargo xtask crds`, and delete what has no definition");
}

/// What Kubernetes calls a structural schema: every value has one type, stated beside it. Version
/// 1.20 knows no rules in CEL besides.
#[test]
fn the_schemas_are_structural() {
    for definition in definitions() {
        for version in &definition.spec.versions {
            let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            let name = definition.metadata.name.clone().unwrap();
            assert_structural(&serde_json::to_value(schema).unwrap(), &name);
        }
    }
}

fn assert_structural(schema: &Value, path: &str) {
    assert!(schema["type"].is_string(), "{path} has no type: {schema}");
    for keyword in [
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "uniqueItems",
        "nullable",
        "x-kubernetes-validations",
    ] {
        assert!(schema.get(keyword).is_none(), "{path} has {keyword}: {schema}");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        assert_structural(property, &format!("{path}.{name}"));
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(keyword).filter(|inner| inner.is_object()) {
            assert_structural(inner, &format!("{path}[]"));
        }
    }
}

#[test]
fn upstream_defaults_stand_in_the_schemas() {
    let network = schema_of("l2networks.l2sm.l2sm.k8s.local");
    let overlay = schema_of("overlays.l2sm.l2sm.k8s.local");
    let device = schema_of("networkedgedevices.l2sm.l2sm.k8s.local");
    let cases = [
        (&network, "/spec/provider/sdnPort", Value::from("30808")),
        (&network, "/spec/provider/dnsPort", Value::from("30053")),
        (&network, "/spec/provider/dnsGrpcPort", Value::from("30818")),
        (&network, "/spec/provider/ofPort", Value::from("6633")),
        (&network, "/spec/ids/enabled", Value::from(true)),
        (&network, "/status/internalConnectivity", Value::from("Unavailable")),
        (&network, "/status/connectedPodCount", Value::from(0)),
        (&overlay, "/spec/interfaceNumber", Value::from(10)),
        (&overlay, "/spec/monitor/spreadFactor", Value::from("0.2")),
        (&overlay, "/spec/monitor/exportMetric/method", Value::from("default")),
        (&overlay, "/spec/monitor/exportMetric/serviceAccount", Value::from("default")),
        (&device, "/status/availability", Value::from("Unavailable")),
    ];
    for (schema, path, default) in cases {
        let pointer = path.replace('/', "/properties/");
        let property = schema.pointer(&pointer).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(property["default"], default, "{path}");
    }
    let required = |schema: &Value, path: &str| {
        let pointer = format!("{}/required", path.replace('/', "/properties/"));
        schema.pointer(&pointer).cloned().unwrap_or_default()
    };
    assert_eq!(required(&network, "/spec"), serde_json::json!(["type"]));
    assert_eq!(required(&network, "/spec/provider"), serde_json::json!(["domain", "name"]));
    assert_eq!(required(&overlay, "/spec"), serde_json::json!(["provider"]));
    assert_eq!(required(&device, "/spec"), serde_json::json!(["provider"]));
    assert_eq!(required(&device, "/spec/nodeConfig"), serde_json::json!(["ipAddress", "nodeName"]));
}

fn schema_of(name: &str) -> Value {
    let all = definitions();
    let definition =
        all.iter().find(|definition| definition.metadata.name.as_deref() == Some(name)).unwrap();
    let schema = definition.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}
