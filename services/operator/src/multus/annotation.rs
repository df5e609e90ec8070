use l2sces_custom_resources::NetworkSelection;
use serde_json::{Map, Value, json};

/// Annotation by which a pod asks Multus for networks.
pub(crate) const ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";
/// What a pod asks Multus for, and our networks behind it, once each. Our definitions are called as the
/// networks are.
///
/// # Errors
/// What is there already cannot be read.
pub(crate) fn append(
    existing: Option<&String>,
    namespace: &str,
    selections: &[NetworkSelection],
) -> Result<String, String> {
    let mut elements = match existing.map(|text| text.trim()).filter(|text| !text.is_empty()) {
        None => Vec::new(),
        Some(text) if text.starts_with('[') => serde_json::from_str(text)
            .map_err(|error| format!("annotation {ANNOTATION} is no list: {error}"))?,
        Some(text) => text.split(',').map(str::trim).map(element).collect(),
    };
    for selection in selections {
        let is_it = |element: &Value| {
            let own = element["namespace"].as_str().unwrap_or(namespace);
            element["name"] == selection.name && own == namespace
        };
        if !elements.iter().any(is_it) {
            elements.push(asked(namespace, selection));
        }
    }
    Ok(Value::Array(elements).to_string())
}

/// One of a list of names: `namespace/name@interface`, of which only the name must be there.
fn element(text: &str) -> Value {
    let (text, interface) = match text.split_once('@') {
        Some((text, interface)) => (text, Some(interface)),
        None => (text, None),
    };
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    let mut element = Map::from_iter([("name".to_owned(), json!(name))]);
    let optional = [("namespace", namespace), ("interface", interface)];
    for (key, value) in optional.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        element.insert(key.to_owned(), json!(value));
    }
    Value::Object(element)
}

fn asked(namespace: &str, selection: &NetworkSelection) -> Value {
    let mut element = json!({ "name": selection.name, "namespace": namespace });
    if let Some(address) = selection.address {
        element["ips"] = json!([address.to_string()]);
    }
    if let Some(interface) = &selection.interface_name {
        element["interface"] = json!(interface.to_string());
    }
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(name: &str) -> NetworkSelection {
        NetworkSelection {
            name: name.to_owned(),
            address: None,
            interface_name: None,
            namespace: None,
        }
    }

    fn appended(existing: Option<&str>) -> Result<Value, String> {
        let blue = NetworkSelection {
            address: Some("10.1.0.9".parse().unwrap()),
            interface_name: Some("eth7".parse().unwrap()),
            ..selection("blue")
        };
        let text = append(existing.map(str::to_owned).as_ref(), "shop", &[blue])?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_others_ask_for_stays_in_both_forms() {
        let blue =
            json!({"name": "blue", "namespace": "shop", "ips": ["10.1.0.9"], "interface": "eth7"});
        assert_eq!(appended(None).unwrap(), json!([blue]));
        assert_eq!(
            appended(Some("storage/fast@s0, lan")).unwrap(),
            json!([{"name": "fast", "namespace": "storage", "interface": "s0"}, {"name": "lan"}, blue])
        );
        assert_eq!(
            appended(Some(r#"[{"name": "lan", "mac": "02:00:00:00:00:01"}]"#)).unwrap(),
            json!([{"name": "lan", "mac": "02:00:00:00:00:01"}, blue])
        );
        assert!(appended(Some("[7")).is_err());
    }

    #[test]
    fn a_network_is_asked_for_once() {
        for existing in ["blue", "shop/blue", r#"[{"name": "blue", "namespace": "shop"}]"#] {
            assert_eq!(
                appended(Some(existing)).unwrap().as_array().unwrap().len(),
                1,
                "{existing}"
            );
        }
        assert_eq!(appended(Some("bank/blue")).unwrap().as_array().unwrap().len(), 2);
    }
}
