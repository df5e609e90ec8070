use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use l2sces_custom_resources::NetworkEdgeDevice;
use l2sces_kubernetes::check_provider;
use l2sces_model::Name;

use super::{Machines, Problem, Reference};

/// A gateway towards other clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) node: Name,
    /// Its node's name in Kubernetes.
    pub(crate) kubernetes_name: String,
    /// Where tunnels from other clusters end.
    pub(crate) address: IpAddr,
}

/// Which gateways devices are, the oldest device first.
pub(super) fn plan(
    devices: &[&Arc<NetworkEdgeDevice>],
    machines: &Machines,
) -> BTreeMap<Reference, Result<Gateway, Problem>> {
    let mut planned = BTreeMap::new();
    let mut addresses: BTreeMap<Name, (IpAddr, Reference)> = BTreeMap::new();
    for device in devices {
        let reference = Reference::to(&***device);
        let gateway = gateway(device, machines).and_then(|gateway| {
            let first = (gateway.address, reference.clone());
            let (address, owner) = addresses.entry(gateway.node.clone()).or_insert(first);
            if *address == gateway.address {
                return Ok(gateway);
            }
            let message = format!(
                "node {} is a gateway at {address} for {owner} already, and has one address only",
                gateway.kubernetes_name
            );
            Err(Problem::new("AddressConflict", message))
        });
        planned.insert(reference, gateway);
    }
    planned
}

/// The gateway that a device is by itself.
pub(crate) fn gateway(device: &NetworkEdgeDevice, machines: &Machines) -> Result<Gateway, Problem> {
    check_provider(&device.spec.provider)?;
    let (node, machine, address) = match &device.spec.node_config {
        Some(config) => {
            let node = Name::standing_for(&config.node_name);
            let Some(machine) = machines.get(&node) else {
                let node = &config.node_name;
                let message = format!("node {node} does not exist, or has no InternalIP");
                return Err(Problem::new("UnknownNode", message));
            };
            let address = config.ip_address.parse().map_err(|_| {
                let message =
                    format!("spec.nodeConfig.ipAddress: {:?} is no address", config.ip_address);
                Problem::new("InvalidAddress", message)
            })?;
            (node, machine, address)
        }
        None => {
            let (node, machine) = machines.control_plane().ok_or_else(|| {
                let message =
                    "no node of the control plane is known: name a node in spec.nodeConfig";
                Problem::new("NoControlPlane", message)
            })?;
            (node.clone(), machine, machine.address)
        }
    };
    Ok(Gateway { node, kubernetes_name: machine.kubernetes_name.clone(), address })
}
