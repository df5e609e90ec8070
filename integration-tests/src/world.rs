use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use l2sces_lab::{Lab, LabOptions, TableRows, Topology, Unit, command, layout, wait};
use l2sces_proto::{
    resource::v1::{Condition, ConditionStatus, Metadata},
    slice::v1::{
        Cluster, ClusterSpec, CreateClusterRequest, CreateSliceRequest, DeleteClusterRequest,
        DeleteSliceRequest, DirectDriver, Gateway, GetClusterRequest, GetSliceRequest,
        ListSlicesRequest, Node, Slice, SliceSpec, UpdateSliceRequest,
        cluster_service_client::ClusterServiceClient, cluster_spec::Driver,
        network_service_client::NetworkServiceClient, slice_service_client::SliceServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    kubernetes::PATIENCE,
    topology::{mesh, slice},
};

/// How long anything may take to become as wanted.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Tables that say nothing of any object that exists: single values that live as long as the
/// service, and what watches need for a day to report deletions to those who resume.
const BOOKKEEPING: [(&str, &str); 6] = [
    ("inter_domain_dns", "revision"),
    ("sco_provider", "discovery_key"),
    ("sdn", "exchange"),
    ("slice_manager", "horizon"),
    ("slice_manager", "request"),
    ("slice_manager", "tombstone"),
];

/// A lab with its API.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// Clusters.
    pub clusters: ClusterServiceClient<Channel>,
    /// Slices.
    pub slices: SliceServiceClient<Channel>,
    /// Networks and ports.
    pub networks: NetworkServiceClient<Channel>,
    /// How long anything may take to become as wanted.
    pub limit: Duration,
}

/// Labels of nodes, by the node's name; a label is a key and its value.
pub type Labels<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

/// Variables for services of a lab in which no link is cut: a tunnel is taken for broken after six
/// seconds, not after 0.6, since a busy machine can keep a switch from its frames for so long.
pub fn patient() -> Vec<(String, String)> {
    vec![("L2SCES_BFD_INTERVAL".to_owned(), "2000".to_owned())]
}

impl World {
    /// Cluster `a` with the nodes `a1` (gateway) and `a2`, cluster `b` likewise, and the slice `s1`
    /// over both, ready. It is [`patient`].
    pub async fn up() -> Result<Self> {
        let mut world = Self::bare().await?;
        world.register_clusters(&Labels::new()).await?;
        world.create_slice("s1").await?;
        Ok(world)
    }

    /// The lab of [`World::up`], and no more.
    pub async fn bare() -> Result<Self> {
        Self::on(&Topology::two_clusters(), patient()).await
    }

    /// Clusters as in [`Topology`], registered and ready. The services are started with variables
    /// of the environment.
    pub async fn of(
        topology: &str,
        labels: &Labels<'_>,
        environment: Vec<(String, String)>,
    ) -> Result<Self> {
        let mut world = Self::on(&topology.parse()?, environment).await?;
        world.register_clusters(labels).await?;
        Ok(world)
    }

    /// Clusters as in [`Topology`], and no more.
    pub async fn bare_of(topology: &str) -> Result<Self> {
        Self::on(&topology.parse()?, Vec::new()).await
    }

    /// The lab of [`World::bare`], and a control cluster, whose slice-operator makes slices.
    pub async fn with_control_cluster() -> Result<Self> {
        let environment = patient().into_iter().collect();
        let options = LabOptions { control_cluster: true, environment, ..LabOptions::default() };
        Self::with(&Topology::two_clusters(), options).await
    }

    async fn on(topology: &Topology, environment: Vec<(String, String)>) -> Result<Self> {
        let environment = environment.into_iter().collect();
        Self::with(topology, LabOptions { environment, ..LabOptions::default() }).await
    }

    async fn with(topology: &Topology, options: LabOptions) -> Result<Self> {
        let log_filter = "info,l2sces_controller=debug".to_owned();
        let options = LabOptions { log_filter, switches_first: true, ..options };
        let lab = Lab::up(topology, options).await?;
        let channel = lab.channel(&Unit::SliceManager)?;
        Ok(Self {
            clusters: ClusterServiceClient::new(channel.clone()),
            slices: SliceServiceClient::new(channel.clone()),
            networks: NetworkServiceClient::new(channel),
            limit: if lab.layout().kubernetes.clusters.is_empty() { LIMIT } else { PATIENCE },
            lab,
        })
    }

