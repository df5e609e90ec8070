use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::reflector::ObjectRef;
use l2sces_custom_resources::{FINALIZER, Overlay, OverlayStatus};
use l2sces_kubernetes::{conditions, finalizer, ignored_of_monitor};
use l2sces_model::Name;
use l2sces_proto::fabric::v1::Link;
use l2sces_reconcile::Outcome;

use super::{
    Failure, Key, LOOK_AGAIN, Reconciler,
    links::{self, Links},
};
use crate::{
    plan::{Plan, PlannedOverlay, Problem, Reference},
    services::{Fabric, ObjectKey},
};

impl Reconciler {
    pub(super) async fn overlay(
        &self,
        plan: &Plan,
        reference: &Reference,
    ) -> Result<Outcome, Failure> {
        let cached = ObjectRef::<Overlay>::new(&reference.name).within(&reference.namespace);
        let Some(overlay) = self.caches.overlays.get(&cached) else { return Ok(Outcome::Done) };
        if overlay.metadata.deletion_timestamp.is_some() {
            if plan.overlays.contains_key(reference) {
                // The plan does not know yet, and is made anew for that; it wakes this when it does.
                return Ok(Outcome::Done);
            }
            return self.let_overlay_go(plan, &overlay).await;
        }
        if !finalizer::is_on(FINALIZER, &*overlay) {
            finalizer::add(&self.client, FINALIZER, &*overlay).await?;
            return Ok(Outcome::Done);
        }
        let Some(planned) = plan.overlays.get(reference) else { return Ok(Outcome::Done) };
        let before = overlay.status.clone().unwrap_or_default();
        let problem = self.overlay_problem(planned);
        let generation = overlay.metadata.generation;
        let mut conditions = vec![conditions::ready(problem.as_ref(), generation)];
        conditions.extend(conditions::ignored(&ignored_fields(&overlay), generation));
        let (links, outcome) = self.overlay_links(planned, generation).await;
        let links = links.unwrap_or_else(|| Links {
            metrics: before.link_metrics.clone(),
            truncated: conditions::still_truncated(&before.conditions),
        });
        conditions.extend(links.truncated);
        let after = OverlayStatus {
            link_metrics: links.metrics,
            observed_generation: generation,
            conditions: conditions::with_times(conditions, &before.conditions),
            nodes: i32::try_from(planned.nodes.len()).ok(),
            ready_nodes: i32::try_from(self.ready_nodes(planned)).ok(),
        };
        self.publisher.publish(&*overlay, overlay.status.as_ref(), &after).await?;
        self.publisher.announce(&*overlay, &before.conditions, &after.conditions).await;
        Ok(outcome)
    }

    /// Lets an overlay go when those of its nodes are gone that nothing else uses, and their labels.
    async fn let_overlay_go(&self, plan: &Plan, overlay: &Overlay) -> Result<Outcome, Failure> {
        if !finalizer::is_on(FINALIZER, overlay) {
            return Ok(Outcome::Done);
        }
        let is_own = |name: &Name| match &overlay.spec.topology {
            Some(topology) => topology.nodes.iter().any(|node| Name::standing_for(node) == *name),
            None => true,
        };
        let known = self.fabric.board.keys().into_iter().filter_map(|key| match key {
            ObjectKey::Node(name) if !plan.nodes.contains_key(&name) => Some(name),
            _ => None,
        });
        // Agents run on a node for as long as it has their label.
        let left = known.chain(plan.strays.iter().cloned()).find(|name| is_own(name));
        let fault = self.fabric.board.fault();
        let Some(name) = left else {
            if fault.is_none() {
                finalizer::remove(&self.client, FINALIZER, overlay).await?;
                return Ok(Outcome::Done);
            }
            return Ok(Outcome::After(LOOK_AGAIN));
        };
        let before = overlay.status.clone().unwrap_or_default();
        let why =
            fault.or_else(|| self.trouble(&Key::Node(name.clone())).map(|trouble| trouble.message));
        let message = format!(
            "being deleted: node {name} is still there{}",
            why.map(|why| format!(": {why}")).unwrap_or_default()
        );
        let condition = conditions::ready(
            Some(&Problem::new("Deleting", message)),
            overlay.metadata.generation,
        );
        self.publish_deletion(overlay, before, condition).await?;
        Ok(Outcome::After(LOOK_AGAIN))
    }

    async fn publish_deletion(
        &self,
        overlay: &Overlay,
        before: OverlayStatus,
        condition: Condition,
    ) -> Result<(), Failure> {
        let conditions = conditions::with_times(vec![condition], &before.conditions);
        let after = OverlayStatus { conditions, ..before };
        Ok(self.publisher.publish(overlay, overlay.status.as_ref(), &after).await?)
    }

    /// Why an overlay is not as it is to be.
    fn overlay_problem(&self, planned: &PlannedOverlay) -> Option<Problem> {
        if let Some(problem) = planned.problems.first() {
            return Some(problem.clone());
        }
        if let Some(fault) = self.fabric.board.fault() {
            return Some(Problem::new("Unreachable", fault));
        }
        planned.nodes.iter().find_map(|node| self.node_problem(node))
    }

    /// Why a node's switch is not as it is to be.
    pub(super) fn node_problem(&self, node: &Name) -> Option<Problem> {
        if let Some(trouble) = self.trouble(&Key::Node(node.clone())) {
            return Some(Problem::new(trouble.reason, trouble.message));
        }
        match self.fabric.board.state(&ObjectKey::Node(node.clone())) {
            Some(state) if state.ready => None,
            Some(state) => {
                Some(Problem::new("NodeNotReady", format!("node {node}: {}", state.message)))
            }
            None => {
                let message = format!("{} does not know node {node} yet", Fabric::name());
                Some(Problem::new("Waiting", message))
            }
        }
    }

    fn ready_nodes(&self, planned: &PlannedOverlay) -> usize {
        planned
            .nodes
            .iter()
            .filter_map(|node| self.fabric.board.state(&ObjectKey::Node(node.clone())))
            .filter(|state| state.ready)
            .count()
    }

    /// What is of the links between nodes of an overlay, unless the sdn-controller does not say; and
    /// when to look again.
    async fn overlay_links(
        &self,
        planned: &PlannedOverlay,
        generation: Option<i64>,
    ) -> (Option<Links>, Outcome) {
        let outcome = links::look_again(planned.measurement.as_ref());
        if self.fabric.board.fault().is_some() {
            return (None, outcome);
        }
        let nodes: BTreeSet<&str> = planned.nodes.iter().map(Name::as_str).collect();
        let is_own = |node: &str| nodes.contains(node);
        let links = self.fabric.list_links(None).await.ok().map(|mut links| {
            links.retain(|link| is_own(&link.source_node) && is_own(&link.target_node));
            let status = |link: Link| {
                let (source, target) = (&link.source_node, &link.target_node);
                links::status(source, target, link.up, link.measurement.as_ref())
            };
            Links::of(links, |link| link.up, status, generation)
        });
        (links, outcome)
    }
}

/// The fields that an overlay has and that are not carried out.
fn ignored_fields(overlay: &Overlay) -> Vec<String> {
    let mut fields = Vec::new();
    if overlay.spec.switch_template.is_some() {
        fields.push("spec.switchTemplate".to_owned());
    }
    if let Some(monitor) = &overlay.spec.monitor {
        fields.extend(ignored_of_monitor(monitor));
    }
    fields
}
