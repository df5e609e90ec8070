//! How our binaries are started, and when they are healthy.

use std::{collections::BTreeMap, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::try_join_all;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    channel,
    error::LabError,
    kubernetes::{
        credentials::{self, SLICE_OPERATOR},
        layout::CONTROL_CLUSTER,
    },
    layout::{Cluster, Layout, Node, Service, UNDERLAY_MTU},
    namespace::Namespace,
    process::{ProcessSpec, Supervisor},
    unit::Unit,
    wait,
};

/// Port of the sdn-controllers' OpenFlow listener.
const SDN_OPENFLOW_PORT: u16 = 6653;
/// Port of the sco-provider's OpenFlow listener.
const SCO_OPENFLOW_PORT: u16 = 6654;

/// How long a service may take to become healthy; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a service that comes up may take to answer before it is asked again.
const ANSWER: Duration = Duration::from_secs(5);

/// What all services are started with.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// Filter of their logs, as in `RUST_LOG`.
    pub(crate) log_filter: String,
    /// Environment variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Starts every service. They need not be started in an order.
pub(crate) async fn up(
    layout: &Layout,
    supervisor: &Supervisor,
    common: &Common,
) -> Result<(), LabError> {
    let mut specs = control(layout)?;
    for cluster in &layout.clusters {
        specs.push(sdn_controller(layout, cluster)?);
        if let Some(service) = &cluster.operator {
            specs.push(operator(layout, cluster, service)?);
        }
        for node in &cluster.nodes {
            let mut sps_agent = agent(layout, node, &node.sps_agent, "br-sps");
            if let Some(operator) = &cluster.operator {
                sps_agent.arguments.extend(flags([
                    ("--attachment-socket", node.attachment_socket.display().to_string()),
                    ("--operator", operator.endpoint.clone()),
                    ("--node", node.name.clone()),
                ]));
            }
            specs.push(sps_agent);
            if let Some(gateway) = &node.gateway {
                specs.push(agent(layout, node, &gateway.ned_agent, "br-ned"));
            }
        }
    }
    for mut spec in specs {
        spec.arguments.extend(["--log-filter".to_owned(), common.log_filter.clone()]);
        spec.environment.extend(common.environment.clone());
        supervisor.add(spec).await?;
    }
    try_join_all(layout.services().map(|service| healthy(layout, supervisor, service))).await?;
    Ok(())
}

fn control(layout: &Layout) -> Result<Vec<ProcessSpec>, LabError> {
    let namespace = &layout.control.namespace;
    let sco_provider = endpoint(layout, &Unit::ScoProvider)?;
    let dns = endpoint(layout, &Unit::InterDomainDns)?;
    layout
        .control
        .services
        .iter()
        .map(|service| {
            let arguments = match service.unit {
                Unit::SliceManager => flags([
                    ("--sco-provider", sco_provider.clone()),
                    ("--encryption-key-file", encryption_key(layout)?),
                ]),
                Unit::ScoProvider => {
                    let address = layout.control.address;
                    let mut arguments = flags([
                        ("--dns", dns.clone()),
                        ("--openflow-listen", format!("{address}:{SCO_OPENFLOW_PORT}")),
                        ("--openflow-advertise", format!("ssl:{address}:{SCO_OPENFLOW_PORT}")),
                        ("--underlay-mtu", UNDERLAY_MTU.to_string()),
                    ]);
                    // Agents in pods have no certificates yet.
                    if layout.kubernetes.nodes().next().is_some() {
                        arguments.extend(flags([("--authority", pki(layout))]));
                    }
                    arguments
                }
                Unit::SliceOperator => {
                    let slice_manager = endpoint(layout, &Unit::SliceManager)?;
                    flags([
                        ("--slice-manager", slice_manager),
                        ("--replica", service.unit.to_string()),
                    ])
                }
                _ => flags([("--dns-listen", layout.control.dns.to_string())]),
            };
            let spec = spec(layout, service, namespace, arguments);
            if service.unit == Unit::SliceOperator {
                let cluster = layout.kubernetes.cluster(CONTROL_CLUSTER)?;
                return Ok(with_kubeconfig(spec, &cluster.kubeconfig_of(SLICE_OPERATOR)));
            }
            with_database(layout, spec)
        })
        .collect()
}

/// Directory of the lab's authority.
fn pki(layout: &Layout) -> String {
    layout.directory.join("pki").display().to_string()
}

/// Makes the key by which the slice-manager seals the credentials of Kubernetes clusters; its file.
fn encryption_key(layout: &Layout) -> Result<String, LabError> {
    let path = layout.directory.join("slice-manager.keys");
    let key = STANDARD.encode(rand::random::<[u8; 32]>());
    credentials::write(&path, &format!("lab {key}\n"))?;
    Ok(path.display().to_string())
}

