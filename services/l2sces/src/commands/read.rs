use backon::BackoffBuilder;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::Status;

use crate::{
    error::CliError,
    resource::{Change, Key, Resource, Scope},
    session::{Session, call, pauses},
    wait::is_passing,
};

/// Shows one resource.
pub(super) async fn get<R: Resource>(session: &mut Session, key: &Key) -> Result<(), CliError> {
    let read = call(async || R::get(&session.api, key).await).await;
    let resource = read.map_err(|status| session.failed(status))?;
    session.output.one(&resource)
}

/// Shows all resources of a kind.
pub(super) async fn list<R: Resource>(
    session: &mut Session,
    scope: &Scope,
) -> Result<(), CliError> {
    let resources = all::<R>(session, scope).await?;
    session.output.many(&resources)
}

/// All resources of a kind.
pub(super) async fn all<R: Resource>(session: &Session, scope: &Scope) -> Result<Vec<R>, CliError> {
    let mut resources = Vec::new();
    let mut token = String::new();
    loop {
        let page = call(async || R::list(&session.api, scope, token.clone()).await).await;
        let (page, next) = page.map_err(|status| session.failed(status))?;
        resources.extend(page);
        if next.is_empty() {
            return Ok(resources);
        }
        token = next;
    }
}

/// Shows every change of resources of a kind, or of those with a name, until interrupted: resumes
/// after the last one seen when the slice-manager was away.
pub(super) async fn watch<R: Resource>(
    session: &mut Session,
    scope: &Scope,
    name: Option<String>,
) -> Result<(), CliError> {
    let new_pauses = || pauses().without_max_times().build();
    let mut pauses = new_pauses();
    let mut revision = 0;
    loop {
        let before = revision;
        let status = print_changes::<R>(session, scope, name.as_deref(), &mut revision).await?;
        let passing = is_passing(&status);
        let error = session.failed(status);
        if !passing {
            return Err(error);
        }
        if revision != before {
            pauses = new_pauses();
        }
        session.progress.show(&format!("{}; trying again", error.lines().join("; ")));
        sleep(pauses.next().unwrap_or_default()).await;
    }
}

/// Prints changes until the watch ends; returns why it did.
async fn print_changes<R: Resource>(
    session: &mut Session,
    scope: &Scope,
    name: Option<&str>,
    revision: &mut i64,
) -> Result<Status, CliError> {
    let mut changes = match R::watch(&session.api, scope, *revision).await {
        Ok(changes) => changes,
        Err(status) => return Ok(status),
    };
    session.progress.clear();
    while let Some(next) = changes.next().await {
        let (change, at) = match next {
            Ok(next) => next,
            Err(status) => return Ok(status),
        };
        *revision = (*revision).max(at);
        let is_wanted = match &change {
            Change::Put(resource) | Change::Deleted(resource) => {
                name.is_none_or(|name| resource.metadata().name == name)
            }
            Change::Synced => true,
        };
        if is_wanted {
            session.output.change(&change)?;
        }
    }
    Ok(Status::unavailable("the watch has ended"))
}
