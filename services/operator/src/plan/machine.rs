use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use l2sces_model::Name;

/// Labels by which a node of the control plane is known; the second is the older.
const CONTROL_PLANE_LABELS: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its name in Kubernetes, which may be longer and have dots.
    pub(crate) kubernetes_name: String,
    pub(crate) uid: String,
    /// Its first InternalIP.
    pub(crate) address: IpAddr,
    pub(crate) is_control_plane: bool,
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
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let mut internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
    let address = internal.find_map(|address| address.address.parse().ok())?;
    let kubernetes_name = node.name_any();
    let machine = Machine {
        uid: node.uid().unwrap_or_default(),
        address,
        is_control_plane: CONTROL_PLANE_LABELS
            .iter()
            .any(|label| node.labels().contains_key(*label)),
        kubernetes_name,
    };
    Some((Name::standing_for(&machine.kubernetes_name), machine))
}
