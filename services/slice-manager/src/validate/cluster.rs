use std::{collections::BTreeMap, net::IpAddr};

use l2sces_model::Name;
use l2sces_proto::slice::v1 as api;

use super::{Described, Report, Rules, address, kubernetes::kubernetes, label, manager::manager};
use crate::{
    domain::{Endpoint, Gateway, Key, KubernetesServer, Node},
    vault::Credentials,
};

/// A cluster as a client describes it: credentials are not sealed yet, and may be left out.
#[derive(Clone, PartialEq, Debug)]
pub struct ClusterDescription {
    /// How it is reached.
    pub driver: DriverDescription,
    /// Its hosts; names are unique.
    pub nodes: Vec<Node>,
}

/// How a client says that a cluster is reached.
#[derive(Clone, PartialEq, Debug)]
pub enum DriverDescription {
    /// By calls of its sdn-controller, which listens here.
    Direct(Endpoint),
    /// By custom resources in its API server.
    Kubernetes {
        /// The server, and what is done there.
        server: KubernetesServer,
        /// As whom; none: as before.
        credentials: Option<Credentials>,
    },
}

/// Most nodes of a cluster.
const MAX_NODES: usize = 10_000;

/// The cluster that a client describes.
///
/// # Errors
/// Everything that is wrong with it.
pub fn cluster(
    message: Option<&api::Cluster>,
    rules: Rules,
) -> Result<Described<ClusterDescription>, Report> {
    let mut report = Report::default();
    let Some(message) = message else {
        return Err(Report::of("cluster", "must be set"));
    };
    let metadata = message.metadata.clone().unwrap_or_default();
    let name = report.check("cluster.metadata.name", metadata.name.parse::<Name>());
    let managed_by = manager(&mut report, "cluster.metadata.managed_by", metadata.managed_by);
    let empty = api::ClusterSpec::default();
    let spec = message.spec.as_ref().unwrap_or_else(|| {
        report.add("cluster.spec", "must be set");
        &empty
    });
    let driver = match &spec.driver {
        Some(api::cluster_spec::Driver::Direct(direct)) => endpoint(
            &mut report,
            "cluster.spec.direct.controller_endpoint",
            &direct.controller_endpoint,
            rules,
        )
        .map(DriverDescription::Direct),
        Some(api::cluster_spec::Driver::Kubernetes(driver)) => {
            let described = kubernetes(&mut report, driver);
            described
                .map(|(server, credentials)| DriverDescription::Kubernetes { server, credentials })
        }
        None => {
            if message.spec.is_some() {
                report.add("cluster.spec.direct", "must be set, or kubernetes");
            }
            None
        }
    };
    let has_operator = matches!(spec.driver, Some(api::cluster_spec::Driver::Kubernetes(_)));
    let agents = if has_operator { Agents::Operators } else { Agents::Named(rules) };
    report.limit("cluster.spec.nodes", spec.nodes.len(), MAX_NODES);
    let mut owners = Owners::default();
    let nodes = spec.nodes.iter().take(MAX_NODES).enumerate().filter_map(|(index, message)| {
        node(&mut report, &mut owners, &format!("cluster.spec.nodes[{index}]"), message, agents)
    });
    let nodes: Vec<Node> = nodes.collect();
    let described = name.zip(driver).map(|(name, driver)| Described {
        key: Key::Cluster(name),
        spec: ClusterDescription { driver, nodes },
        etag: metadata.etag,
        managed_by,
    });
    report.finish(described)
}

/// Who knows where the agents of a cluster are.
#[derive(Clone, Copy)]
enum Agents {
    /// Whoever describes the cluster.
    Named(Rules),
    /// The cluster's operator.
    Operators,
}

impl Agents {
    /// The endpoint that a node is described with, which there must be, or not.
    fn read(self, report: &mut Report, field: &str, text: &str) -> Option<Option<Endpoint>> {
        match self {
            Self::Named(rules) => endpoint(report, field, text, rules).map(Some),
            Self::Operators => {
                if !text.is_empty() {
                    report.add(field, "must be empty: the cluster's operator knows its agents");
                }
                Some(None)
            }
        }
    }
}

