//! Statuses and events, as they get to the API server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde::Serialize;
use serde_json::json;

use super::{Failure, Reconciler, conditions::READY, finalizer::Finalized};

/// Who owns the fields of statuses, for server-side apply.
pub(super) const FIELD_MANAGER: &str = "l2sces-operator";

impl Reconciler {
    /// Writes a resource's status, if it differs from what is there.
    pub(super) async fn publish<R: Finalized, S: Serialize + PartialEq>(
        &self,
        resource: &R,
        before: Option<&S>,
        after: &S,
    ) -> Result<(), Failure> {
        if before == Some(after) {
            return Ok(());
        }
        let name = resource.name_any();
        let namespace = resource.namespace().unwrap_or_default();
        let api: Api<R> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({
            "apiVersion": R::api_version(&()),
            "kind": R::kind(&()),
            "metadata": { "name": name, "namespace": namespace, "uid": resource.uid() },
            "status": after,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch_status(&name, &params, &Patch::Apply(patch)).await {
            // It has gone meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }

    /// Tells by an event that a resource has become ready, or why it is not any more.
    pub(super) async fn announce<R: Finalized>(
        &self,
        resource: &R,
        before: &[Condition],
        after: &[Condition],
    ) {
        let ready = |conditions: &[Condition]| {
            conditions.iter().find(|condition| condition.type_ == READY).cloned()
        };
        let Some(after) = ready(after) else { return };
        let before = ready(before);
        let is_news = before.as_ref().is_none_or(|before| {
            (&before.status, &before.reason) != (&after.status, &after.reason)
        });
        // What is on its way for the first time is no warning.
        let is_ready = after.status == "True";
        if !is_news || (!is_ready && after.reason == "Waiting") {
            return;
        }
        let type_ = if is_ready { EventType::Normal } else { EventType::Warning };
        self.tell(resource, type_, &after.reason, &after.message).await;
    }

    /// Tells of something by an event.
    pub(super) async fn tell<R: Finalized>(
        &self,
        resource: &R,
        type_: EventType,
        reason: &str,
        message: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(message.chars().take(MAX_NOTE).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &resource.object_ref(&())).await {
            // Statuses say the same.
            tracing::debug!(%error, "cannot publish an event");
        }
    }
}

/// The most characters of an event's note: 1 kB, with some room for those of several bytes.
const MAX_NOTE: usize = 512;
