use std::collections::BTreeMap;

use l2sces_model::Name;
use l2sces_proto::{fabric::v1 as fabric, sco::v1 as sco};
use l2sces_trace::TraceContext;

use super::{
    Failure, Worker,
    finding::{self, Part},
    parts::{Wanted, obsolete},
};
use crate::{
    domain::{Cluster, ClusterDetail, Driver, Endpoint, Key, Node, NodeStatus, Stored},
    downstream::{
        ClusterBody, ClusterClient, ObjectKey, Remote, ScoBody, ScoClient, Target, Trouble, Version,
    },
    places,
    store::Placement,
};

impl Worker {
    pub(super) async fn cluster(&self, key: &Key, name: &Name) -> Result<(), Failure> {
        let Some(cluster) = self.store.get::<Cluster>(key).await? else {
            self.remotes.forget(name);
            return Ok(());
        };
        TraceContext::link_current(cluster.meta.origin);
        let known = self.store.placements(cluster.meta.uid).await?;
        if cluster.meta.is_deleting() {
            return self.remove_cluster(&cluster, name, known.into_iter().collect()).await;
        }
        let wanted = places::of_cluster(&cluster);
        self.remember(cluster.meta.uid, &known, &wanted).await?;
        let obsolete = obsolete(&known, &wanted);

        let remote = self.remotes.cluster(name, &cluster.spec.driver);
        let is_kubernetes = matches!(cluster.spec.driver, Driver::Kubernetes(_));
        let (mut parts, detail) = if is_kubernetes {
            (server(remote), ClusterDetail::default())
        } else {
            self.nodes_and_gateways(&cluster, name, &remote).await
        };

        // Slices take up new nodes and labels, and let go of old nodes, which then can be removed.
        // An operator makes gateways when it sees fit, and slices wait for them.
        let has_sent = finding::any_sent(&parts);
        if is_kubernetes || has_sent || !obsolete.is_empty() || cluster.has_changed() {
            self.signals.wake(self.store.slices_of_cluster(name).await?);
        }
        parts.extend(self.clear(cluster.meta.uid, obsolete).await?);
        self.report(&cluster, finding::of_parts(&parts), detail).await?;
        finding::refusal(&parts).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }

    async fn nodes_and_gateways(
        &self,
        cluster: &Stored<Cluster>,
        name: &Name,
        remote: &Result<Remote<ClusterClient>, Trouble>,
    ) -> (Vec<Part>, ClusterDetail) {
        let nodes = cluster.spec.nodes.iter();
        let nodes = nodes.map(|node| wanted_node(cluster, node, remote.clone())).collect();
        let gateways = cluster.spec.nodes.iter();
        let gateways = gateways
            .filter_map(|node| wanted_gateway(cluster, name, node, self.remotes.sco().clone()))
            .collect();
        let (nodes, gateways) = tokio::join!(self.apply(nodes), self.apply(gateways));
        let detail = detail(cluster, &nodes);
        let mut parts = nodes;
        parts.extend(gateways);
        (parts, detail)
    }

    async fn remove_cluster(
        &self,
        cluster: &Stored<Cluster>,
        name: &Name,
        places: Vec<Placement>,
    ) -> Result<(), Failure> {
        let detail = cluster.status.detail.clone();
        let target = Target::Cluster(name.clone()).to_string();
        let others = self.store.others_placed(&target, cluster.meta.uid).await?;
        if others > 0 {
            let message = format!("waits for {others} slices or networks to leave it");
            return self.report(cluster, Some(finding::deleting(message)), detail).await;
        }
        let left = self.clear(cluster.meta.uid, places).await?;
        if left.is_empty() {
            let ports = self.store.keys_in_cluster(name, &target).await?;
            self.remove(&cluster.meta, None).await?;
            self.remotes.forget(name);
            // Those of one that was given up are gone with it.
            self.signals.wake(ports);
            return Ok(());
        }
        self.report(cluster, finding::of_removal(&left), detail).await?;
        finding::refusal(&left).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
    }
}

/// What is wrong with an API server, if anything is.
fn server(remote: Result<Remote<ClusterClient>, Trouble>) -> Vec<Part> {
    let trouble = remote.and_then(|remote| remote.check_health()).err();
    trouble.map(|trouble| Part { place: String::new(), result: Err(trouble) }).into_iter().collect()
}

fn wanted_node(
    cluster: &Stored<Cluster>,
    node: &Node,
    remote: Result<Remote<ClusterClient>, Trouble>,
) -> Wanted<ClusterClient> {
    let version = Version { uid: cluster.meta.uid, generation: node.generation };
    Wanted {
        place: format!("node {}", node.name),
        remote,
        key: ObjectKey::Node(node.name.clone()),
        body: ClusterBody::Node(fabric::Node {
            name: node.name.to_string(),
            version: Some((&version).into()),
            underlay_address: node.underlay.to_string(),
            agent_endpoint: text(node.agent.as_ref()),
            gateway: node.gateway.is_some(),
        }),
        version,
        needs: Vec::new(),
    }
}

fn wanted_gateway(
    cluster: &Stored<Cluster>,
    name: &Name,
    node: &Node,
    remote: Remote<ScoClient>,
) -> Option<Wanted<ScoClient>> {
    let gateway = node.gateway.as_ref()?;
    let version = Version { uid: cluster.meta.uid, generation: node.generation };
    Some(Wanted {
        place: format!("gateway {}", node.name),
        remote: Ok(remote),
        key: ObjectKey::Gateway { cluster: name.clone(), node: node.name.clone() },
        body: ScoBody::Gateway(sco::Gateway {
            key: Some(sco::GatewayKey { cluster: name.to_string(), node: node.name.to_string() }),
            version: Some((&version).into()),
            agent_endpoint: text(gateway.agent.as_ref()),
            underlay_address: gateway.underlay.to_string(),
        }),
        version,
        needs: Vec::new(),
    })
}

fn text(endpoint: Option<&Endpoint>) -> String {
    endpoint.map(ToString::to_string).unwrap_or_default()
}

/// State of each node; of those that nobody can tell of now, what was known before.
fn detail(cluster: &Stored<Cluster>, parts: &[Part]) -> ClusterDetail {
    let before = cluster.status.detail.nodes.iter();
    let before: BTreeMap<&Name, &NodeStatus> =
        before.map(|status| (&status.node, status)).collect();
    let nodes = cluster.spec.nodes.iter().zip(parts).map(|(node, part)| match &part.result {
        Ok(applied) => NodeStatus {
            node: node.name.clone(),
            ready: applied.state.ready,
            message: applied.state.message.clone(),
        },
        Err(Trouble::Connecting) => {
            let known = before.get(&node.name).map(|status| (*status).clone());
            known.unwrap_or_else(|| NodeStatus {
                node: node.name.clone(),
                ready: false,
                message: "not known yet".to_owned(),
            })
        }
        Err(trouble) => {
            NodeStatus { node: node.name.clone(), ready: false, message: trouble.to_string() }
        }
    });
    ClusterDetail { nodes: nodes.collect() }
}
