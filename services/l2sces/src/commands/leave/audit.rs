//! What is left of a cluster, as far as one can see.

use std::time::Duration;

use kube::Client;
use l2sces_proto::{
    dns::v1::{ListRecordsRequest, record_service_client::RecordServiceClient},
    resource::v1::ChangeKind,
    sco::v1::{WatchRequest, object_key::Key as ScoKey, sco_service_client::ScoServiceClient},
    slice::v1::Cluster,
};
use tokio::time::timeout;
use tonic::Status;

use super::slices_with;
use crate::{
    args::{ConnectionArgs, LeaveArgs},
    commands::write::send_get,
    error::CliError,
    kubernetes::{Residue, in_cluster},
    progress::Progress,
    resource::Key,
    session::{Session, dial},
};

/// Longest that a service may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records in a page.
const PAGE_SIZE: i32 = 1_000;

/// The endpoints of those that are asked.
pub(super) struct Services {
    pub(super) slice_manager: Option<String>,
    pub(super) sco_provider: Option<String>,
    pub(super) inter_domain_dns: Option<String>,
}

/// Everything that is there of the cluster. Says who was not asked.
pub(super) async fn look(
    client: &Client,
    session: Option<&Session>,
    connection: &ConnectionArgs,
    services: &Services,
    args: &LeaveArgs,
    progress: &mut Progress,
) -> Result<Vec<Residue>, CliError> {
    let cluster = args.name.as_str();
    let mut residue = in_cluster(client, args.keep_crds).await?;
    let mut unseen = |service: &str, why: &str| {
        progress.note(&format!("not looked at: {service} ({why})"));
    };
    match session {
        Some(session) => residue.extend(at_slice_manager(session, cluster).await?),
        None => unseen("slice-manager", "--endpoint says where it is"),
    }
    let sco_provider = services.sco_provider.as_ref();
    match sco_provider.map(async |endpoint| at_sco_provider(connection, endpoint, cluster).await) {
        Some(looked) => match looked.await {
            Ok(found) => residue.extend(found),
            Err(error) => unseen("sco-provider", &error.to_string()),
        },
        None => unseen("sco-provider", "--sco-provider says where it is"),
    }
    let dns = services.inter_domain_dns.as_ref();
    match dns.map(async |endpoint| at_inter_domain_dns(connection, endpoint, cluster).await) {
        Some(looked) => match looked.await {
            Ok(found) => residue.extend(found),
            Err(error) => unseen("inter-domain-dns", &error.to_string()),
        },
        None => unseen("inter-domain-dns", "--inter-domain-dns says where it is"),
    }
    Ok(residue)
}

async fn at_slice_manager(session: &Session, cluster: &str) -> Result<Vec<Residue>, CliError> {
    let key = Key { name: cluster.to_owned(), ..Key::default() };
    if send_get::<Cluster>(session, &key).await?.is_none() {
        return Ok(Vec::new());
    }
    let slices = slices_with(session, cluster).await?;
    let note = match slices.is_empty() {
        true => "registered".to_owned(),
        false => format!("registered, and used by {}", slices.join(", ")),
    };
    Ok(vec![Residue::new("slice-manager", format!("cluster {cluster}"), note)])
}

/// Gateways of the cluster: of what else it was told by a member, the sco-provider tells the sum only.
async fn at_sco_provider(
    connection: &ConnectionArgs,
    endpoint: &str,
    cluster: &str,
) -> Result<Vec<Residue>, CliError> {
    let (endpoint, channel) = dial(&connection.to(endpoint))?;
    let read = async {
        let mut found = Vec::new();
        let watch = ScoServiceClient::new(channel).watch(WatchRequest {}).await?;
        let mut changes = watch.into_inner();
        while let Some(change) = changes.message().await? {
            if change.kind() == ChangeKind::Synced {
                break;
            }
            let key = change.state.and_then(|state| state.key).and_then(|key| key.key);
            if let Some(ScoKey::Gateway(gateway)) = key
                && gateway.cluster == cluster
            {
                let what = format!("gateway {}/{}", gateway.cluster, gateway.node);
                found.push(Residue::new("sco-provider", what, "not gone"));
            }
        }
        Ok(found)
    };
    answered(&endpoint, timeout(PATIENCE, read).await)
}

async fn at_inter_domain_dns(
    connection: &ConnectionArgs,
    endpoint: &str,
    cluster: &str,
) -> Result<Vec<Residue>, CliError> {
    let (endpoint, channel) = dial(&connection.to(endpoint))?;
    let read = async {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        let mut records = RecordServiceClient::new(channel);
        loop {
            let request =
                ListRecordsRequest { page_size: PAGE_SIZE, page_token, ..Default::default() };
            let page = records.list_records(request).await?.into_inner();
            let keys = page.records.into_iter().filter_map(|record| record.key);
            found.extend(keys.filter(|key| key.cluster == cluster).map(|key| {
                let name =
                    format!("name {}.{}.{}.{}", key.host, key.cluster, key.network, key.slice);
                Residue::new("inter-domain-dns", name, "answered")
            }));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    };
    answered(&endpoint, timeout(PATIENCE, read).await)
}

fn answered<T, E>(endpoint: &str, answer: Result<Result<T, Status>, E>) -> Result<T, CliError> {
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
    answer.map_err(|status| CliError::Call {
        endpoint: endpoint.to_owned(),
        status: Box::new(status),
    })
}
