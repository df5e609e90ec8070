use std::collections::BTreeSet;

use kube::runtime::reflector::ObjectRef;
use l2sces_custom_resources::{
    ConnectivityStatus, FINALIZER, LinkStatus, Neighbor, NetworkEdgeDevice,
    NetworkEdgeDeviceStatus, NodeConfig,
};
use l2sces_kubernetes::{conditions, finalizer, measurement_policy};
use l2sces_proto::sco::v1::{GatewayKey, Link};
use l2sces_reconcile::Outcome;

use super::{Failure, Key, LOOK_AGAIN, Reconciler, links};
use crate::{
    plan::{Gateway, Machines, Plan, Problem, Reference, gateway},
    services::{ObjectKey, Sco},
};

impl Reconciler {
    pub(super) async fn device(
        &self,
        plan: &Plan,
        reference: &Reference,
    ) -> Result<Outcome, Failure> {
        let cached =
            ObjectRef::<NetworkEdgeDevice>::new(&reference.name).within(&reference.namespace);
        let Some(device) = self.caches.devices.get(&cached) else { return Ok(Outcome::Done) };
        if device.metadata.deletion_timestamp.is_some() {
            if plan.devices.contains_key(reference) {
                // The plan does not know yet, and is made anew for that; it wakes this when it does.
                return Ok(Outcome::Done);
            }
            return self.let_device_go(plan, &device).await;
        }
        if !finalizer::is_on(FINALIZER, &*device) {
            finalizer::add(&self.client, FINALIZER, &*device).await?;
            return Ok(Outcome::Done);
        }
        let Some(planned) = plan.devices.get(reference) else { return Ok(Outcome::Done) };
        let before = device.status.clone().unwrap_or_default();
        let problem = match planned {
            Ok(gateway) => self.gateway_problem(&device, gateway),
            Err(problem) => Some(problem.clone()),
        };
        let availability = match &problem {
            None => ConnectivityStatus::Available,
            Some(_) if self.sco.board.fault().is_some() => ConnectivityStatus::Unknown,
            Some(_) => ConnectivityStatus::Unavailable,
        };
        let generation = device.metadata.generation;
        let mut conditions = vec![conditions::ready(problem.as_ref(), generation)];
        conditions.extend(conditions::ignored(&ignored_fields(&device), generation));
        let links = self.device_links(&device, planned.as_ref().ok()).await;
        let (connected_neighbors, link_metrics) =
            links.unwrap_or((before.connected_neighbors.clone(), before.link_metrics.clone()));
        let after = NetworkEdgeDeviceStatus {
            availability,
            connected_neighbors,
            openflow_id: None,
            link_metrics,
            observed_generation: generation,
            conditions: conditions::with_times(conditions, &before.conditions),
            node: planned.as_ref().ok().map(|gateway| NodeConfig {
                node_name: gateway.kubernetes_name.clone(),
                ip_address: gateway.address.to_string(),
            }),
        };
        self.publisher.publish(&*device, device.status.as_ref(), &after).await?;
        self.publisher.announce(&*device, &before.conditions, &after.conditions).await;
        Ok(links::look_again(measurement_policy(None, device.spec.monitor.as_ref()).as_ref()))
    }

    /// Lets a device go when its gateway is gone, or is another device's, and so is its slice.
    async fn let_device_go(
        &self,
        plan: &Plan,
        device: &NetworkEdgeDevice,
    ) -> Result<Outcome, Failure> {
        if !finalizer::is_on(FINALIZER, device) {
            return Ok(Outcome::Done);
        }
        match self.rest_of_device(plan, device) {
            None => {
                finalizer::remove(&self.client, FINALIZER, device).await?;
                Ok(Outcome::Done)
            }
            Some(rest) => {
                let before = device.status.clone().unwrap_or_default();
                let problem = Problem::new("Deleting", format!("being deleted: {rest}"));
                let condition = conditions::ready(Some(&problem), device.metadata.generation);
                let after = NetworkEdgeDeviceStatus {
                    availability: ConnectivityStatus::Unavailable,
                    connected_neighbors: Vec::new(),
                    conditions: conditions::with_times(vec![condition], &before.conditions),
                    ..before
                };
                self.publisher.publish(device, device.status.as_ref(), &after).await?;
                Ok(Outcome::After(LOOK_AGAIN))
            }
        }
    }

