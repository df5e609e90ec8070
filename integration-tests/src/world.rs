use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail};
use l2sces_lab::{Lab, LabOptions, Pod, Topology, Unit, layout, wait};
use l2sces_proto::{
    resource::v1::{Condition, ConditionStatus, Metadata},
    slice::v1::{
        AttachPortRequest, Cluster, ClusterSpec, CreateClusterRequest, CreateNetworkRequest,
        CreateSliceRequest, DeleteClusterRequest, DeleteNetworkRequest, DeleteSliceRequest,
        DetachPortRequest, DirectDriver, Gateway, GetClusterRequest, GetNetworkRequest,
        GetPortRequest, GetSliceRequest, NamespaceAttachment, Network, NetworkSpec, Node, Port,
        PortSpec, Slice, SliceCluster, SliceSpec, cluster_service_client::ClusterServiceClient,
        cluster_spec::Driver, network_service_client::NetworkServiceClient, port_spec::Attachment,
        slice_service_client::SliceServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};

/// How long anything may take to become as wanted.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Tables that say nothing of any object that exists: single values that live as long as the
/// service, and what watches need for a day to report deletions to those who resume.
const BOOKKEEPING: [(&str, &str); 5] = [
    ("inter_domain_dns", "revision"),
    ("sco_provider", "discovery_key"),
    ("slice_manager", "horizon"),
    ("slice_manager", "request"),
    ("slice_manager", "tombstone"),
];

/// A lab with its API. Cluster `a` has the nodes `a1` (gateway) and `a2`, cluster `b` likewise; the
/// slice `s1` joins them.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// Clusters.
    pub clusters: ClusterServiceClient<Channel>,
    /// Slices.
    pub slices: SliceServiceClient<Channel>,
    /// Networks and ports.
    pub networks: NetworkServiceClient<Channel>,
}

impl World {
    /// Brings up the lab, registers the clusters, creates the slice and waits until it is ready.
    pub async fn up() -> Result<Self> {
        let mut world = Self::bare().await?;
        world.register_clusters().await?;
        world.create_slice("s1").await?;
        Ok(world)
    }

    /// Brings up the lab and no more.
    pub async fn bare() -> Result<Self> {
        let options = LabOptions {
            log_filter: "info,l2sces_controller=debug".to_owned(),
            ..LabOptions::default()
        };
        let lab = Lab::up(&Topology::two_clusters(), options).await?;
        let channel = lab.channel(&Unit::SliceManager)?;
        Ok(Self {
            clusters: ClusterServiceClient::new(channel.clone()),
            slices: SliceServiceClient::new(channel.clone()),
            networks: NetworkServiceClient::new(channel),
            lab,
        })
    }

