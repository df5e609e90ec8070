use ipnet::IpNet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use l2sces_custom_resources::{
    L2Network, LABEL_ATTACHED, NETWORKS_ANNOTATION, NetworkSelection, SWITCH_NODE_LABEL,
    parse_networks,
};
use l2sces_model::HostAddress;

use crate::{
    attachment::{Directory, DirectoryError},
    multus,
};

/// What is to become of a pod.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is taken, as it is or changed, and whoever makes it is told something.
    Taken { pod: Box<Pod>, warnings: Vec<String> },
    /// It is refused, and why.
    Refused(String),
}

/// Decides about a pod that is being made in a namespace.
///
/// # Errors
/// Nobody can tell which networks there are.
pub(super) async fn review(
    directory: &dyn Directory,
    has_multus: bool,
    namespace: &str,
    pod: Pod,
) -> Result<Verdict, DirectoryError> {
    let mut taken = Verdict::Taken { pod: Box::new(pod.clone()), warnings: Vec::new() };
    if pod.labels().get(LABEL_ATTACHED).is_none_or(|value| value != "true") {
        return Ok(taken);
    }
    let Some(annotation) = pod.annotations().get(NETWORKS_ANNOTATION) else {
        if let Verdict::Taken { warnings, .. } = &mut taken {
            warnings.push(format!("no annotation {NETWORKS_ANNOTATION}: attached to no network"));
        }
        return Ok(taken);
    };
    let selections = match parse_networks(annotation) {
        Ok(selections) => selections,
        Err(error) => {
            return Ok(Verdict::Refused(format!("annotation {NETWORKS_ANNOTATION} {error}")));
        }
    };
    if pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)) {
        return Ok(Verdict::Refused(
            "a pod in the host's network namespace is attached to no other network".to_owned(),
        ));
    }
    let mut warnings = Vec::new();
    for selection in &selections {
        match check(directory, namespace, selection).await? {
            Ok(warning) => warnings.extend(warning),
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        }
    }
    let mut pod = pod;
    place(&mut pod);
    if has_multus {
        match multus::append(pod.annotations().get(multus::ANNOTATION), namespace, &selections) {
            Ok(value) => drop(pod.annotations_mut().insert(multus::ANNOTATION.to_owned(), value)),
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        }
    }
    Ok(Verdict::Taken { pod: Box::new(pod), warnings })
}

/// What is to be said about a network that a pod asks for, or why it is not to be had.
async fn check(
    directory: &dyn Directory,
    namespace: &str,
    selection: &NetworkSelection,
) -> Result<Result<Option<String>, String>, DirectoryError> {
    let NetworkSelection { name, address, namespace: other, .. } = selection;
    if let Some(other) = other.as_ref().filter(|other| *other != namespace) {
        return Ok(Err(format!(
            "network {other}/{name} is not in the pod's namespace {namespace}: a pod is attached to \
             networks of its own namespace only"
        )));
    }
    let Some(network) = directory.network(namespace, name).await? else {
        return Ok(Err(format!("there is no L2Network {name} in namespace {namespace}")));
    };
    Ok(address.map_or(Ok(None), |address| check_address(&network, name, address)))
}

fn check_address(
    network: &L2Network,
    name: &str,
    address: HostAddress,
) -> Result<Option<String>, String> {
    let Some(cidr) = network.spec.network_cidr.as_deref().filter(|cidr| !cidr.is_empty()) else {
        return Ok(address.prefix_len().is_none().then(|| {
            format!(
                "network {name} has no networkCIDR: {address} is not given, as it does not say how long \
                 its prefix is"
            )
        }));
    };
    let address = address.address();
    // What is no CIDR, the network itself is told.
    let Ok(cidr) = cidr.parse::<IpNet>() else { return Ok(None) };
    let is_host = cidr.prefix_len() + 1 >= cidr.max_prefix_len()
        || (address != cidr.network() && address != cidr.broadcast());
    if cidr.contains(&address) && is_host {
        Ok(None)
    } else {
        Err(format!("network {name}: {address} is no address of a host in {cidr}"))
    }
}

