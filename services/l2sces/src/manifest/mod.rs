//! Resources as people write and read them: YAML documents or JSON objects that mirror the API's
//! messages, field by field.

mod cluster;
mod envelope;
mod measurement;
mod network;
mod port;
mod slice;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use cluster::{ClusterManifest, DriftPolicy};
pub(crate) use envelope::status_text;
pub(crate) use network::NetworkManifest;
pub(crate) use port::PortManifest;
pub(crate) use slice::SliceManifest;

/// The form of a file, for --help.
pub(crate) const HELP: &str = r#"The file holds YAML documents, separated by "---", or a JSON object; their order does not matter.
Fields are named as in the API (snake_case; camelCase is understood too), unknown ones are refused.
What `-o yaml` prints can be applied; uid, generation, revision, times and status are ignored then,
and etag, if there, guards against changes made meanwhile.

kind: Cluster
metadata: {name: a}
spec:
  direct: {controller_endpoint: "https://10.0.0.1:50052"}
  nodes:
  - name: a1
    underlay_address: 10.1.0.1
    agent_endpoint: https://10.1.0.1:50053
    gateway:                       # only if the node is a gateway
      agent_endpoint: https://10.1.0.1:50054
      underlay_address: 10.9.0.1
    labels: {size: large}          # slices choose by them who carries the frames of others
---
kind: Cluster
metadata: {name: b}
spec:
  kubernetes:                      # in place of direct
    api_endpoint: https://10.0.0.2:6443
    ca_pem: "-----BEGIN CERTIFICATE-----..."
    bearer_token: eyJhbGciOi...    # never shown again; or kubeconfig in place of these three
    namespace: default             # of the custom resources and the pods
    drift_policy: mend             # or report
  nodes:                           # without endpoints: the cluster's operator knows its agents
  - {name: b1, underlay_address: 10.2.0.1, gateway: {underlay_address: 10.9.0.2}}
---
kind: Slice
metadata: {name: s1}
spec:
  clusters:
  - cluster: a
    nodes: [a1, a2]                # none: all
    links: [{endpoint_a: a1, endpoint_b: a2, cost: 5}]   # none: every node with every other
    transit_labels: {size: large}  # who lacks one carries frames of others only if there is no other way
  - cluster: b
  links:                           # none: every cluster with every other
  - {endpoint_a: a, endpoint_b: b, cost: 5, gateway_a: a1}   # no gateway: every one of the cluster
  measurement:                     # none: nothing is measured
    metrics: [round-trip-time, jitter, loss, throughput]
    interval_ms: 10000
    probes: 20
    max_share_permille: 10
---
kind: Network
metadata: {name: blue}
slice: s1
spec:
  clusters: [a, b]                 # none: all of the slice
  type: vnet                       # the default
  cidr: 10.1.0.0/24                # none: ports get no addresses
---
kind: Port
metadata: {name: p1}
slice: s1
network: blue
spec:
  cluster: a
  node: a1
  namespace: {path: /run/netns/p1, interface_name: net1}   # or interface: {name: tap0}
  mac: "02:00:00:00:00:01"         # none: one is chosen; needed with interface
  address: 10.1.0.2                # none: one is chosen if the network has a CIDR"#;

/// The kinds of resources, parents first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    Cluster,
    Slice,
    Network,
    Port,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Slice => "slice",
            Self::Network => "network",
            Self::Port => "port",
        })
    }
}

/// A resource of any kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Manifest {
    Cluster(ClusterManifest),
    Slice(SliceManifest),
    Network(NetworkManifest),
    Port(Box<PortManifest>),
}

impl Manifest {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Cluster(_) => Kind::Cluster,
            Self::Slice(_) => Kind::Slice,
            Self::Network(_) => Kind::Network,
            Self::Port(_) => Kind::Port,
        }
    }
}

