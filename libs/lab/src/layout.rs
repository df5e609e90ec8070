//! Where everything in a lab is: names, addresses and paths, derived from its topology and id.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use l2sces_model::Name;
use l2sces_pki::CredentialPaths;
use serde::{Deserialize, Serialize};

use crate::{
    error::LabError,
    kubernetes::layout::{CONTROL_CLUSTER, Kubernetes},
    topology::{ClusterTopology, Topology},
    unit::Unit,
};

/// Prefix length of the management network, 10.200.0.0/16.
pub(crate) const MANAGEMENT_PREFIX: u8 = 16;
/// Prefix length of every underlay.
pub(crate) const UNDERLAY_PREFIX: u8 = 24;
/// MTU of the underlays, in bytes.
pub const UNDERLAY_MTU: u32 = 1500;
/// Management address of the services that serve all clusters, in every lab.
pub const CONTROL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

/// The node's bridge that holds its underlay address.
pub const UNDERLAY_BRIDGE: &str = "br-phy";
/// The gateway's bridge that holds its WAN address.
pub const WAN_BRIDGE: &str = "br-wan";
/// How far the port of a service's metrics is from that of its gRPC.
const METRICS_PORT_OFFSET: u16 = 1_000;
/// Name of the database.
pub(crate) const DATABASE: &str = "l2sces";

/// Everything about a lab that does not change while it is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layout {
    /// Four hexadecimal digits, unique on the machine: part of every name.
    pub id: String,
    /// State directory: sockets, databases, certificates, logs.
    pub directory: PathBuf,
    /// Directory of our binaries.
    pub binaries: PathBuf,
    /// Where the control services run.
    pub control: Control,
    /// The network between the gateways.
    pub wan: Underlay,
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// The Kubernetes clusters.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// The database.
    pub postgres: Postgres,
    /// Credentials of an administrator.
    pub admin: Credentials,
}

/// Where the control services run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Control {
    /// Network namespace.
    pub namespace: String,
    /// Management address of the services that serve all clusters.
    pub address: Ipv4Addr,
    /// Where DNS is served.
    pub dns: SocketAddr,
    /// The services, without the sdn-controllers.
    pub services: Vec<Service>,
}

/// A network between hosts: a Linux bridge in a network namespace of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Underlay {
    /// Network namespace.
    pub namespace: String,
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Name.
    pub name: String,
    /// The network between its nodes.
    pub underlay: Underlay,
    /// Its sdn-controller.
    pub controller: Service,
    /// Management address of its sdn-controller.
    pub controller_address: Ipv4Addr,
    /// Present if the cluster has an operator; then [`Layout::kubernetes`] has the API server that
    /// it serves, of the same name.
    #[serde(default)]
    pub operator: Option<Service>,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Name, unique in the lab.
    pub name: String,
    /// Name of its cluster.
    pub cluster: String,
    /// Network namespace.
    pub namespace: String,
    /// Directory with the state of its Open vSwitch (`OVS_RUNDIR`).
    pub directory: PathBuf,
    /// Socket of its OVSDB server.
    pub ovsdb: PathBuf,
    /// Management address.
    pub management_address: Ipv4Addr,
    /// Underlay address.
    pub underlay_address: Ipv4Addr,
    /// Its sps-agent.
    pub sps_agent: Service,
    /// Socket of its sps-agent for the network plugin, if the cluster has an operator.
    #[serde(default)]
    pub attachment_socket: PathBuf,
    /// Present if the node is a gateway.
    pub gateway: Option<Gateway>,
}

/// What a gateway has besides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gateway {
    /// WAN address.
    pub wan_address: Ipv4Addr,
    /// Its ned-agent.
    pub ned_agent: Service,
}

/// One of our services.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Which.
    pub unit: Unit,
    /// gRPC endpoint; reachable inside the lab only.
    pub endpoint: String,
    /// Where it serves metrics; reachable inside the lab only.
    pub metrics: SocketAddr,
    /// Its credentials.
    pub credentials: Credentials,
}

/// Files of a certificate, its key and the authority's certificate, in PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Credentials {
    fn new(directory: &Path, name: &str) -> Self {
        let pki = directory.join("pki");
        Self {
            ca: pki.join("ca.pem"),
            cert: pki.join(format!("{name}.pem")),
            key: pki.join(format!("{name}.key")),
        }
    }

    /// The same, as `l2sces_pki` takes it.
    pub fn paths(&self) -> CredentialPaths {
        CredentialPaths { ca: self.ca.clone(), cert: self.cert.clone(), key: self.key.clone() }
    }

    /// The flags that hand them to one of our binaries.
    pub fn flags(&self) -> Vec<String> {
        [("--tls-ca", &self.ca), ("--tls-cert", &self.cert), ("--tls-key", &self.key)]
            .into_iter()
            .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
            .collect()
    }
}