/// What only one node of a cluster can have.
#[derive(Default)]
struct Owners {
    names: BTreeMap<Name, String>,
    agents: BTreeMap<Endpoint, String>,
    /// A gateway's two addresses may be one: its tunnels differ in their UDP port.
    addresses: BTreeMap<IpAddr, (Name, &'static str)>,
    family: Option<(bool, String)>,
}

fn node(
    report: &mut Report,
    owners: &mut Owners,
    field: &str,
    message: &api::Node,
    agents: Agents,
) -> Option<Node> {
    let name = report.check(&format!("{field}.name"), message.name.parse::<Name>());
    if let Some(name) = &name {
        if owners.names.contains_key(name) {
            report.add(format!("{field}.name"), format!("'{name}' is there already"));
        }
        owners.names.insert(name.clone(), field.to_owned());
    }
    let underlay_field = format!("{field}.underlay_address");
    let underlay = report.check(&underlay_field, address::underlay(&message.underlay_address));
    let agent_field = format!("{field}.agent_endpoint");
    let agent = agents.read(report, &agent_field, &message.agent_endpoint);
    let gateway = message.gateway.as_ref().map(|message| {
        let underlay_field = format!("{field}.gateway.underlay_address");
        let gateway_underlay =
            report.check(&underlay_field, address::underlay(&message.underlay_address));
        let agent_field = format!("{field}.gateway.agent_endpoint");
        let gateway_agent = agents.read(report, &agent_field, &message.agent_endpoint);
        if let (Some(name), Some(address)) = (&name, gateway_underlay) {
            owners.take_address(report, underlay_field, address, name, "gateway");
        }
        owners.take_agent(report, agent_field, gateway_agent.iter().flatten().next());
        gateway_underlay.zip(gateway_agent)
    });
    if let (Some(name), Some(address)) = (&name, underlay) {
        owners.take_family(report, &underlay_field, address);
        owners.take_address(report, underlay_field, address, name, "node");
    }
    owners.take_agent(report, agent_field, agent.iter().flatten().next());
    let labels = label::labels(report, &format!("{field}.labels"), &message.labels);
    let gateway = match gateway {
        None => None,
        Some(parsed) => {
            let (underlay, agent) = parsed?;
            Some(Gateway { agent, underlay })
        }
    };
    Some(Node { name: name?, underlay: underlay?, agent: agent?, gateway, labels, generation: 0 })
}

impl Owners {
    fn take_address(
        &mut self,
        report: &mut Report,
        field: String,
        address: IpAddr,
        node: &Name,
        role: &'static str,
    ) {
        match self.addresses.get(&address) {
            Some((owner, owned_as)) if owner != node || *owned_as == role => {
                report.add(field, format!("{address} is node '{owner}''s already"));
            }
            _ => {
                self.addresses.insert(address, (node.clone(), role));
            }
        }
    }

    fn take_agent(&mut self, report: &mut Report, field: String, agent: Option<&Endpoint>) {
        let Some(agent) = agent else { return };
        if let Some(owner) = self.agents.get(agent) {
            report.add(field, format!("must differ from {owner}"));
        } else {
            self.agents.insert(agent.clone(), field);
        }
    }

    /// A tunnel has two ends of one family, and every two nodes of a cluster may be linked.
    fn take_family(&mut self, report: &mut Report, field: &str, address: IpAddr) {
        match &self.family {
            None => self.family = Some((address.is_ipv4(), field.to_owned())),
            Some((v4, first)) if *v4 != address.is_ipv4() => {
                report.add(field, format!("must be of the same IP version as {first}"));
            }
            Some(_) => {}
        }
    }
}

fn endpoint(report: &mut Report, field: &str, text: &str, rules: Rules) -> Option<Endpoint> {
    let endpoint: Endpoint = report.check(field, text.parse())?;
    if endpoint.is_plaintext() && !rules.plaintext {
        report.add(field, "must begin with https://");
        return None;
    }
    Some(endpoint)
}

#[cfg(test)]
mod tests {
    use l2sces_proto::resource::v1::Metadata;

    use super::*;

    fn node(name: &str, last: u8) -> api::Node {
        api::Node {
            name: name.to_owned(),
            underlay_address: format!("10.0.0.{last}"),
            agent_endpoint: format!("https://10.0.0.{last}:50053"),
            gateway: None,
            labels: BTreeMap::new(),
        }
    }

    fn good() -> api::Cluster {
        let mut gateway = node("n2", 2);
        gateway.gateway = Some(api::Gateway {
            agent_endpoint: "https://10.0.0.2:50054".to_owned(),
            underlay_address: "10.0.0.2".to_owned(),
        });
        api::Cluster {
            metadata: Some(Metadata { name: "a".to_owned(), ..Metadata::default() }),
            spec: Some(api::ClusterSpec {
                driver: Some(api::cluster_spec::Driver::Direct(api::DirectDriver {
                    controller_endpoint: "https://10.0.0.5:50052".to_owned(),
                })),
                nodes: vec![node("n1", 1), gateway],
            }),
            status: None,
        }
    }