/// Why a text holds no manifests.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    /// It holds no document at all.
    #[error("no document in it")]
    Empty,
    /// A document is not as it should be.
    #[error("document {number}: {error}")]
    Document {
        /// Which one, from 1.
        number: usize,
        /// What is wrong where.
        error: serde_norway::Error,
    },
}

/// What decides how the rest of a document is read.
#[derive(Deserialize)]
struct Header {
    kind: Kind,
}

/// Reads all documents of a text, parents first.
///
/// # Errors
/// A document has an unknown field, lacks one, or is malformed.
pub(crate) fn parse(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let headers = serde_norway::Deserializer::from_str(text);
    let bodies = serde_norway::Deserializer::from_str(text);
    let mut manifests = Vec::new();
    for (number, (header, body)) in (1..).zip(headers.zip(bodies)) {
        let refused = |error| ManifestError::Document { number, error };
        // "---" with nothing behind it is an empty document.
        let Some(header) = Option::<Header>::deserialize(header).map_err(refused)? else {
            continue;
        };
        let manifest = match header.kind {
            Kind::Cluster => ClusterManifest::with_one_driver(body).map(Manifest::Cluster),
            Kind::Slice => SliceManifest::deserialize(body).map(Manifest::Slice),
            Kind::Network => NetworkManifest::deserialize(body).map(Manifest::Network),
            Kind::Port => {
                PortManifest::with_one_attachment(body).map(|port| Manifest::Port(Box::new(port)))
            }
        };
        manifests.push(manifest.map_err(refused)?);
    }
    if manifests.is_empty() {
        return Err(ManifestError::Empty);
    }
    manifests.sort_by_key(Manifest::kind);
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use l2sces_proto::slice::v1::{
        Cluster, Network, Port, Slice, cluster_spec::Driver, port_spec::Attachment,
    };

    use super::*;

    /// The example that `--help` shows.
    fn example() -> Vec<Manifest> {
        let (_, yaml) = HELP.split_once("\n\n").unwrap();
        parse(yaml).unwrap()
    }

    #[test]
    fn the_example_in_the_help_is_valid_and_complete() {
        let [
            Manifest::Cluster(cluster),
            Manifest::Cluster(kubernetes),
            Manifest::Slice(slice),
            Manifest::Network(network),
            Manifest::Port(port),
        ] = <[Manifest; 5]>::try_from(example()).unwrap()
        else {
            panic!("not one of each");
        };
        let cluster = Cluster::from(cluster);
        let node = &cluster.spec.unwrap().nodes[0];
        assert_eq!(node.gateway.as_ref().unwrap().underlay_address, "10.9.0.1");
        assert_eq!(node.labels["size"], "large");
        let spec = Cluster::from(kubernetes).spec.unwrap();
        assert_eq!(spec.nodes[0].gateway.as_ref().unwrap().underlay_address, "10.9.0.2");
        let Some(Driver::Kubernetes(driver)) = spec.driver else { panic!("no such driver") };
        assert_eq!(driver.drift_policy, 1);
        let slice = Slice::from(slice).spec.unwrap();
        assert_eq!(slice.clusters[0].links[0].endpoint_b, "a2");
        assert_eq!(slice.clusters[0].transit_labels["size"], "large");
        let link = &slice.links[0];
        assert_eq!((link.endpoint_b.as_str(), link.cost, link.gateway_a.as_str()), ("b", 5, "a1"));
        let network = Network::from(network);
        assert_eq!((network.slice.as_str(), network.spec.unwrap().r#type), ("s1", 1));
        let port = Port::from(*port);
        let spec = port.spec.unwrap();
        assert!(matches!(spec.attachment, Some(Attachment::Namespace(_))), "{spec:?}");
        assert_eq!((port.network.as_str(), spec.address.as_str()), ("blue", "10.1.0.2"));
    }

    /// What is shown of a resource: no token.
    fn without_secrets(manifest: Manifest) -> Manifest {
        let Manifest::Cluster(cluster) = manifest else { return manifest };
        let mut cluster = Cluster::from(cluster);
        if let Some(Driver::Kubernetes(driver)) = &mut cluster.spec.as_mut().unwrap().driver {
            assert!(!std::mem::take(&mut driver.bearer_token).is_empty());
        }
        Manifest::Cluster(cluster.into())
    }

    #[test]
    fn a_token_is_not_printed() {
        for manifest in example() {
            assert!(!serde_norway::to_string(&manifest).unwrap().contains("eyJ"));
            assert!(!format!("{manifest:?}").contains("eyJ"));
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for manifest in example().into_iter().map(without_secrets) {
            let yaml = serde_norway::to_string(&manifest).unwrap();
            assert_eq!(parse(&yaml).unwrap(), std::slice::from_ref(&manifest), "{yaml}");
            let json = serde_json::to_string_pretty(&manifest).unwrap();
            assert_eq!(parse(&json).unwrap(), [manifest], "{json}");
        }
    }

    #[test]
    fn conversion_to_the_api_and_back_loses_nothing() {
        for manifest in example() {
            let back = match manifest.clone() {
                Manifest::Cluster(m) => Manifest::Cluster(Cluster::from(m).into()),
                Manifest::Slice(m) => Manifest::Slice(Slice::from(m).into()),
                Manifest::Network(m) => Manifest::Network(Network::from(m).into()),
                Manifest::Port(m) => Manifest::Port(Box::new(Port::from(*m).into())),
            };
            assert_eq!(back, manifest);
        }
    }

    #[test]
    fn parents_come_first_whatever_their_order() {
        let text = "kind: Network\nmetadata: {name: n}\nslice: s\n---\n---\nkind: Slice\nmetadata: {name: s}\n";
        let kinds: Vec<_> = parse(text).unwrap().iter().map(Manifest::kind).collect();
        assert_eq!(kinds, [Kind::Slice, Kind::Network]);
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        let cases = [
            ("", "no document"),
            ("kind: Slice\n---\nkind: Gateway\n", "metadata"),
            ("kind: Gateway\n", "Gateway"),
            ("metadata: {name: a}\n", "kind"),
            (
                "kind: Network\nmetadata: {name: a}\nslice: s\nspec: {cidrs: x}\n",
                "spec: unknown field `cidrs`",
            ),
            ("kind: Cluster\nmetadata: {name: a}\nslice: s\n", "unknown field `slice`"),
            ("kind: Network\nmetadata: {name: a}\nspec: {type: star}\n", "spec.type"),
            (
                "kind: Cluster\nmetadata: {name: a}\nspec: {nodes: [{name: 7, port: 1}]}\n",
                "spec.nodes[0]",
            ),
            ("kind: Slice\nmetadata: {name: a, name: b}\n", "duplicate"),
            ("{", "document 1"),
            (
                "kind: Cluster\nmetadata: {name: a}\nspec: {direct: {controller_endpoint: e}, kubernetes: {}}\n",
                "direct and kubernetes exclude each other",
            ),
            (
                "kind: Port\nmetadata: {name: p}\nspec: {namespace: {path: /n}, interface: {name: t}}\n",
                "exclude each other",
            ),
        ];
        for (text, wanted) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }

    #[test]
    fn camel_case_is_understood() {
        let text = r#"{"kind": "Cluster", "metadata": {"name": "a"},
                       "spec": {"direct": {"controllerEndpoint": "https://c:1"},
                                "nodes": [{"name": "a1", "underlayAddress": "10.0.0.1",
                                           "agentEndpoint": "https://a1:1"}]}}"#;
        let Manifest::Cluster(cluster) = parse(text).unwrap().remove(0) else {
            panic!("no cluster")
        };
        let spec = Cluster::from(cluster).spec.unwrap();
        assert_eq!(spec.nodes[0].underlay_address, "10.0.0.1");
    }
}