    /// What is left of a device that is being deleted; nothing: it can go.
    fn rest_of_device(&self, plan: &Plan, device: &NetworkEdgeDevice) -> Option<String> {
        if let Some(fault) = self.sco.board.fault().or_else(|| self.fabric.board.fault()) {
            return Some(fault);
        }
        let slice = device.spec.provider.slice_name();
        let is_wanted = plan.slices.contains_key(&slice);
        if !is_wanted && self.fabric.board.knows(&ObjectKey::Slice(slice.clone())) {
            let why = self.trouble(&Key::Slice(slice.clone())).map(|trouble| trouble.message);
            return Some(why.unwrap_or_else(|| format!("slice {slice} is still there")));
        }
        let machines = Machines::of(&self.caches.nodes.state());
        let node = gateway(device, &machines).ok()?.node;
        let is_wanted = plan.nodes.get(&node).is_some_and(|node| node.gateway.is_some());
        if !is_wanted && self.sco.board.knows(&ObjectKey::Gateway(node.clone())) {
            let why = self.trouble(&Key::Node(node.clone())).map(|trouble| trouble.message);
            return Some(why.unwrap_or_else(|| format!("gateway {node} is still there")));
        }
        None
    }

    /// Why a gateway is not as it is to be.
    fn gateway_problem(&self, device: &NetworkEdgeDevice, gateway: &Gateway) -> Option<Problem> {
        if let Some(fault) = self.sco.board.fault() {
            return Some(Problem::new("Unreachable", fault));
        }
        if let Some(problem) = self.node_problem(&gateway.node) {
            return Some(problem);
        }
        match self.sco.board.state(&ObjectKey::Gateway(gateway.node.clone())) {
            Some(state) if state.ready => {}
            Some(state) => return Some(Problem::new("GatewayNotReady", state.message)),
            None => {
                let message = format!("{} does not know gateway {} yet", Sco::name(), gateway.node);
                return Some(Problem::new("Waiting", message));
            }
        }
        let slice = device.spec.provider.slice_name();
        let trouble = self.trouble(&Key::Slice(slice))?;
        Some(Problem::new(trouble.reason, trouble.message))
    }

    /// The neighbors that a gateway is connected with, and its links, unless the sco-provider does
    /// not say.
    async fn device_links(
        &self,
        device: &NetworkEdgeDevice,
        gateway: Option<&Gateway>,
    ) -> Option<(Vec<Neighbor>, Vec<LinkStatus>)> {
        let Some(gateway) = gateway else { return Some((Vec::new(), Vec::new())) };
        if self.sco.board.fault().is_some() {
            return None;
        }
        let listed = self.sco.list_links(&device.spec.provider.slice_name()).await.ok()?;
        let is_own = |end: &GatewayKey| {
            end.cluster == self.cluster.as_str() && end.node == gateway.node.as_str()
        };
        let own: Vec<(&GatewayKey, &GatewayKey, &Link)> = listed
            .iter()
            .filter_map(|link| Some((link.source.as_ref()?, link.target.as_ref()?, link)))
            .filter(|(source, target, _)| is_own(source) || is_own(target))
            .collect();
        let connected: BTreeSet<&str> = own
            .iter()
            .filter(|(_, target, link)| link.up && is_own(target))
            .map(|(source, ..)| source.cluster.as_str())
            .collect();
        let statuses = own.iter().map(|(source, target, link)| {
            let name = |end: &GatewayKey| format!("{}/{}", end.cluster, end.node);
            links::status(&name(source), &name(target), link.up, link.measurement.as_ref())
        });
        Some((neighbors(device, &connected), statuses.collect()))
    }
}

/// The neighbors that are connected: as the device names them, or all clusters if it names none.
fn neighbors(device: &NetworkEdgeDevice, connected: &BTreeSet<&str>) -> Vec<Neighbor> {
    if device.spec.neighbors.is_empty() {
        let all = connected.iter().map(|cluster| Neighbor {
            node: (*cluster).to_owned(),
            domain: String::new(),
            lpm_ip: None,
        });
        return all.collect();
    }
    let named = device.spec.neighbors.iter();
    named.filter(|neighbor| connected.contains(neighbor.node.as_str())).cloned().collect()
}

/// The fields that a device has and that are not carried out.
fn ignored_fields(device: &NetworkEdgeDevice) -> Vec<String> {
    let mut fields = Vec::new();
    if device.spec.switch_template.is_some() {
        fields.push("spec.switchTemplate".to_owned());
    }
    if device.spec.measurement.is_some() {
        fields.push("spec.measurement".to_owned());
    }
    if device.spec.monitor.is_some() {
        fields.push("spec.monitor".to_owned());
    }
    if device.spec.neighbors.iter().any(|neighbor| neighbor.lpm_ip.is_some()) {
        fields.push("spec.neighbors[].lpmIp".to_owned());
    }
    fields
}
