use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use l2sces_custom_resources::{
    GATEWAY_NODE_LABEL, SWITCH_NODE_LABEL, internal_ip, is_control_plane,
};
use l2sces_model::Name;

/// The labels by which agents are started. They are the operator's, whoever has set them.
const LABELS: [&str; 2] = [SWITCH_NODE_LABEL, GATEWAY_NODE_LABEL];

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its name in Kubernetes, which may be longer and have dots.
    pub(crate) kubernetes_name: String,
    pub(crate) uid: String,
    /// Its first InternalIP.
    pub(crate) address: IpAddr,
    pub(crate) is_control_plane: bool,
    /// Those labels that it has by which agents are started.
    pub(crate) labels: BTreeSet<&'static str>,
}

/// The nodes of the cluster that have an address, by the names that l2sces knows them by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machines {
    all: BTreeMap<Name, Machine>,
}

impl Machines {
    pub(crate) fn of(nodes: &[Arc<Node>]) -> Self {
        let all = nodes.iter().filter_map(|node| machine(node)).collect();
        Self { all }
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Machine> {
        self.all.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.all.keys()
    }

    /// The first of the control plane's, by name.
    pub(crate) fn control_plane(&self) -> Option<(&Name, &Machine)> {
        self.all.iter().find(|(_, machine)| machine.is_control_plane)
    }
}

fn machine(node: &Node) -> Option<(Name, Machine)> {
    let machine = Machine {
        uid: node.uid().unwrap_or_default(),
        address: internal_ip(node)?,
        is_control_plane: is_control_plane(node),
        labels: LABELS.into_iter().filter(|label| has_label(node, label)).collect(),
        kubernetes_name: node.name_any(),
    };
    Some((Name::standing_for(&machine.kubernetes_name), machine))
}

/// The nodes on which agents are started.
pub(super) fn labelled(nodes: &[Arc<Node>]) -> impl Iterator<Item = Name> {
    let has_any = |node: &&Arc<Node>| LABELS.into_iter().any(|label| has_label(node, label));
    nodes.iter().filter(has_any).map(|node| Name::standing_for(&node.name_any()))
}

/// Whether a node has one of the labels by which agents are started.
pub(crate) fn has_label(node: &Node, label: &str) -> bool {
    node.labels().get(label).is_some_and(|value| value == "true")
}
