use tokio::time::Instant;
use tonic::Code;

use crate::{
    args::{DeleteArgs, UpdateArgs, WaitArgs, WriteArgs},
    error::CliError,
    resource::{DeleteOptions, Key, Resource, WriteOptions},
    session::{Session, call, request_id},
    wait,
};

/// Creates a resource, waits until it is ready, and shows it.
pub(super) async fn create<R: Resource>(
    session: &mut Session,
    resource: R,
    args: &WriteArgs,
) -> Result<(), CliError> {
    let created = send_create(session, resource, args.validate_only).await?;
    show(session, created, args).await
}

/// Changes a resource, with `force` whatever becomes of what it loses, waits until it is ready, and
/// shows it. Unless the user names an etag, that of the resource just read guards against changes made
/// in between.
pub(super) async fn update<R: Resource>(
    session: &mut Session,
    key: &Key,
    change: impl FnOnce(&mut R),
    force: bool,
    args: UpdateArgs,
) -> Result<(), CliError> {
    let read = call(async || R::get(&session.api, key).await).await;
    let mut resource: R = read.map_err(|status| session.failed(status))?;
    change(&mut resource);
    if let Some(etag) = args.etag {
        resource.metadata_mut().etag = etag;
    }
    let options = WriteOptions { force, ..write_options(args.write.validate_only) };
    let updated = send_update(session, resource, options).await?;
    show(session, updated, &args.write).await
}

/// Deletes a resource and waits until it is gone.
pub(super) async fn delete<R: Resource>(
    session: &mut Session,
    key: &Key,
    force: bool,
    args: DeleteArgs,
) -> Result<(), CliError> {
    let validate_only = args.write.validate_only;
    let options = DeleteOptions { etag: args.etag, force, write: write_options(validate_only) };
    let deleted: R = match send_delete(session, key, options).await? {
        Deleted::Accepted(deleted) => deleted,
        Deleted::NotFound(error) => return Err(error),
    };
    if validate_only {
        return session.output.done(&deleted, "can be deleted");
    }
    match deadline(&args.write.wait) {
        Some(deadline) => {
            let gone = wait::until_gone(session, deleted, deadline).await?;
            session.output.done(&gone, "deleted")
        }
        None => session.output.done(&deleted, "is being deleted"),
    }
}

/// The resource as it is now, if there is one.
pub(super) async fn send_get<R: Resource>(
    session: &Session,
    key: &Key,
) -> Result<Option<R>, CliError> {
    match call(async || R::get(&session.api, key).await).await {
        Ok(resource) => Ok(Some(resource)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(session.failed(status)),
    }
}

pub(super) async fn send_create<R: Resource>(
    session: &Session,
    resource: R,
    validate_only: bool,
) -> Result<R, CliError> {
    let options = write_options(validate_only);
    let create = async || R::create(&session.api, resource.clone(), options.clone()).await;
    call(create).await.map_err(|status| session.failed(status))
}

pub(super) async fn send_update<R: Resource>(
    session: &Session,
    resource: R,
    options: WriteOptions,
) -> Result<R, CliError> {
    let update = async || R::update(&session.api, resource.clone(), options.clone()).await;
    call(update).await.map_err(|status| session.failed(status))
}

/// How the server took a deletion.
pub(super) enum Deleted<R> {
    Accepted(R),
    /// There is nothing to delete, which may be as good.
    NotFound(CliError),
}

pub(super) async fn send_delete<R: Resource>(
    session: &Session,
    key: &Key,
    options: DeleteOptions,
) -> Result<Deleted<R>, CliError> {
    match call(async || R::delete(&session.api, key, options.clone()).await).await {
        Ok(deleted) => Ok(Deleted::Accepted(deleted)),
        Err(status) if status.code() == Code::NotFound => {
            Ok(Deleted::NotFound(session.failed(status)))
        }
        Err(status) => Err(session.failed(status)),
    }
}

pub(super) fn write_options(validate_only: bool) -> WriteOptions {
    WriteOptions { request_id: request_id(), validate_only, force: false }
}

/// When waiting ends; `None`: do not wait.
pub(super) fn deadline(args: &WaitArgs) -> Option<Instant> {
    args.limit().map(|limit| Instant::now() + limit)
}

async fn show<R: Resource>(
    session: &mut Session,
    written: R,
    args: &WriteArgs,
) -> Result<(), CliError> {
    let shown = match deadline(&args.wait) {
        Some(deadline) if !args.validate_only => {
            wait::until_ready(session, written, deadline).await?
        }
        _ => written,
    };
    session.output.one(&shown)
}
