use std::time::Instant;

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use l2sces_custom_resources::{GATEWAY_NODE_LABEL, SWITCH_NODE_LABEL};
use l2sces_model::Name;
use l2sces_proto::fabric::v1 as fabric;
use serde_json::{Value, json};

use super::{Failure, Reconciler};
use crate::{
    plan::{Plan, PlannedNode, has_label},
    services::{ObjectKey, Trouble},
};

impl Reconciler {
    pub(super) async fn node(&self, plan: &Plan, name: &Name) -> Result<(), Failure> {
        match plan.nodes.get(name) {
            Some(planned) => {
                self.absences.forget(name);
                self.keep_node(name, planned).await
            }
            None => self.remove_node(name).await,
        }
    }

    /// Has the services know a node as it is planned.
    async fn keep_node(&self, name: &Name, planned: &PlannedNode) -> Result<(), Failure> {
        let machine = &planned.machine;
        // Its agents are started by these.
        self.label(&machine.kubernetes_name, true, planned.gateway.is_some().then_some(true))
            .await?;
        let node = fabric::Node {
            name: name.to_string(),
            version: None,
            underlay_address: machine.address.to_string(),
            agent_endpoint: self.endpoint(machine.address, self.agents.sps_agent),
            gateway: planned.gateway.is_some(),
        };
        self.fabric.apply_node(name, &machine.uid, node).await?;
        if let Some(address) = planned.gateway {
            let agent = self.endpoint(machine.address, self.agents.ned_agent);
            self.sco.apply_gateway(name, &machine.uid, agent, address.to_string()).await?;
        } else {
            self.remove_gateway(name, false).await?;
            self.label(&machine.kubernetes_name, true, Some(false)).await?;
        }
        Ok(())
    }

    /// Has the services remove a node, and takes its labels away when it is gone: until then its
    /// agents are needed.
    async fn remove_node(&self, name: &Name) -> Result<(), Failure> {
        let node = self.kubernetes_node(name);
        // The agents of a node that has left the cluster do not come back, unless it registers anew.
        let force = node.is_none();
        if force && self.is_known(name)? && !self.absences.has_lasted(name, Instant::now()) {
            let message = format!("node {name} has left the cluster, and may come back");
            return Err(Trouble::waiting(message).into());
        }
        self.remove_gateway(name, force).await?;
        let key = ObjectKey::Node(name.clone());
        let is_there = self.fabric.board.is_there(&key).map_err(Trouble::unreachable)?;
        if is_there && !self.fabric.delete(&key, force).await? {
            return Err(Trouble::waiting(format!("node {name} is being removed")).into());
        }
        if let Some(node) = node {
            self.label(&node, false, Some(false)).await?;
        }
        self.absences.forget(name);
        Ok(())
    }

    /// Whether one of the services has a node.
    fn is_known(&self, name: &Name) -> Result<bool, Trouble> {
        let (node, gateway) = (ObjectKey::Node(name.clone()), ObjectKey::Gateway(name.clone()));
        let is_node = self.fabric.board.is_there(&node).map_err(Trouble::unreachable)?;
        let is_gateway = self.sco.board.is_there(&gateway).map_err(Trouble::unreachable)?;
        Ok(is_node || is_gateway)
    }

    async fn remove_gateway(&self, name: &Name, force: bool) -> Result<(), Failure> {
        let key = ObjectKey::Gateway(name.clone());
        let is_there = self.sco.board.is_there(&key).map_err(Trouble::unreachable)?;
        if !is_there || self.sco.delete_gateway(name, force).await? {
            return Ok(());
        }
        Err(Trouble::waiting(format!("gateway {name} is being removed")).into())
    }

    /// A node's name in Kubernetes, if it is a node of the cluster.
    fn kubernetes_node(&self, name: &Name) -> Option<String> {
        let nodes = self.caches.nodes.state();
        let mut names = nodes.iter().map(|node| node.name_any());
        names.find(|kubernetes_name| Name::standing_for(kubernetes_name) == *name)
    }

    /// Sets or removes the labels by which agents are started; what is not said stays.
    async fn label(
        &self,
        node: &str,
        has_switch: bool,
        is_gateway: Option<bool>,
    ) -> Result<(), Failure> {
        let Some(known) = self.caches.nodes.get(&ObjectRef::<Node>::new(node)) else {
            return Ok(());
        };
        let wanted = [(SWITCH_NODE_LABEL, Some(has_switch)), (GATEWAY_NODE_LABEL, is_gateway)];
        let changes: serde_json::Map<String, Value> = wanted
            .into_iter()
            .filter_map(|(label, wanted)| Some((label, wanted?)))
            .filter(|(label, wanted)| has_label(&known, label) != *wanted)
            .map(|(label, wanted)| {
                (label.to_owned(), if wanted { json!("true") } else { Value::Null })
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let patch = json!({ "metadata": { "labels": changes } });
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch_metadata(node, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn endpoint(&self, address: std::net::IpAddr, port: u16) -> String {
        let scheme = if self.agents.plaintext { "http" } else { "https" };
        format!("{scheme}://{}", std::net::SocketAddr::new(address, port))
    }
}
