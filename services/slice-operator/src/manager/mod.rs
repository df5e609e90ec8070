//! The slice-manager, which carries out what is planned. It is known by watches what it has.

mod kind;
mod objects;
mod settled;
mod spec;

use l2sces_grpc::Channel;
use l2sces_model::Name;
use l2sces_proto::slice::v1::{
    self as api, WatchClustersRequest, cluster_service_client::ClusterServiceClient,
};
use l2sces_watch::{Board, ChangeStream};
use tonic::Status;

pub(crate) use kind::{Networks, Slices};
pub(crate) use objects::Objects;
pub(crate) use spec::{clusters_of, deployed_switches, network_spec, slice_spec};

/// What it is called in messages.
pub(crate) const SERVICE: &str = "the slice-manager";

/// The slice-manager.
pub(crate) struct SliceManager {
    channel: Channel,
    pub(crate) clusters: Board<Name, api::Cluster>,
    pub(crate) slices: Objects<Slices>,
    pub(crate) networks: Objects<Networks>,
}

impl SliceManager {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            clusters: Board::new(),
            slices: Objects::new(channel.clone()),
            networks: Objects::new(channel.clone()),
            channel,
        }
    }

    /// Whether it is open if it is there; who waits for that is told.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.clusters.is_in_doubt()
            || self.slices.board.is_in_doubt()
            || self.networks.board.is_in_doubt()
    }

    /// Why what is known is not up to date; nothing: it is.
    pub(crate) fn fault(&self) -> Option<String> {
        self.clusters
            .fault()
            .or_else(|| self.slices.board.fault())
            .or_else(|| self.networks.board.fault())
    }

    /// Begins to tell of clusters.
    pub(crate) async fn watch_clusters(&self) -> Result<ChangeStream<Name, api::Cluster>, Status> {
        let mut client = ClusterServiceClient::new(self.channel.clone());
        let stream = client.watch_clusters(WatchClustersRequest::default()).await?.into_inner();
        Ok(kind::changes(stream, |change| (change.kind(), change.cluster.and_then(keyed))))
    }
}

fn keyed(cluster: api::Cluster) -> Option<(Name, api::Cluster)> {
    let name = cluster.metadata.as_ref()?.name.parse().ok()?;
    Some((name, cluster))
}