    /// What came of a test; of one that failed, keeps what tells why, and says where.
    pub async fn with_evidence<T>(&self, outcome: Result<T>) -> Result<T> {
        let Err(error) = outcome else { return outcome };
        let kept = self.lab.keep_evidence().await?;
        Err(error.context(format!("evidence in {}", kept.display())))
    }

    /// Registers every cluster of the lab and waits until they are ready.
    pub async fn register_clusters(&mut self, labels: &Labels<'_>) -> Result<()> {
        let clusters = &self.lab.layout().clusters;
        let clusters = clusters.iter().map(|cluster| described(cluster, labels)).collect();
        self.register(clusters).await
    }

    /// Registers clusters and waits until they are ready.
    pub async fn register(&mut self, clusters: Vec<Cluster>) -> Result<()> {
        for cluster in clusters.iter().cloned().map(Some) {
            let request = CreateClusterRequest { cluster, ..Default::default() };
            self.clusters.create_cluster(request).await?;
        }
        for cluster in clusters {
            let name = cluster.metadata.unwrap_or_default().name;
            self.ready(&format!("cluster {name}"), || {
                let (mut client, name) = (self.clusters.clone(), name.clone());
                async move {
                    let response = client.get_cluster(GetClusterRequest { name }).await?;
                    let cluster = response.into_inner().cluster.unwrap_or_default();
                    Ok((cluster.metadata, cluster.status.unwrap_or_default().conditions))
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Creates a slice over all clusters and waits until it is ready.
    pub async fn create_slice(&mut self, name: &str) -> Result<()> {
        let clusters = self.lab.layout().clusters.iter();
        let spec = slice(clusters.map(|cluster| mesh(&cluster.name, &[])).collect(), Vec::new());
        self.create_slice_of(name, spec).await
    }

    /// Creates a slice and waits until it is ready.
    pub async fn create_slice_of(&mut self, name: &str, spec: SliceSpec) -> Result<()> {
        let slice = Some(Slice { metadata: named(name), spec: Some(spec), status: None });
        let request = CreateSliceRequest { slice, ..Default::default() };
        self.slices.create_slice(request).await?;
        self.slice_ready(name).await
    }

    /// Replaces what is wanted of a slice. Does not wait.
    pub async fn update_slice(&mut self, name: &str, spec: SliceSpec) -> Result<(), Status> {
        let slice = Some(Slice { metadata: named(name), spec: Some(spec), status: None });
        let request = UpdateSliceRequest { slice, ..Default::default() };
        self.slices.update_slice(request).await.map(drop)
    }

    /// Deletes a slice with all that is in it, and waits until it is gone.
    pub async fn delete_slice(&mut self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let request = DeleteSliceRequest { name: name.clone(), force: true, ..Default::default() };
        self.slices.delete_slice(request).await?;
        wait::holds(&format!("slice {name} is gone"), self.limit, || {
            let (mut client, name) = (self.slices.clone(), name.clone());
            async move { gone(client.get_slice(GetSliceRequest { name }).await) }
        })
        .await?;
        Ok(())
    }

    /// Waits until a slice is ready.
    pub async fn slice_ready(&self, name: &str) -> Result<()> {
        self.ready(&format!("slice {name}"), || {
            let (mut client, name) = (self.slices.clone(), name.to_owned());
            async move {
                let response = client.get_slice(GetSliceRequest { name }).await?;
                let slice = response.into_inner().slice.unwrap_or_default();
                Ok((slice.metadata, slice.status.unwrap_or_default().conditions))
            }
        })
        .await
    }

    /// Waits until the last change of a slice has been looked at, though the slice need not be ready:
    /// it is not while a link is cut.
    pub async fn slice_observed(&self, name: &str) -> Result<()> {
        wait::holds(&format!("the change of slice {name} is observed"), self.limit, || async {
            let request = GetSliceRequest { name: name.to_owned() };
            let response = self.slices.clone().get_slice(request).await;
            let response = response.map_err(|status| status.to_string())?.into_inner();
            let slice = response.slice.unwrap_or_default();
            let wanted = slice.metadata.unwrap_or_default().generation;
            let conditions = slice.status.unwrap_or_default().conditions;
            let observed = conditions.iter().any(|of| of.observed_generation >= wanted);
            if observed { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await?;
        Ok(())
    }

    /// Deletes every slice with all that is in it, and every cluster, and waits until all is gone.
    pub async fn delete_everything(&mut self) -> Result<()> {
        let slices = self.slices.list_slices(ListSlicesRequest::default()).await?.into_inner();
        for slice in slices.slices {
            self.delete_slice(&slice.metadata.unwrap_or_default().name).await?;
        }
        let clusters = &self.lab.layout().clusters;
        let names: Vec<_> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
        for name in names {
            self.delete_cluster(&name).await?;
        }
        Ok(())
    }

    /// Deletes a cluster, and waits until it is gone.
    pub async fn delete_cluster(&mut self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let request = DeleteClusterRequest { name: name.clone(), ..Default::default() };
        self.clusters.delete_cluster(request).await?;
        wait::holds(&format!("cluster {name} is gone"), self.limit, || {
            let (mut client, name) = (self.clusters.clone(), name.clone());
            async move { gone(client.get_cluster(GetClusterRequest { name }).await) }
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
        left.extend(rows_left(&self.lab).await?);
        Ok(left)
    }

    /// Waits until nothing is left of us.
    pub async fn nothing_left(&self) -> Result<()> {
        wait::holds("nothing is left", self.limit, || async {
            match self.leftovers().await {
                Ok(left) if left.is_empty() => Ok(()),
                left => Err(format!("{left:#?}")),
            }
        })
        .await?;
        Ok(())
    }

    /// Waits until the condition `Ready` is true of what is wanted now.
    pub(crate) async fn ready<F>(&self, what: &str, state: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<(Option<Metadata>, Vec<Condition>), Status>>,
    {
        wait::holds(&format!("{what} is ready"), self.limit, || async {
            let (metadata, conditions) = state().await.map_err(|status| status.to_string())?;
            let wanted = metadata.unwrap_or_default().generation;
            let ready = conditions.iter().find(|condition| condition.r#type == "Ready");
            match ready {
                Some(ready) if ready.observed_generation < wanted => {
                    Err(format!("generation {} of {wanted}", ready.observed_generation))
                }
                Some(ready) if ready.status() == ConditionStatus::True => Ok(()),
                Some(ready) => Err(format!("{}: {}", ready.reason, ready.message)),
                None => Err("it has no condition yet".to_owned()),
            }
        })
        .await
        .with_context(|| self.errors_logged())
    }

    /// The last warnings and errors of our services, for a test that failed.
    pub fn errors_logged(&self) -> String {
        let mut text = String::from("logged:");
        for process in self.lab.processes() {
            // It warns of every frame that comes to a tunnel that is gone.
            if matches!(process.spec.unit, Unit::OvsVswitchd(_)) {
                continue;
            }
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

/// Rows that tell of an object, one line for each table.
pub(crate) async fn rows_left(lab: &Lab) -> Result<Vec<String>> {
    let rows = lab.table_rows().await?.into_iter().filter(|table| {
        // Of each cluster's sdn-controller, which has a schema for each.
        let schema = if table.schema.starts_with("sdn_") { "sdn" } else { &table.schema };
        table.rows > 0 && !BOOKKEEPING.contains(&(schema, table.table.as_str()))
    });
    let line =
        |table: TableRows| format!("{} rows in {}.{}", table.rows, table.schema, table.table);
    Ok(rows.map(line).collect())
}

/// What a query prints, asked by the role of a database's URL.
pub async fn psql(url: &str, query: &str) -> Result<String> {
    let mut psql = command::command("psql");
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", query, url]);
    Ok(command::run(&mut psql).await?.trim().to_owned())
}

/// A cluster of the lab, as it is registered.
pub fn described(cluster: &layout::Cluster, labels: &Labels<'_>) -> Cluster {
    let node = |node: &layout::Node| Node {
        labels: labels
            .get(node.name.as_str())
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .into_iter()
            .collect(),
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

/// Metadata with a name and nothing else.
pub fn named(name: &str) -> Option<Metadata> {
    Some(Metadata { name: name.to_owned(), ..Default::default() })
}

/// Whether an answer says that something is gone; if not, what it says.
pub(crate) fn gone<T: std::fmt::Debug>(result: Result<T, Status>) -> Result<(), String> {
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
