//! Has a Kubernetes cluster leave.

mod audit;
mod steps;

use kube::Client;
use l2sces_proto::slice::v1::{Cluster, Slice, cluster_spec::Driver};

use super::write::{self, Deleted, send_delete, send_get};
use crate::{
    args::{ConnectionArgs, Format, LeaveArgs},
    error::CliError,
    kubernetes::{self, Inventory, Joined},
    output::Output,
    progress::Progress,
    resource::{DeleteOptions, Key, Scope},
    session::Session,
    wait,
};
use audit::Services;
use steps::Removal;

/// Removes everything of ours from the cluster, or tells what that would be, and looks for what is left.
pub(super) async fn run(
    connection: &ConnectionArgs,
    format: Format,
    args: LeaveArgs,
) -> Result<(), CliError> {
    let client = kubernetes::connect(&args.kubeconfig).await?.client;
    let joined = kubernetes::joined(&client, &args.name).await?;
    let has_joined = joined.is_some();
    let services = Services::find(connection, joined, &args);
    let mut session = match &services.slice_manager {
        Some(endpoint) => Some(Session::new(&connection.to(endpoint), format)?),
        None => None,
    };
    let mut output = Output::stdout(format);
    let mut progress = Progress::stderr();
    if !args.dry_run {
        if !has_joined && !args.force {
            refuse_others(&client, &args).await?;
        }
        let is_used = match &mut session {
            Some(session) => {
                let deregistered = deregister(session, &args, has_joined, &mut output).await;
                given_up(deregistered, args.force, &mut progress)?
            }
            None => false,
        };
        let inventory = Inventory::new()?;
        let mut removal = Removal::new(&client, &inventory, &args, &mut output, &mut progress);
        removal.run(is_used).await?;
    }
    let found = audit::look(&client, session.as_ref(), connection, &services, &args).await?;
    found.unseen.iter().for_each(|unseen| progress.note(&format!("not looked at: {unseen}")));
    output.residue(&found.residue)?;
    let everywhere = if found.unseen.is_empty() { "" } else { " where it was looked" };
    match (args.dry_run, found.residue.len()) {
        (false, 0) => output.line(&format!("nothing is left of cluster {}{everywhere}", args.name)),
        (true, 0) => output.line(&format!("there is nothing of cluster {}{everywhere}", args.name)),
        (true, _) => Ok(()),
        (false, left) => {
            Err(CliError::Failed(format!("{left} things are left of cluster {}", args.name)))
        }
    }
}

/// A cluster that has never joined has custom resources of somebody else's, of L2S-M itself, say. They are
/// the first to go, so that an interrupted removal does not come here.
async fn refuse_others(client: &Client, args: &LeaveArgs) -> Result<(), CliError> {
    let others = kubernetes::removal::custom_resources(client).await?;
    let Some(first) = others.first() else { return Ok(()) };
    Err(CliError::Usage(format!(
        "this Kubernetes cluster has never joined as {}, and has {} custom resources, such as {}: is it \
         another (--context)? If not, delete them, or leave by --force",
        args.name,
        others.len(),
        kubernetes::shown(first)
    )))
}

/// With force, a slice-manager that is away is done without: slices may have the cluster then.
fn given_up(
    deregistered: Result<bool, CliError>,
    is_forced: bool,
    progress: &mut Progress,
) -> Result<bool, CliError> {
    let hint = "--force leaves without the slice-manager: the cluster stays registered there";
    match deregistered {
        Err(error @ (CliError::Call { .. } | CliError::TimedOut(_))) if is_forced => {
            progress.note(&format!("given up: {error}"));
            Ok(true)
        }
        Err(error @ CliError::Call { .. }) => Err(CliError::Failed(format!("{error} ({hint})"))),
        Err(CliError::TimedOut(reason)) => Err(CliError::TimedOut(format!("{reason} ({hint})"))),
        deregistered => deregistered,
    }
}

/// Takes the cluster from the slice-manager. Answers whether slices have it and it therefore stays, which
/// only force allows.
async fn deregister(
    session: &mut Session,
    args: &LeaveArgs,
    has_joined: bool,
    output: &mut Output,
) -> Result<bool, CliError> {
    let key = Key { name: args.name.to_string(), ..Key::default() };
    let Some(registered) = send_get::<Cluster>(session, &key).await? else { return Ok(false) };
    let driver = registered.spec.and_then(|spec| spec.driver);
    if !matches!(driver, Some(Driver::Kubernetes(_))) {
        let what = format!("cluster {} of the slice-manager is none of Kubernetes", args.name);
        return Err(CliError::Usage(what));
    }
    // The settings are among the last things to go, so that an interrupted one does not come here.
    if !has_joined && !args.force {
        return Err(CliError::Usage(format!(
            "the slice-manager has a cluster {}, but this Kubernetes cluster has never joined: is it \
             another (--context)? If not, leave by --force",
            args.name
        )));
    }
    let slices = slices_with(session, args.name.as_str()).await?;
    if !slices.is_empty() {
        if args.force {
            return Ok(true);
        }
        return Err(CliError::Failed(format!(
            "cluster {} is used by {}: take it out of them first. Or leave by --force: it stays \
             registered, and they fail there until they are changed",
            args.name,
            slices.join(", ")
        )));
    }
    let options =
        DeleteOptions { etag: String::new(), force: false, write: write::write_options(false) };
    if let Deleted::Accepted(going) = send_delete::<Cluster>(session, &key, options).await? {
        let deadline = tokio::time::Instant::now() + args.timeout;
        let gone = wait::until_gone(session, going, deadline).await?;
        output.done(&gone, "deleted")?;
    }
    Ok(false)
}

/// The slices that have a cluster.
async fn slices_with(session: &Session, cluster: &str) -> Result<Vec<String>, CliError> {
    let slices = super::read::all::<Slice>(session, &Scope::default()).await?;
    let has = |slice: &&Slice| {
        let clusters = slice.spec.iter().flat_map(|spec| &spec.clusters);
        clusters.into_iter().any(|member| member.cluster == cluster)
    };
    let name = |slice: &Slice| format!("slice {}", crate::resource::Resource::key(slice));
    Ok(slices.iter().filter(has).map(name).collect())
}

impl Services {
    /// Those that the command line names, or else those that the cluster knows.
    fn find(connection: &ConnectionArgs, joined: Option<Joined>, args: &LeaveArgs) -> Self {
        let (slice_manager, sco_provider) =
            joined.map_or((None, None), |joined| (joined.slice_manager, joined.sco_provider));
        Self {
            slice_manager: connection.endpoint.clone().or(slice_manager),
            sco_provider: args.sco_provider.clone().or(sco_provider),
            inter_domain_dns: args.inter_domain_dns.clone(),
        }
    }
}
