use kube::{
    Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};

use super::{api, explained, kind, shown};
use crate::error::CliError;

/// Whose fields they are.
const FIELD_MANAGER: &str = "l2sces-cluster-join";

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Created,
    Updated,
    Unchanged,
    /// Nothing: the API server is older than the object's kind, without which everything works.
    LeftOut,
}

/// The kind that everything works without: API servers before 1.21 do not know version 1 of it.
const OPTIONAL: &str = "PodDisruptionBudget";

impl Done {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::LeftOut => "left out: the API server does not know this kind",
        }
    }
}

/// Makes an object as it is to be (server-side apply); what it does not speak of stays as it is.
pub(crate) async fn apply(client: &Client, object: &DynamicObject) -> Result<Done, CliError> {
    let api = api(client, object)?;
    let name = object.name_any();
    let failed = |error| explained(&shown(object), error);
    let before = api.get_opt(&name).await.map_err(failed)?;
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let after = match api.patch(&name, &parameters, &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) if status.code == 404 && kind(object) == OPTIONAL => {
            return Ok(Done::LeftOut);
        }
        after => after.map_err(failed)?,
    };
    Ok(match before {
        None => Done::Created,
        Some(before) if wanted(&before) == wanted(&after) => Done::Unchanged,
        Some(_) => Done::Updated,
    })
}

/// What of an object is wanted, not what it has become by that.
fn wanted(object: &DynamicObject) -> impl PartialEq {
    let mut data = object.data.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("status");
    }
    (data, object.labels().clone(), object.annotations().clone())
}