    #[test]
    fn accepts_a_good_cluster() {
        let described = cluster(Some(&good()), Rules::default()).unwrap();
        assert_eq!(described.key, Key::Cluster("a".parse().unwrap()));
        assert_eq!(described.spec.nodes.len(), 2);
        assert!(described.spec.nodes[1].gateway.is_some());
    }

    #[test]
    fn names_every_field_that_is_wrong() {
        type Spoil = fn(&mut api::Cluster, &mut api::ClusterSpec);
        let cases: &[(Spoil, &[&str])] = &[
            (|c, _| c.metadata = None, &["cluster.metadata.name"]),
            (|_, s| s.driver = None, &["cluster.spec.direct"]),
            (
                |_, s| {
                    s.driver = Some(api::cluster_spec::Driver::Direct(api::DirectDriver {
                        controller_endpoint: "http://10.0.0.5:1".to_owned(),
                    }));
                },
                &["cluster.spec.direct.controller_endpoint"],
            ),
            (|_, s| s.nodes[1].name = "n1".to_owned(), &["cluster.spec.nodes[1].name"]),
            (|_, s| s.nodes[0].name = "N".to_owned(), &["cluster.spec.nodes[0].name"]),
            (
                |_, s| s.driver = Some(api::cluster_spec::Driver::Kubernetes(Default::default())),
                &[
                    "cluster.spec.kubernetes.api_endpoint",
                    "cluster.spec.kubernetes.ca_pem",
                    "cluster.spec.nodes[0].agent_endpoint",
                    "cluster.spec.nodes[1].agent_endpoint",
                    "cluster.spec.nodes[1].gateway.agent_endpoint",
                ],
            ),
            (
                |_, s| s.nodes[1].labels = [("a b".to_owned(), String::new())].into(),
                &["cluster.spec.nodes[1].labels[\"a b\"]"],
            ),
            (
                |_, s| s.nodes[0].underlay_address = "127.0.0.1".to_owned(),
                &["cluster.spec.nodes[0].underlay_address"],
            ),
            (
                |_, s| s.nodes[1].underlay_address = "10.0.0.1".to_owned(),
                &["cluster.spec.nodes[1].underlay_address"],
            ),
            (
                |_, s| s.nodes[1].underlay_address = "fd00::1".to_owned(),
                &["cluster.spec.nodes[1].underlay_address"],
            ),
            (
                |_, s| s.nodes[0].agent_endpoint = "10.0.0.1:50053".to_owned(),
                &["cluster.spec.nodes[0].agent_endpoint"],
            ),
            (
                |_, s| s.nodes[1].agent_endpoint = "https://10.0.0.1:50053".to_owned(),
                &["cluster.spec.nodes[1].agent_endpoint"],
            ),
            (
                |_, s| s.nodes[1].gateway = Some(api::Gateway::default()),
                &[
                    "cluster.spec.nodes[1].gateway.underlay_address",
                    "cluster.spec.nodes[1].gateway.agent_endpoint",
                ],
            ),
            (
                |c, s| {
                    c.metadata = None;
                    s.nodes[0] = api::Node::default();
                },
                &[
                    "cluster.metadata.name",
                    "cluster.spec.nodes[0].name",
                    "cluster.spec.nodes[0].underlay_address",
                    "cluster.spec.nodes[0].agent_endpoint",
                ],
            ),
        ];
        for (spoil, fields) in cases {
            let mut message = good();
            let mut spec = message.spec.take().unwrap();
            spoil(&mut message, &mut spec);
            message.spec = Some(spec);
            let report = cluster(Some(&message), Rules::default()).unwrap_err();
            let found: Vec<_> = report.violations().iter().map(|v| v.field.as_str()).collect();
            assert_eq!(found, *fields, "{report}");
        }
        assert!(cluster(None, Rules::default()).is_err());
    }

    #[test]
    fn plaintext_needs_the_flag() {
        let mut message = good();
        message.spec.as_mut().unwrap().nodes[0].agent_endpoint = "http://10.0.0.1:50053".to_owned();
        assert!(cluster(Some(&message), Rules::default()).is_err());
        assert!(cluster(Some(&message), Rules { plaintext: true }).is_ok());
    }

    #[test]
    fn a_report_is_bounded() {
        let mut message = good();
        message.spec.as_mut().unwrap().nodes = vec![api::Node::default(); 10_001];
        let report = cluster(Some(&message), Rules::default()).unwrap_err();
        assert_eq!(report.violations().len(), 20);
        assert_eq!(report.violations()[0].field, "cluster.spec.nodes");
    }
}
