use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use l2sces_proto::slice::v1::{Cluster, Network, Port, Slice};
use tokio::time::Instant;

use super::write::{
    Deleted, deadline, send_create, send_delete, send_get, send_update, write_options,
};
use crate::{
    args::{ApplyArgs, DeleteFileArgs},
    error::CliError,
    manifest::{self, Manifest},
    resource::{DeleteOptions, Resource},
    session::Session,
    wait,
};

/// What a file holds, by kind.
#[derive(Default)]
struct Resources {
    clusters: Vec<Cluster>,
    slices: Vec<Slice>,
    networks: Vec<Network>,
    ports: Vec<Port>,
}

/// Creates or updates everything in a file, parents first, then waits until all of it is ready: a
/// resource need not be ready for others to refer to it.
pub(super) async fn apply(session: &mut Session, args: ApplyArgs) -> Result<(), CliError> {
    let resources = read(&args.file)?;
    let validate_only = args.write.validate_only;
    let clusters = apply_all(session, resources.clusters, validate_only).await?;
    let slices = apply_all(session, resources.slices, validate_only).await?;
    let networks = apply_all(session, resources.networks, validate_only).await?;
    let ports = apply_all(session, resources.ports, validate_only).await?;

    let deadline = deadline(&args.write.wait).filter(|_| !validate_only);
    settle_all(session, clusters, deadline).await?;
    settle_all(session, slices, deadline).await?;
    settle_all(session, networks, deadline).await?;
    settle_all(session, ports, deadline).await
}

/// Deletes everything in a file, children first, each kind when the one before is gone: a parent
/// with children cannot be deleted.
pub(super) async fn delete(session: &mut Session, args: DeleteFileArgs) -> Result<(), CliError> {
    let resources = read(&args.file)?;
    let deadline = deadline(&args.write.wait);
    delete_all(session, resources.ports, &args, deadline).await?;
    delete_all(session, resources.networks, &args, deadline).await?;
    delete_all(session, resources.slices, &args, deadline).await?;
    delete_all(session, resources.clusters, &args, deadline).await
}

fn read(path: &Path) -> Result<Resources, CliError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let failed =
        |error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", path.display()));
    let text = text.map_err(|error| failed(&error))?;
    let manifests = manifest::parse(&text).map_err(|error| failed(&error))?;
    let mut resources = Resources::default();
    for manifest in manifests {
        match manifest {
            Manifest::Cluster(cluster) => resources.clusters.push(cluster.into()),
            Manifest::Slice(slice) => resources.slices.push(slice.into()),
            Manifest::Network(network) => resources.networks.push(network.into()),
            Manifest::Port(port) => resources.ports.push((*port).into()),
        }
    }
    Ok(resources)
}

async fn apply_all<R: Resource>(
    session: &mut Session,
    resources: Vec<R>,
    validate_only: bool,
) -> Result<Vec<R>, CliError> {
    let mut applied = Vec::new();
    for resource in resources {
        let key = resource.key();
        let (written, done) = apply_one(session, resource, validate_only)
            .await
            .map_err(|error| error.about(format!("{} {key}", R::KIND)))?;
        session.output.done(&written, done)?;
        applied.push(written);
    }
    Ok(applied)
}

/// Creates or updates a resource; also tells what was done.
pub(super) async fn apply_one<R: Resource>(
    session: &Session,
    resource: R,
    validate_only: bool,
) -> Result<(R, &'static str), CliError> {
    let Some(stored) = send_get::<R>(session, &resource.key()).await? else {
        let created = send_create(session, resource, validate_only).await?;
        return Ok((created, if validate_only { "can be created" } else { "created" }));
    };
    let (wanted, found) = (resource.metadata(), stored.metadata());
    // Another etag is for the server to refuse.
    let etag_holds = wanted.etag.is_empty() || wanted.etag == found.etag;
    if etag_holds && found.delete_time.is_none() && resource.wants_the_same_as(&stored) {
        return Ok((stored, "unchanged"));
    }
    let updated = send_update(session, resource, write_options(validate_only)).await?;
    let is_unchanged = updated.metadata().generation == stored.metadata().generation;
    let done = match (validate_only, is_unchanged) {
        (true, _) => "can be updated",
        // The server writes some values in another way than people do.
        (false, true) => "unchanged",
        (false, false) => "updated",
    };
    Ok((updated, done))
}

/// Waits until all are ready, if there is a deadline, and shows them to programs.
async fn settle_all<R: Resource>(
    session: &mut Session,
    resources: Vec<R>,
    deadline: Option<Instant>,
) -> Result<(), CliError> {
    for resource in resources {
        let settled = match deadline {
            Some(deadline) => wait::until_ready(session, resource, deadline).await?,
            None => resource,
        };
        session.output.result(&settled)?;
    }
    Ok(())
}

async fn delete_all<R: Resource>(
    session: &mut Session,
    resources: Vec<R>,
    args: &DeleteFileArgs,
    deadline: Option<Instant>,
) -> Result<(), CliError> {
    let validate_only = args.write.validate_only;
    let mut going = Vec::new();
    for resource in resources.into_iter().rev() {
        let options = DeleteOptions {
            etag: resource.metadata().etag.clone(),
            force: args.force,
            write: write_options(validate_only),
        };
        let key = resource.key();
        let deleted = send_delete::<R>(session, &key, options)
            .await
            .map_err(|error| error.about(format!("{} {key}", R::KIND)))?;
        match deleted {
            Deleted::NotFound(_) => session.output.done(&resource, "is not there")?,
            Deleted::Accepted(deleted) if validate_only => {
                session.output.done(&deleted, "can be deleted")?;
            }
            Deleted::Accepted(deleted) => going.push(deleted),
        }
    }
    for resource in going {
        match deadline {
            Some(deadline) => {
                let gone = wait::until_gone(session, resource, deadline).await?;
                session.output.done(&gone, "deleted")?;
            }
            None => session.output.done(&resource, "is being deleted")?,
        }
    }
    Ok(())
}