fn sdn_controller(layout: &Layout, cluster: &Cluster) -> Result<ProcessSpec, LabError> {
    let address = cluster.controller_address;
    let arguments = flags([
        ("--cluster", cluster.name.clone()),
        ("--sco-provider", endpoint(layout, &Unit::ScoProvider)?),
        ("--openflow-listen", format!("{address}:{SDN_OPENFLOW_PORT}")),
        ("--openflow-advertise", format!("ssl:{address}:{SDN_OPENFLOW_PORT}")),
    ]);
    let namespace = &layout.control.namespace;
    with_database(layout, spec(layout, &cluster.controller, namespace, arguments))
}

fn operator(
    layout: &Layout,
    cluster: &Cluster,
    service: &Service,
) -> Result<ProcessSpec, LabError> {
    let arguments = flags([
        ("--cluster", cluster.name.clone()),
        ("--replica", service.unit.to_string()),
        ("--sdn-controller", cluster.controller.endpoint.clone()),
        ("--sco-provider", endpoint(layout, &Unit::ScoProvider)?),
    ]);
    let spec = spec(layout, service, &layout.control.namespace, arguments);
    Ok(with_kubeconfig(spec, &layout.kubernetes.cluster(&cluster.name)?.kubeconfig))
}

fn with_kubeconfig(mut spec: ProcessSpec, kubeconfig: &Path) -> ProcessSpec {
    spec.environment.insert("KUBECONFIG".to_owned(), kubeconfig.display().to_string());
    spec
}

fn agent(layout: &Layout, node: &Node, service: &Service, bridge: &str) -> ProcessSpec {
    let arguments = flags([
        ("--ovsdb", format!("unix:{}", node.ovsdb.display())),
        ("--bridge", bridge.to_owned()),
        ("--datapath-type", "netdev".to_owned()),
    ]);
    spec(layout, service, &node.namespace, arguments)
}

fn spec(
    layout: &Layout,
    service: &Service,
    namespace: &str,
    arguments: Vec<String>,
) -> ProcessSpec {
    let listen = service.endpoint.trim_start_matches("https://").to_owned();
    let mut all = flags([("--listen", listen), ("--metrics-listen", service.metrics.to_string())]);
    all.extend(service.credentials.flags());
    all.extend(arguments);
    ProcessSpec {
        program: binary(&layout.binaries, &service.unit),
        arguments: all,
        environment: BTreeMap::new(),
        namespace: Some(namespace.to_owned()),
        user: None,
        log: layout.log(&service.unit),
        unit: service.unit.clone(),
    }
}

/// The database's URL has a password, which does not belong on a command line.
fn with_database(layout: &Layout, mut spec: ProcessSpec) -> Result<ProcessSpec, LabError> {
    let url = layout.role(&spec.unit)?.url.clone();
    spec.environment.insert("L2SCES_DATABASE_URL".to_owned(), url);
    Ok(spec)
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> Vec<String> {
    flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}

fn endpoint(layout: &Layout, unit: &Unit) -> Result<String, LabError> {
    Ok(layout.service(unit)?.endpoint.clone())
}

/// Path of a service's binary.
pub(crate) fn binary(binaries: &Path, unit: &Unit) -> std::path::PathBuf {
    binaries.join(unit.program())
}

/// Waits until a service answers that it serves.
pub(crate) async fn healthy(
    layout: &Layout,
    supervisor: &Supervisor,
    service: &Service,
) -> Result<(), LabError> {
    wait::holds(&format!("{} is healthy", service.unit), PATIENCE, || async {
        if let Err(error) = supervisor.check_alive(&service.unit) {
            return Ok(Err(error));
        }
        health(layout, service, ANSWER).await.map(Ok)
    })
    .await?
}

/// Asks a service whether it serves; says why not.
pub(crate) async fn health(
    layout: &Layout,
    service: &Service,
    limit: Duration,
) -> Result<(), String> {
    let credentials = crate::certificates::admin(layout).map_err(|error| error.to_string())?;
    let namespace = Namespace::named(&layout.control.namespace);
    let channel = channel::connect(&namespace, &service.endpoint, &credentials)
        .map_err(|error| error.to_string())?;
    let request = HealthCheckRequest::default();
    let check = async { HealthClient::new(channel).check(request).await };
    match tokio::time::timeout(limit, check).await {
        Err(_) => Err(format!("no answer in {limit:?}")),
        Ok(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(Ok(answer)) => Err(answer.get_ref().status().as_str_name().to_owned()),
    }
}
