//! What is left of a cluster, as far as one can see.

use std::{collections::BTreeSet, time::Duration};

use kube::Client;
use l2sces_grpc::Channel;
use l2sces_proto::{
    dns::v1::{ListRecordsRequest, record_service_client::RecordServiceClient},
    resource::v1::ChangeKind,
    sco::v1::{
        WatchRequest, WatchResponse, object_key::Key as ScoKey,
        sco_service_client::ScoServiceClient,
    },
    slice::v1::Cluster,
};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::slices_with;
use crate::{
    args::{ConnectionArgs, LeaveArgs},
    commands::write::send_get,
    error::CliError,
    kubernetes::{Findings, Residue, in_cluster},
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

/// Everything that is there of the cluster, as far as it can be seen.
pub(super) async fn look(
    client: &Client,
    session: Option<&Session>,
    connection: &ConnectionArgs,
    services: &Services,
    args: &LeaveArgs,
) -> Result<Findings, CliError> {
    let cluster = args.name.as_str();
    let mut findings = in_cluster(client, args.keep_crds).await?;
    let at_slice_manager = async |session| at_slice_manager(session, cluster).await;
    let at_sco_provider = async |endpoint: &String| {
        within(connection, endpoint, async |channel| at_sco_provider(channel, cluster).await).await
    };
    let at_inter_domain_dns = async |endpoint: &String| {
        let names = async |channel| at_inter_domain_dns(channel, cluster).await;
        within(connection, endpoint, names).await
    };
    let (sco_provider, dns) = (&services.sco_provider, &services.inter_domain_dns);
    let answers = [
        ("slice-manager", ask(session, "--endpoint", at_slice_manager).await),
        ("sco-provider", ask(sco_provider.as_ref(), "--sco-provider", at_sco_provider).await),
        ("inter-domain-dns", ask(dns.as_ref(), "--inter-domain-dns", at_inter_domain_dns).await),
    ];
    for (service, answer) in answers {
        findings.add(answer.map_err(|why| format!("{service} ({why})")));
    }
    Ok(findings)
}

/// What a service has, or why that is not known; the flag says where the service is.
async fn ask<S>(
    service: Option<S>,
    flag: &str,
    look: impl AsyncFnOnce(S) -> Result<Vec<Residue>, CliError>,
) -> Result<Vec<Residue>, String> {
    let service = service.ok_or_else(|| format!("{flag} says where it is"))?;
    look(service).await.map_err(|error| error.to_string())
}

/// Asks a service, which must answer in time.
async fn within<T>(
    connection: &ConnectionArgs,
    endpoint: &str,
    ask: impl AsyncFnOnce(Channel) -> Result<T, Status>,
) -> Result<T, CliError> {
    let (endpoint, channel) = dial(&connection.to(endpoint))?;
    let answer = timeout(PATIENCE, ask(channel)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
    answer.map_err(|status| CliError::Call { endpoint, status: Box::new(status) })
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
async fn at_sco_provider(channel: Channel, cluster: &str) -> Result<Vec<Residue>, Status> {
    let watch = ScoServiceClient::new(channel).watch(WatchRequest {}).await?;
    let gateways = gateways(watch.into_inner(), cluster).await?;
    let residue =
        |node| Residue::new("sco-provider", format!("gateway {cluster}/{node}"), "not gone");
    Ok(gateways.into_iter().map(residue).collect())
}

/// The nodes of a cluster's gateways that there are when the watch has told of everything once.
async fn gateways(
    mut changes: impl Stream<Item = Result<WatchResponse, Status>> + Unpin,
    cluster: &str,
) -> Result<BTreeSet<String>, Status> {
    let mut gateways = BTreeSet::new();
    while let Some(change) = changes.try_next().await? {
        let kind = change.kind();
        if kind == ChangeKind::Synced {
            return Ok(gateways);
        }
        let key = change.state.and_then(|state| state.key).and_then(|key| key.key);
        match key {
            Some(ScoKey::Gateway(gateway)) if gateway.cluster == cluster => match kind {
                ChangeKind::Deleted => drop(gateways.remove(&gateway.node)),
                _ => drop(gateways.insert(gateway.node)),
            },
            _ => {}
        }
    }
    Err(Status::unavailable("it ended before it had told of everything"))
}

async fn at_inter_domain_dns(channel: Channel, cluster: &str) -> Result<Vec<Residue>, Status> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    let mut records = RecordServiceClient::new(channel);
    loop {
        let request = ListRecordsRequest { page_size: PAGE_SIZE, page_token, ..Default::default() };
        let page = records.list_records(request).await?.into_inner();
        let keys = page.records.into_iter().filter_map(|record| record.key);
        found.extend(keys.filter(|key| key.cluster == cluster).map(|key| {
            let name = format!("name {}.{}.{}.{}", key.host, key.cluster, key.network, key.slice);
            Residue::new("inter-domain-dns", name, "answered")
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use l2sces_proto::sco::v1::{GatewayKey, ObjectKey, ObjectState};
    use tokio_stream::iter;
    use tonic::Code;

    use super::*;

    fn change(kind: ChangeKind, cluster: &str, node: &str) -> Result<WatchResponse, Status> {
        let gateway = GatewayKey { cluster: cluster.into(), node: node.into() };
        let key = Some(ObjectKey { key: Some(ScoKey::Gateway(gateway)) });
        let state = Some(ObjectState { key, ..ObjectState::default() });
        Ok(WatchResponse { kind: kind.into(), state, ..WatchResponse::default() })
    }

    #[tokio::test]
    async fn gateways_that_went_while_all_were_told_are_gone() {
        let told = [
            change(ChangeKind::Put, "a", "a1"),
            change(ChangeKind::Put, "a", "a2"),
            change(ChangeKind::Put, "b", "b1"),
            change(ChangeKind::Deleted, "a", "a1"),
            Ok(WatchResponse { kind: ChangeKind::Synced.into(), ..WatchResponse::default() }),
            change(ChangeKind::Put, "a", "later"),
        ];
        let found = gateways(iter(told), "a").await.unwrap();
        assert_eq!(found, ["a2".to_owned()].into());
    }

    #[tokio::test]
    async fn a_watch_that_ends_early_has_not_told_that_there_is_nothing() {
        let told = [change(ChangeKind::Put, "b", "b1")];
        let error = gateways(iter(told), "a").await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
}