/// The database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Postgres {
    /// Directory of its socket.
    pub socket_directory: PathBuf,
    /// Password of its superuser, `postgres`.
    pub admin_password: String,
    /// URL for its superuser.
    pub admin_url: String,
    /// A role and its schema, of the same name, for each service that stores.
    pub roles: Vec<Role>,
}

/// A service's role in the database; the schema that it owns has the same name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// The service.
    pub unit: Unit,
    /// Name of the role and the schema.
    pub name: String,
    /// Its password.
    pub password: String,
    /// URL for the service.
    pub url: String,
    /// URL for the service in a pod: a lab with Kubernetes has its Postgres listen on the management
    /// network.
    pub network_url: String,
}

impl Postgres {
    fn new(directory: &Path, units: &[Unit]) -> Self {
        let socket_directory = directory.join("pg");
        // The host of the URL gives way to the socket, but the URL's syntax wants one.
        let url = |role: &str, password: &str| {
            let socket = socket_directory.display();
            format!("postgres://{role}:{password}@localhost/{DATABASE}?host={socket}")
        };
        let roles = units
            .iter()
            .map(|unit| {
                let name = match unit {
                    Unit::SdnController(cluster) => format!("sdn_{cluster}"),
                    _ => unit.to_string(),
                }
                .replace('-', "_");
                let password = secret();
                Role {
                    unit: unit.clone(),
                    url: url(&name, &password),
                    network_url: format!(
                        "postgres://{name}:{password}@{CONTROL_ADDRESS}:5432/{DATABASE}"
                    ),
                    name,
                    password,
                }
            })
            .collect();
        let admin_password = secret();
        Self {
            admin_url: url("postgres", &admin_password),
            admin_password,
            roles,
            socket_directory,
        }
    }
}

/// 64 random bits in hexadecimal.
pub(crate) fn secret() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Which clusters have an API server of Kubernetes, though no nodes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiServers {
    /// Those that are none of Kubernetes, for operators.
    pub(crate) operators: bool,
    /// The control cluster, for a slice-operator.
    pub(crate) control_cluster: bool,
}

impl Layout {
    /// Lays out a lab.
    pub(crate) fn new(
        topology: &Topology,
        id: &str,
        directory: &Path,
        binaries: &Path,
        kubernetes_binaries: PathBuf,
        api_servers: &ApiServers,
    ) -> Result<Self, LabError> {
        topology.validate()?;
        let service = |unit: Unit, address: Ipv4Addr, port: u16| Service {
            endpoint: format!("https://{address}:{port}"),
            metrics: SocketAddr::from((address, port + METRICS_PORT_OFFSET)),
            credentials: Credentials::new(directory, &unit.to_string()),
            unit,
        };
        let address = CONTROL_ADDRESS;
        let controller_address = |cluster: u8| Ipv4Addr::new(10, 200, 0, 10 + cluster);
        let mut gateways = 0;
        let clusters: Vec<_> = (1_u8..)
            .zip(&topology.clusters)
            .map(|(c, cluster)| Cluster {
                name: cluster.name.to_string(),
                underlay: Underlay { namespace: format!("l2s-{id}-net-{}", cluster.name) },
                controller: service(
                    Unit::SdnController(cluster.name.to_string()),
                    controller_address(c),
                    50052,
                ),
                controller_address: controller_address(c),
                operator: api_servers.operators.then(|| {
                    let unit = Unit::Operator(cluster.name.to_string());
                    service(unit, controller_address(c), 50055)
                }),
                nodes: (1_u8..)
                    .zip(&cluster.nodes)
                    .map(|(n, node)| {
                        let name = node.name.to_string();
                        let management_address = Ipv4Addr::new(10, 200, c, n);
                        let node_directory = directory.join(&name);
                        Node {
                            cluster: cluster.name.to_string(),
                            namespace: format!("l2s-{id}-{}-{name}", cluster.name),
                            ovsdb: node_directory.join("db.sock"),
                            attachment_socket: node_directory.join("attachment.sock"),
                            directory: node_directory,
                            management_address,
                            underlay_address: Ipv4Addr::new(10, 101, c, n),
                            sps_agent: service(
                                Unit::SpsAgent(name.clone()),
                                management_address,
                                50053,
                            ),
                            gateway: node.gateway.then(|| {
                                gateways += 1;
                                Gateway {
                                    wan_address: Ipv4Addr::new(10, 199, 0, gateways),
                                    ned_agent: service(
                                        Unit::NedAgent(name.clone()),
                                        management_address,
                                        50054,
                                    ),
                                }
                            }),
                            name,
                        }
                    })
                    .collect(),
            })
            .collect();
        let mut storing = vec![Unit::SliceManager, Unit::ScoProvider, Unit::InterDomainDns];
        storing.extend(clusters.iter().map(|cluster| cluster.controller.unit.clone()));
        let mut with_api_server = topology.kubernetes.clone();
        let without_nodes = |name: &Name| ClusterTopology { name: name.clone(), nodes: Vec::new() };
        if api_servers.operators {
            let names = topology.clusters.iter().map(|cluster| &cluster.name);
            with_api_server.extend(names.map(without_nodes));
        }
        let mut services = vec![
            service(Unit::SliceManager, address, 50051),
            service(Unit::ScoProvider, address, 50060),
            service(Unit::InterDomainDns, address, 50070),
        ];
        if api_servers.control_cluster {
            with_api_server.push(without_nodes(&Name::standing_for(CONTROL_CLUSTER)));
            services.push(service(Unit::SliceOperator, address, 50057));
        }
        let kubernetes = Kubernetes::new(&with_api_server, id, directory, kubernetes_binaries);
        let in_pods = topology.kubernetes.iter().map(|cluster| cluster.name.to_string());
        storing.extend(in_pods.map(Unit::SdnController));
        Ok(Self {
            id: id.to_owned(),
            directory: directory.to_owned(),
            binaries: binaries.to_owned(),
            control: Control {
                namespace: format!("l2s-{id}-ctl"),
                address,
                dns: SocketAddr::from((address, 53)),
                services,
            },
            wan: Underlay { namespace: format!("l2s-{id}-wan") },
            clusters,
            kubernetes,
            postgres: Postgres::new(directory, &storing),
            admin: Credentials::new(directory, "admin"),
        })
    }

