use l2sces_custom_resources::{SLICE_OVERLAY_FINALIZER, SliceOverlay, SliceOverlayStatus};
use l2sces_kubernetes::{
    Failure, Problem, Reference, Trouble, conditions, finalizer, ignored_of_monitor,
};
use l2sces_model::Name;
use l2sces_proto::{resource::v1::Metadata, slice::v1 as api};
use serde_json::json;

use super::{Reconciler, managed_by, phase};
use crate::{
    manager::{clusters_of, deployed_switches, slice_spec},
    plan::{Claim, Plan, PlannedSlice, recorded_slice},
};

impl Reconciler {
    pub(super) async fn overlay(&self, plan: &Plan, reference: &Reference) -> Result<(), Failure> {
        let Some(overlay) = self.caches.overlay(reference) else { return Ok(()) };
        let has_finalizer = finalizer::is_on(SLICE_OVERLAY_FINALIZER, &*overlay);
        if overlay.metadata.deletion_timestamp.is_some() {
            // A plan that has it does not know yet; it is made anew for that, and wakes this.
            if has_finalizer && !plan.slices.contains_key(reference) {
                return self.let_overlay_go(&overlay).await;
            }
            return Ok(());
        }
        if !has_finalizer {
            return Ok(finalizer::add(&self.client, SLICE_OVERLAY_FINALIZER, &*overlay).await?);
        }
        let Some(claim) = plan.slices.get(reference) else { return Ok(()) };
        let mut ignored = ignored_fields(&overlay);
        let carried_out = self.carry_out_slice(&overlay, claim, &mut ignored).await;
        let problem = match &carried_out {
            Ok(slice) => claim.objection.clone().or_else(|| self.manager.slices.problem(slice)),
            Err(Failure::Service(trouble)) => Some(trouble.clone().into()),
            Err(Failure::Kubernetes(_)) => return carried_out.map(drop),
        };
        let generation = claim.generation;
        let before = overlay.status.clone().unwrap_or_default();
        let mut conditions = vec![conditions::ready(problem.as_ref(), generation)];
        conditions.extend(conditions::ignored(&ignored, generation));
        let slice = carried_out.as_ref().ok().cloned().or_else(|| recorded_slice(&overlay));
        let after = SliceOverlayStatus {
            phase: Some(phase(problem.as_ref()).to_owned()),
            deployed_switches: slice
                .as_ref()
                .and_then(|slice| self.deployed_switches(&overlay, slice, problem.is_none())),
            slice: slice.as_ref().map(ToString::to_string),
            conditions: conditions::with_times(conditions, &before.conditions),
            observed_generation: generation,
        };
        self.publisher.publish(&*overlay, overlay.status.as_ref(), &after).await?;
        self.publisher.announce(&*overlay, &before.conditions, &after.conditions).await;
        carried_out.map(drop)
    }

    /// How many switches of an overlay's slice are ready, as far as that is known.
    fn deployed_switches(
        &self,
        overlay: &SliceOverlay,
        name: &Name,
        is_ready: bool,
    ) -> Option<i32> {
        let slice = self.manager.slices.board.current(name);
        let slice = slice.filter(|slice| is_managed(slice, overlay))?;
        let names: Vec<Name> =
            clusters_of(&slice).into_iter().filter_map(|name| name.parse().ok()).collect();
        deployed_switches(&slice, &self.clusters(&names), is_ready)
    }

    /// Makes sure that the slice-manager has the slice that an overlay is; which one that is.
    async fn carry_out_slice(
        &self,
        overlay: &SliceOverlay,
        claim: &Claim<Name, PlannedSlice>,
        ignored: &mut Vec<String>,
    ) -> Result<Name, Failure> {
        let name = claim.key.clone().map_err(Trouble::from)?;
        let planned = claim.wanted.as_ref().map_err(|problem| Trouble::from(problem.clone()))?;
        if let Some(fault) = self.manager.fault() {
            return Err(Trouble::unreachable(fault).into());
        }
        let managed_by = managed_by(overlay);
        self.manager.slices.check(&name, &managed_by)?;
        let clusters = self.clusters(planned.clusters.iter().map(|cluster| &cluster.name));
        let (spec, not_carried_out) = slice_spec(planned, &clusters).map_err(Trouble::from)?;
        ignored.extend(not_carried_out);
        self.record_slice(overlay, &name).await?;
        let metadata = Metadata { name: name.to_string(), managed_by, ..Metadata::default() };
        let slice = api::Slice { spec: Some(spec), ..api::Slice::default() };
        self.manager.slices.keep(&name, metadata, slice).await?;
        Ok(name)
    }

    /// Notes in an overlay's status which slice it is, before that is made: it is removed with it.
    async fn record_slice(&self, overlay: &SliceOverlay, name: &Name) -> Result<(), Failure> {
        if recorded_slice(overlay).as_ref() == Some(name) {
            return Ok(());
        }
        Ok(self.publisher.record(overlay, &json!({ "slice": name })).await?)
    }

    /// Lets an overlay go when its slice is gone, which waits for its networks.
    async fn let_overlay_go(&self, overlay: &SliceOverlay) -> Result<(), Failure> {
        // Nothing is made before it stands there what.
        let removed = match recorded_slice(overlay) {
            Some(name) => self.remove_slice(overlay, &name).await,
            None => Ok(()),
        };
        let Err(trouble) = removed else {
            return Ok(finalizer::remove(&self.client, SLICE_OVERLAY_FINALIZER, overlay).await?);
        };
        let before = overlay.status.clone().unwrap_or_default();
        let problem = Problem::new("Deleting", trouble.message.clone());
        let condition = conditions::ready(Some(&problem), overlay.metadata.generation);
        let after = SliceOverlayStatus {
            phase: Some("Deleting".to_owned()),
            deployed_switches: None,
            conditions: conditions::with_times(vec![condition], &before.conditions),
            ..before
        };
        self.publisher.publish(overlay, overlay.status.as_ref(), &after).await?;
        Err(trouble.into())
    }

    async fn remove_slice(&self, overlay: &SliceOverlay, name: &Name) -> Result<(), Trouble> {
        if let Some(fault) = self.manager.fault() {
            return Err(Trouble::unreachable(fault));
        }
        let slices = &self.manager.slices;
        let is_own = slices.board.state(name).is_some_and(|slice| is_managed(&slice, overlay));
        let left = self.manager.networks.board.choose(|(key, network)| {
            let metadata = network.metadata.as_ref()?;
            let is_left = key.slice == *name && metadata.delete_time.is_none();
            is_left.then(|| key.name.to_string())
        });
        if is_own && !left.is_empty() {
            let message = format!("slice {name} still has networks: {}", left.join(", "));
            return Err(Trouble::waiting(message));
        }
        slices.remove(name, &managed_by(overlay)).await
    }
}

fn is_managed(slice: &api::Slice, overlay: &SliceOverlay) -> bool {
    slice.metadata.as_ref().is_some_and(|metadata| metadata.managed_by == managed_by(overlay))
}

/// The fields that an overlay has and that are never carried out.
fn ignored_fields(overlay: &SliceOverlay) -> Vec<String> {
    let template = overlay.spec.switch_template.iter().map(|_| "spec.switchTemplate".to_owned());
    let monitor = overlay.spec.monitor.iter().flat_map(ignored_of_monitor);
    template.chain(monitor).collect()
}
