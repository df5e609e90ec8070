//! Statuses and events, as they get to the API server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Namespaced,
    conditions::{READY, WAITING},
};

/// Writes statuses and events in the name of an operator.
pub struct Publisher {
    client: Client,
    recorder: Recorder,
    /// Who owns the fields of statuses, for server-side apply.
    name: &'static str,
}

impl Publisher {
    /// A publisher in the name of an operator, of which this replica speaks.
    pub fn new(client: Client, name: &'static str, replica: &str) -> Self {
        let reporter = Reporter { controller: name.to_owned(), instance: Some(replica.to_owned()) };
        Self { recorder: Recorder::new(client.clone(), reporter), client, name }
    }

    /// Writes a resource's status, if it differs from what is there.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn publish<R: Namespaced, S: Serialize + PartialEq>(
        &self,
        resource: &R,
        before: Option<&S>,
        after: &S,
    ) -> kube::Result<()> {
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
        let params = PatchParams::apply(self.name).force();
        match api.patch_status(&name, &params, &Patch::Apply(patch)).await {
            // It has gone meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            written => written.map(drop),
        }
    }

    /// Writes fields of a resource's status that stay, whatever statuses are published later; not if
    /// somebody has written the resource since it was read, who may have recorded something else.
    ///
    /// # Errors
    /// The API server refuses, for that reason too.
    pub async fn record<R: Namespaced>(&self, resource: &R, fields: &Value) -> kube::Result<()> {
        let namespace = resource.namespace().unwrap_or_default();
        let api: Api<R> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({
            "metadata": { "resourceVersion": resource.resource_version(), "uid": resource.uid() },
            "status": fields,
        });
        let params = PatchParams::default();
        api.patch_status(&resource.name_any(), &params, &Patch::Merge(patch)).await.map(drop)
    }

    /// Tells by an event that a resource has become ready, or why it is not any more.
    pub async fn announce<R: Namespaced>(
        &self,
        resource: &R,
        before: &[Condition],
        after: &[Condition],
    ) {
        let ready = |conditions: &[Condition]| {
            conditions.iter().find(|condition| condition.type_ == READY).cloned()
        };
        let Some(after) = ready(after) else { return };
        if !is_news(ready(before).as_ref(), &after) {
            return;
        }
        let is_ready = after.status == "True";
        let type_ = if is_ready { EventType::Normal } else { EventType::Warning };
        self.tell(resource, type_, &after.reason, &after.message).await;
    }

    /// Tells of something by an event.
    async fn tell<R: Namespaced>(
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

/// Whether something is to be told of by an event, by its conditions before and now.
fn is_news(before: Option<&Condition>, after: &Condition) -> bool {
    // What is on its way for the first time is no warning.
    if after.status != "True" && after.reason == WAITING {
        return false;
    }
    // Messages count what is left, and each count would be an event.
    before.is_none_or(|before| (&before.status, &before.reason) != (&after.status, &after.reason))
}

/// The most characters of an event's note: 1 kB, with some room for those of several bytes.
const MAX_NOTE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Problem,
        conditions::{BLOCKED, ready},
    };

    #[test]
    fn events_tell_what_is_wrong_and_not_that_it_still_is() {
        let not_ready =
            |reason, message: &str| ready(Some(&Problem::new(reason, message)), Some(1));
        let is_ready = ready(None, Some(1));
        let blocked = not_ready(BLOCKED, "no gateway");
        let waiting = not_ready(WAITING, "for its slice");
        let away = not_ready("Unreachable", "for 1 s");
        for (before, after, expected) in [
            (None, &waiting, false),
            (Some(&waiting), &blocked, true),
            (Some(&blocked), &blocked, false),
            (Some(&blocked), &not_ready(BLOCKED, "another CIDR"), false),
            (Some(&away), &not_ready("Unreachable", "for 2 s"), false),
            (Some(&blocked), &waiting, false),
            (Some(&blocked), &is_ready, true),
            (Some(&is_ready), &is_ready, false),
        ] {
            assert_eq!(is_news(before, after), expected, "{before:?} {after:?}");
        }
    }
}
