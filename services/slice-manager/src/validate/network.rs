use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;

use super::{Described, Report, address, manager::manager, name::names};
use crate::domain::{Key, NetworkSpec, NetworkType, SliceSpec};

/// Most clusters that a network names.
const MAX_CLUSTERS: usize = 1_000;

/// The network that a client describes.
///
/// # Errors
/// Everything that is wrong with it, as far as it can be told from itself.
pub fn network(message: Option<&api::Network>) -> Result<Described<NetworkSpec>, Report> {
    let mut report = Report::default();
    let Some(message) = message else {
        return Err(Report::of("network", "must be set"));
    };
    let metadata = message.metadata.clone().unwrap_or_default();
    let name = report.check("network.metadata.name", metadata.name.parse::<Name>());
    let managed_by = manager(&mut report, "network.metadata.managed_by", metadata.managed_by);
    let slice = report.check("network.slice", message.slice.parse::<Name>());
    let spec = message.spec.clone().unwrap_or_default();
    let clusters = names(&mut report, "network.spec.clusters", &spec.clusters, MAX_CLUSTERS);
    match api::NetworkType::try_from(spec.r#type) {
        Ok(api::NetworkType::Unspecified | api::NetworkType::Vnet) => {}
        Err(_) => report.add("network.spec.type", format!("no such type: {}", spec.r#type)),
    }
    let cidr = match spec.cidr.as_str() {
        "" => None,
        text => report.check("network.spec.cidr", address::network(text)),
    };
    let described = name.zip(slice).map(|(name, slice)| Described {
        key: Key::Network { slice, name },
        spec: NetworkSpec { clusters, r#type: NetworkType::Vnet, cidr },
        etag: metadata.etag,
        managed_by,
    });
    report.finish(described)
}

/// Checks a network against its slice.
///
/// # Errors
/// Everything that it refers to and that is not there.
pub fn network_references(spec: &NetworkSpec, slice: &SliceSpec) -> Result<(), Report> {
    let mut report = Report::default();
    for (index, cluster) in spec.clusters.iter().enumerate() {
        if slice.cluster(cluster).is_none() {
            let field = format!("network.spec.clusters[{index}]");
            report.add(field, format!("no such cluster in the slice: '{cluster}'"));
        }
    }
    report.finish(Some(()))
}

/// Checks the replacement of a network's specification.
///
/// # Errors
/// Every field that cannot change and does.
pub fn network_changes(before: &NetworkSpec, after: &NetworkSpec) -> Result<(), Report> {
    let mut report = Report::default();
    if before.cidr != after.cidr {
        let before = before.cidr.map_or_else(|| "empty".to_owned(), |cidr| cidr.to_string());
        report.add("network.spec.cidr", format!("cannot be changed: it is {before}"));
    }
    if before.r#type != after.r#type {
        report.add("network.spec.type", "cannot be changed");
    }
    report.finish(Some(()))
}

#[cfg(test)]
mod tests {
    use l2sces_proto::resource::v1::Metadata;

    use super::*;

    fn message(clusters: &[&str], cidr: &str) -> api::Network {
        api::Network {
            metadata: Some(Metadata { name: "n".to_owned(), ..Metadata::default() }),
            slice: "s".to_owned(),
            spec: Some(api::NetworkSpec {
                clusters: clusters.iter().map(|&cluster| cluster.to_owned()).collect(),
                r#type: 0,
                cidr: cidr.to_owned(),
            }),
            status: None,
        }
    }

    fn fields(result: Result<impl Sized, Report>) -> Vec<String> {
        let report = result.err().unwrap_or_default();
        report.violations().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn accepts_good_networks() {
        for message in [
            message(&[], ""),
            message(&["a"], "10.1.0.0/24"),
            message(&["a", "b"], "fd00::/64"),
            api::Network { spec: None, ..message(&[], "") },
        ] {
            assert_eq!(fields(network(Some(&message))), [""; 0]);
        }
    }

    #[test]
    fn names_every_field_that_is_wrong() {
        assert_eq!(fields(network(None)), ["network"]);
        assert_eq!(fields(network(Some(&message(&[], "10.1.0.1/24")))), ["network.spec.cidr"]);
        assert_eq!(fields(network(Some(&message(&["a", "a"], "")))), ["network.spec.clusters[1]"]);
        let mut bad = message(&["A"], "10.1.0.0/31");
        bad.metadata = None;
        bad.slice = String::new();
        bad.spec.as_mut().unwrap().r#type = 7;
        assert_eq!(
            fields(network(Some(&bad))),
            [
                "network.metadata.name",
                "network.slice",
                "network.spec.clusters[0]",
                "network.spec.type",
                "network.spec.cidr"
            ]
        );
    }

    #[test]
    fn its_addresses_never_change() {
        let spec = |cidr| network(Some(&message(&[], cidr))).unwrap().spec;
        assert_eq!(fields(network_changes(&spec(""), &spec(""))), [""; 0]);
        assert_eq!(fields(network_changes(&spec(""), &spec("10.1.0.0/24"))), ["network.spec.cidr"]);
    }
}