    /// What every namespace's name begins with.
    pub fn prefix(&self) -> String {
        format!("l2s-{}-", self.id)
    }

    /// Log file of a process.
    pub(crate) fn log(&self, unit: &Unit) -> PathBuf {
        self.directory.join("log").join(format!("{unit}.log"))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.clusters.iter().flat_map(|cluster| &cluster.nodes)
    }

    /// A node by name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&Node, LabError> {
        self.nodes()
            .find(|node| node.name == name)
            .ok_or_else(|| LabError::Unknown { kind: "node", name: name.to_owned() })
    }

    /// A cluster by name.
    ///
    /// # Errors
    /// There is none.
    pub fn cluster(&self, name: &str) -> Result<&Cluster, LabError> {
        self.clusters
            .iter()
            .find(|cluster| cluster.name == name)
            .ok_or_else(|| LabError::Unknown { kind: "cluster", name: name.to_owned() })
    }

    /// All of our services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        let of_clusters = self.clusters.iter().flat_map(|cluster| {
            let agents = cluster.nodes.iter().flat_map(|node| {
                let ned_agent = node.gateway.iter().map(|gateway| &gateway.ned_agent);
                std::iter::once(&node.sps_agent).chain(ned_agent)
            });
            std::iter::once(&cluster.controller).chain(&cluster.operator).chain(agents)
        });
        self.control.services.iter().chain(of_clusters)
    }

    /// One of our services.
    ///
    /// # Errors
    /// It is not in the lab.
    pub fn service(&self, unit: &Unit) -> Result<&Service, LabError> {
        self.services()
            .find(|service| service.unit == *unit)
            .ok_or_else(|| LabError::Unknown { kind: "service", name: unit.to_string() })
    }

    /// A service's role in the database.
    ///
    /// # Errors
    /// The service has none.
    pub fn role(&self, unit: &Unit) -> Result<&Role, LabError> {
        self.postgres
            .roles
            .iter()
            .find(|role| role.unit == *unit)
            .ok_or_else(|| LabError::Unknown { kind: "database role", name: unit.to_string() })
    }
}

impl Node {
    /// Control socket of its ovs-vswitchd, for `ovs-appctl -t`.
    pub fn vswitchd_control(&self) -> PathBuf {
        self.directory.join("ovs-vswitchd.ctl")
    }

    /// OpenFlow management socket of a bridge, in the notation of `ovs-ofctl`.
    pub fn openflow(&self, bridge: &str) -> String {
        format!("unix:{}", self.directory.join(format!("{bridge}.mgmt")).display())
    }
}
