//! What a container runtime is told (CNI 1.1.0, section 5).

use l2sces_proto::attachment::v1::AttachedInterface;
use serde_json::{Map, Value, json};

use crate::{
    error::{CniError, Code},
    version::Version,
};

/// The versions that are spoken.
pub(crate) fn versions() -> String {
    let supported = Version::ALL.map(Version::as_str);
    json!({ "cniVersion": Version::LATEST.as_str(), "supportedVersions": supported }).to_string()
}

/// What the plugins before this one made, and then this one.
///
/// # Errors
/// What is said to have been made before makes no sense.
pub(crate) fn result(
    version: Version,
    previous: Option<&Value>,
    namespace_path: &str,
    made: &[AttachedInterface],
) -> Result<String, CniError> {
    let mut result = previous.and_then(Value::as_object).cloned().unwrap_or_default();
    result.insert("cniVersion".to_owned(), version.as_str().into());
    result.entry("dns").or_insert_with(|| json!({}));
    for interface in made {
        let interfaces = list(&mut result, "interfaces")?;
        let number = interfaces.len();
        interfaces.push(described(version, namespace_path, interface));
        if !interface.address.is_empty() {
            list(&mut result, "ips")?.push(address(version, number, &interface.address));
        }
    }
    Ok(Value::Object(result).to_string())
}

fn list<'a>(result: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>, CniError> {
    let value = result.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or_else(|| {
        CniError::new(Code::Configuration, format!("prevResult.{key} must be a list"))
    })
}

fn described(version: Version, namespace_path: &str, interface: &AttachedInterface) -> Value {
    let AttachedInterface { name, mac, mtu, .. } = interface;
    let mut value = json!({ "name": name, "mac": mac, "sandbox": namespace_path });
    if version >= Version::V1_1_0 {
        value["mtu"] = (*mtu).into();
    }
    value
}

fn address(version: Version, interface: usize, address: &str) -> Value {
    let mut value = json!({ "address": address, "interface": interface });
    if version < Version::V1_0_0 {
        value["version"] = if address.contains(':') { "6" } else { "4" }.into();
    }
    value
}

/// Says what of the interfaces that are there was not in the result of the ADD.
pub(crate) fn missing_in(previous: &Value, there: &[AttachedInterface]) -> Option<String> {
    let told = previous["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = there.iter().find(|interface| {
        let is_told = |told: &Value| {
            let mac = told["mac"].as_str().unwrap_or_default();
            told["name"] == interface.name && mac.eq_ignore_ascii_case(&interface.mac)
        };
        !told.iter().any(is_told)
    })?;
    let AttachedInterface { name, mac, .. } = missing;
    Some(format!("interface {name} with MAC address {mac} is not in prevResult"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> [AttachedInterface; 1] {
        [AttachedInterface {
            network: "blue".into(),
            name: "net1".into(),
            mac: "02:00:00:00:00:01".into(),
            address: "10.1.0.1/24".into(),
            mtu: 1438,
        }]
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_others_made_stays_and_ours_comes_behind_it() {
        let previous = json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/n"}],
            "ips": [{"version": "4", "address": "10.244.1.5/24", "interface": 1, "gateway": "10.244.1.1"}],
            "routes": [{"dst": "0.0.0.0/0"}],
        });
        let result = read(&result(Version::V0_4_0, Some(&previous), "/n", &made()).unwrap());
        assert_eq!(result["interfaces"][1], previous["interfaces"][1]);
        let ours = json!({"name": "net1", "mac": "02:00:00:00:00:01", "sandbox": "/n"});
        assert_eq!(result["interfaces"][2], ours);
        assert_eq!(result["ips"][0], previous["ips"][0]);
        let ours = json!({"version": "4", "address": "10.1.0.1/24", "interface": 2});
        assert_eq!(result["ips"][1], ours);
        assert_eq!(result["routes"], previous["routes"]);
        assert_eq!(missing_in(&result, &made()), None);
        assert!(missing_in(&previous, &made()).unwrap().contains("net1"));
    }

    #[test]
    fn each_version_has_its_own_form() {
        for version in Version::ALL {
            let result = read(&result(version, None, "/n", &made()).unwrap());
            assert_eq!(result["cniVersion"], version.as_str());
            let has_family = !result["ips"][0]["version"].is_null();
            assert_eq!(has_family, version < Version::V1_0_0, "{version}");
            let has_mtu = !result["interfaces"][0]["mtu"].is_null();
            assert_eq!(has_mtu, version >= Version::V1_1_0, "{version}");
        }
        let odd = json!({"interfaces": 7});
        let error = result(Version::LATEST, Some(&odd), "/n", &made()).unwrap_err();
        assert_eq!(error.code, Code::Configuration);
    }
}