    /// Registers every cluster of the lab and waits until they are ready.
    pub async fn register_clusters(&mut self) -> Result<()> {
        for cluster in &self.lab.layout().clusters {
            let request =
                CreateClusterRequest { cluster: Some(described(cluster)), ..Default::default() };
            self.clusters.create_cluster(request).await?;
        }
        for cluster in &self.lab.layout().clusters {
            let name = cluster.name.clone();
            self.ready(&format!("cluster {name}"), || {
                let (mut client, name) = (self.clusters.clone(), name.clone());
                async move {
                    let response = client.get_cluster(GetClusterRequest { name }).await?;
                    let cluster = response.into_inner().cluster.unwrap_or_default();
                    Ok(cluster.status.unwrap_or_default().conditions)
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Creates a slice over all clusters and waits until it is ready.
    pub async fn create_slice(&mut self, name: &str) -> Result<()> {
        let clusters = self.lab.layout().clusters.iter();
        let clusters = clusters
            .map(|cluster| SliceCluster { cluster: cluster.name.clone(), ..Default::default() });
        let slice = Slice {
            metadata: named(name),
            spec: Some(SliceSpec { clusters: clusters.collect(), links: Vec::new() }),
            status: None,
        };
        let request = CreateSliceRequest { slice: Some(slice), ..Default::default() };
        self.slices.create_slice(request).await?;
        self.slice_ready(name).await
    }

    /// Waits until a slice is ready.
    pub async fn slice_ready(&self, name: &str) -> Result<()> {
        self.ready(&format!("slice {name}"), || {
            let (mut client, name) = (self.slices.clone(), name.to_owned());
            async move {
                let response = client.get_slice(GetSliceRequest { name }).await?;
                let slice = response.into_inner().slice.unwrap_or_default();
                Ok(slice.status.unwrap_or_default().conditions)
            }
        })
        .await
    }

    /// Creates a network in slice `s1`. Does not wait.
    pub async fn create_network(&mut self, name: &str, cidr: &str) -> Result<(), Status> {
        let network = Network {
            metadata: named(name),
            slice: "s1".to_owned(),
            spec: Some(NetworkSpec { cidr: cidr.to_owned(), ..Default::default() }),
            status: None,
        };
        let request = CreateNetworkRequest { network: Some(network), ..Default::default() };
        self.networks.create_network(request).await.map(drop)
    }

    /// Waits until a network of slice `s1` is ready.
    pub async fn network_ready(&self, name: &str) -> Result<()> {
        self.ready(&format!("network {name}"), || {
            let mut client = self.networks.clone();
            let request = GetNetworkRequest { slice: "s1".to_owned(), name: name.to_owned() };
            async move {
                let response = client.get_network(request).await?;
                let network = response.into_inner().network.unwrap_or_default();
                Ok(network.status.unwrap_or_default().conditions)
            }
        })
        .await
    }

    /// Asks for a port named as its pod. Does not wait.
    pub async fn attach(
        &mut self,
        network: &str,
        pod: &Pod,
        address: Option<Ipv4Addr>,
        mac: &str,
    ) -> Result<(), Status> {
        let port = port_of(&self.lab, network, pod, address, mac);
        let request = AttachPortRequest { port: Some(port), ..Default::default() };
        self.networks.attach_port(request).await.map(drop)
    }

    /// Reads a port of slice `s1`.
    pub async fn port(&self, network: &str, name: &str) -> Result<Port, Status> {
        let (slice, network, name) = ("s1".to_owned(), network.to_owned(), name.to_owned());
        let request = GetPortRequest { slice, network, name };
        let response = self.networks.clone().get_port(request).await?;
        Ok(response.into_inner().port.unwrap_or_default())
    }

    /// Waits until a port is ready, and returns it.
    pub async fn port_ready(&self, network: &str, name: &str) -> Result<Port> {
        self.ready(&format!("port {network}/{name}"), || async move {
            let port = self.port(network, name).await?;
            Ok(port.status.unwrap_or_default().conditions)
        })
        .await?;
        Ok(self.port(network, name).await?)
    }

    /// Asks for the removal of a port. Does not wait.
    pub async fn detach(&mut self, network: &str, name: &str) -> Result<(), Status> {
        let request = DetachPortRequest {
            slice: "s1".to_owned(),
            network: network.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        self.networks.detach_port(request).await.map(drop)
    }

    /// Waits until a port is gone.
    pub async fn port_gone(&self, network: &str, name: &str) -> Result<()> {
        let what = format!("port {network}/{name} is gone");
        Ok(wait::holds(&what, LIMIT, || async move {
            match self.port(network, name).await {
                Err(status) if status.code() == Code::NotFound => Ok(()),
                Err(status) => Err(status.to_string()),
                Ok(port) => Err(format!("{:?}", port.status)),
            }
        })
        .await?)
    }

    /// Deletes every slice with all that is in it, and every cluster, and waits until all is gone.
    pub async fn delete_everything(&mut self) -> Result<()> {
        let request =
            DeleteSliceRequest { name: "s1".to_owned(), force: true, ..Default::default() };
        self.slices.delete_slice(request).await?;
        wait::holds("slice s1 is gone", LIMIT, || {
            let mut client = self.slices.clone();
            async move { gone(client.get_slice(GetSliceRequest { name: "s1".to_owned() }).await) }
        })
        .await?;
        let names: Vec<_> =
            self.lab.layout().clusters.iter().map(|cluster| cluster.name.clone()).collect();
        for name in &names {
            let request = DeleteClusterRequest { name: name.clone(), ..Default::default() };
            self.clusters.delete_cluster(request).await?;
        }
        for name in names {
            wait::holds(&format!("cluster {name} is gone"), LIMIT, || {
                let (mut client, name) = (self.clusters.clone(), name.clone());
                async move { gone(client.get_cluster(GetClusterRequest { name }).await) }
            })
            .await?;
        }
        Ok(())
    }

    /// Deletes a network of slice `s1` with its ports, and waits until it is gone.
    pub async fn delete_network(&mut self, name: &str) -> Result<()> {
        let request = DeleteNetworkRequest {
            slice: "s1".to_owned(),
            name: name.to_owned(),
            force: true,
            ..Default::default()
        };
        self.networks.delete_network(request).await?;
        self.network_gone(name).await
    }

    /// Waits until a network of slice `s1` is gone.
    pub async fn network_gone(&self, name: &str) -> Result<()> {
        wait::holds(&format!("network {name} is gone"), LIMIT, || {
            let mut client = self.networks.clone();
            let request = GetNetworkRequest { slice: "s1".to_owned(), name: name.to_owned() };
            async move { gone(client.get_network(request).await) }
        })
        .await?;
        Ok(())
    }

    /// What is left of us in Open vSwitch, the namespaces and the database, one line each.
    pub async fn leftovers(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for node in self.lab.layout().nodes() {
            for bridge in node.bridges().await? {
                if ![layout::UNDERLAY_BRIDGE, layout::WAN_BRIDGE].contains(&bridge.as_str()) {
                    left.push(format!("bridge {bridge} on {}", node.name));
                }
            }
            for veth in node.veths().await?.into_iter().filter(|veth| veth.starts_with("l2")) {
                left.push(format!("interface {veth} on {}", node.name));
            }
        }
        for table in self.lab.table_rows().await?.into_iter().filter(|table| table.rows > 0) {
            if BOOKKEEPING.contains(&(table.schema.as_str(), table.table.as_str())) {
                continue;
            }
            left.push(format!("{} rows in {}.{}", table.rows, table.schema, table.table));
        }
        Ok(left)
    }

    /// Waits until the condition `Ready` is true.
    async fn ready<F>(&self, what: &str, conditions: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<Vec<Condition>, Status>>,
    {
        wait::holds(&format!("{what} is ready"), LIMIT, || async {
            let conditions = conditions().await.map_err(|status| status.to_string())?;
            let ready = conditions.iter().find(|condition| condition.r#type == "Ready");
            match ready {
                Some(ready) if ready.status() == ConditionStatus::True => Ok(()),
                Some(ready) => Err(format!("{}: {}", ready.reason, ready.message)),
                None => Err("it has no condition yet".to_owned()),
            }
        })
        .await
        .with_context(|| self.errors_logged())
    }

    /// The last warnings and errors of all services, for a test that failed.
    fn errors_logged(&self) -> String {
        let mut text = String::from("logged:");
        for process in self.lab.processes() {
            let Ok(log) = self.lab.log(&process.spec.unit) else { continue };
            let lines = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
            let lines: Vec<_> = lines.collect();
            for line in &lines[lines.len().saturating_sub(8)..] {
                text.push_str(&format!("\n  {}: {line}", process.spec.unit));
            }
        }
        text
    }
}

/// A port of slice `s1`, named as its pod.
pub fn port_of(lab: &Lab, network: &str, pod: &Pod, address: Option<Ipv4Addr>, mac: &str) -> Port {
    let cluster = lab.node(pod.node()).map(|node| node.cluster.clone()).unwrap_or_default();
    Port {
        metadata: named(pod.name()),
        slice: "s1".to_owned(),
        network: network.to_owned(),
        spec: Some(PortSpec {
            cluster,
            node: pod.node().to_owned(),
            attachment: Some(Attachment::Namespace(NamespaceAttachment {
                path: pod.path(),
                interface_name: "net1".to_owned(),
            })),
            mac: mac.to_owned(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
        }),
        status: None,
    }
}

/// A cluster of the lab, as it is registered.
fn described(cluster: &layout::Cluster) -> Cluster {
    let node = |node: &layout::Node| Node {
        name: node.name.clone(),
        underlay_address: node.underlay_address.to_string(),
        agent_endpoint: node.sps_agent.endpoint.clone(),
        gateway: node.gateway.as_ref().map(|gateway| Gateway {
            agent_endpoint: gateway.ned_agent.endpoint.clone(),
            underlay_address: gateway.wan_address.to_string(),
        }),
    };
    let controller_endpoint = cluster.controller.endpoint.clone();
    Cluster {
        metadata: named(&cluster.name),
        spec: Some(ClusterSpec {
            driver: Some(Driver::Direct(DirectDriver { controller_endpoint })),
            nodes: cluster.nodes.iter().map(node).collect(),
        }),
        status: None,
    }
}

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}

fn gone<T: std::fmt::Debug>(result: Result<T, Status>) -> Result<(), String> {
    match result {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

impl World {
    /// Takes the lab down; what is left of it is an error.
    pub async fn down(self) -> Result<()> {
        let Self { lab, .. } = self;
        match lab.down().await {
            Ok(()) => Ok(()),
            Err(error) => bail!("the lab left something behind: {error}"),
        }
    }
}