/// Lets the scheduler choose among the nodes that have a switch. Whoever has chosen already is left
/// alone.
fn place(pod: &mut Pod) {
    let Some(spec) = pod.spec.as_mut().filter(|spec| spec.node_name.is_none()) else { return };
    let selector = spec.node_selector.get_or_insert_default();
    selector.entry(SWITCH_NODE_LABEL.to_owned()).or_insert_with(|| "true".to_owned());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use serde_json::json;

    use super::*;

    /// The networks of namespace "shop": blue has addresses, bare has none.
    struct Shop;

    #[async_trait]
    impl Directory for Shop {
        async fn pod(&self, _: &str, _: &str) -> Result<Option<Pod>, DirectoryError> {
            Ok(None)
        }

        async fn network(
            &self,
            namespace: &str,
            name: &str,
        ) -> Result<Option<L2Network>, DirectoryError> {
            let cidr = match (namespace, name) {
                ("shop", "blue") => "10.1.0.0/24",
                ("shop", "bare") => "",
                _ => return Ok(None),
            };
            let network = json!({
                "apiVersion": "l2sm.l2sm.k8s.local/v1", "kind": "L2Network",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"type": "vnet", "networkCIDR": cidr},
            });
            Ok(Some(serde_json::from_value(network).unwrap()))
        }
    }

    fn pod(networks: &str) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "labels": {"l2sm": "true"}},
            "spec": {"containers": [{"name": "c"}]},
        }))
        .unwrap();
        pod.annotations_mut().insert(NETWORKS_ANNOTATION.to_owned(), networks.to_owned());
        pod
    }

    async fn decide(pod: Pod, has_multus: bool) -> Verdict {
        review(&Shop, has_multus, "shop", pod).await.unwrap()
    }

    async fn refusal(networks: &str) -> String {
        match decide(pod(networks), false).await {
            Verdict::Refused(message) => message,
            taken => panic!("{networks}: {taken:?}"),
        }
    }

    async fn taken(pod: Pod, has_multus: bool) -> (Pod, Vec<String>) {
        match decide(pod, has_multus).await {
            Verdict::Taken { pod, warnings } => (*pod, warnings),
            refused => panic!("{refused:?}"),
        }
    }

    #[tokio::test]
    async fn nonsense_and_strangers_are_refused_by_name() {
        assert!(refusal("").await.contains("l2sm/networks"));
        assert!(refusal("[{").await.contains("l2sm/networks"));
        assert!(refusal("green").await.contains("no L2Network green in namespace shop"));
        let foreign = refusal(r#"[{"name": "blue", "namespace": "bank"}]"#).await;
        assert!(foreign.contains("bank/blue") && foreign.contains("shop"), "{foreign}");
        for address in ["10.2.0.1", "10.1.0.0", "10.1.0.255/24", "fd00::1"] {
            let text = format!(r#"[{{"name": "blue", "ips": ["{address}"]}}]"#);
            assert!(refusal(&text).await.contains("no address of a host"), "{address}");
        }
        let mut in_host = pod("blue");
        in_host.spec.as_mut().unwrap().host_network = Some(true);
        assert!(matches!(decide(in_host, false).await, Verdict::Refused(_)));
    }

    #[tokio::test]
    async fn a_pod_comes_to_a_node_with_a_switch() {
        let selector = BTreeMap::from([(SWITCH_NODE_LABEL.to_owned(), "true".to_owned())]);
        let (changed, warnings) =
            taken(pod(r#"[{"name": "blue", "ips": ["10.1.0.9"]}]"#), false).await;
        assert_eq!(changed.spec.unwrap().node_selector, Some(selector));
        assert!(warnings.is_empty());
        let mut placed = pod("blue");
        placed.spec.as_mut().unwrap().node_name = Some("n1".to_owned());
        assert_eq!(taken(placed.clone(), false).await.0, placed);
        let mut other = pod("blue");
        other.labels_mut().clear();
        assert_eq!(taken(other.clone(), false).await.0, other);
        let (_, warnings) = taken(pod(r#"[{"name": "bare", "ips": ["10.1.0.9"]}]"#), false).await;
        assert_eq!(warnings.len(), 1);
    }

    #[tokio::test]
    async fn multus_is_asked_where_it_is() {
        let (changed, _) = taken(pod("blue"), true).await;
        let annotation = &changed.annotations()[multus::ANNOTATION];
        let expected = json!([{"name": "blue", "namespace": "shop"}]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(annotation).unwrap(), expected);
        assert!(!taken(pod("blue"), false).await.0.annotations().contains_key(multus::ANNOTATION));
    }
}
