use l2sces_proto::fabric::v1 as fabric;
use tonic::Status;

use super::{
    FabricClient, KubernetesClient, ObjectKey, ObjectState, Target,
    remote::{Service, StateStream},
};

/// Who carries out what is wanted in a cluster.
#[derive(Clone, Debug)]
pub enum ClusterClient {
    /// Its sdn-controller, which is called.
    Direct(FabricClient),
    /// Its operator, which looks after custom resources.
    Kubernetes(KubernetesClient),
}

/// An object of a cluster.
#[derive(Clone, Debug)]
pub enum ClusterBody {
    /// A node.
    Node(fabric::Node),
    /// The part of a slice in the cluster.
    Slice(Box<SlicePart>),
    /// The part of a network in the cluster.
    Network(fabric::Network),
    /// A port.
    Port(fabric::Port),
}

/// The part of a slice in a cluster.
#[derive(Clone, Debug)]
pub struct SlicePart {
    /// What is inside of the cluster.
    pub within: fabric::Slice,
    /// Its gateways.
    pub gateways: Vec<GatewayPlace>,
    /// The gateways of other clusters that they are linked with.
    pub neighbors: Vec<GatewayPlace>,
}

/// A gateway, and where its tunnels end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayPlace {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
    /// Its underlay address towards other clusters.
    pub address: String,
}

impl Service for ClusterClient {
    type Body = ClusterBody;

    async fn apply(&self, body: ClusterBody) -> Result<ObjectState, Status> {
        match self {
            Self::Direct(client) => client.apply(body).await,
            Self::Kubernetes(client) => client.apply(body).await,
        }
    }

    async fn delete(&self, key: &ObjectKey, force: bool) -> Result<bool, Status> {
        match self {
            Self::Direct(client) => client.delete(key, force).await,
            Self::Kubernetes(client) => client.delete(key).await,
        }
    }

    async fn watch(&self) -> Result<StateStream, Status> {
        match self {
            Self::Direct(client) => client.watch().await,
            Self::Kubernetes(client) => Ok(client.watch()),
        }
    }

    fn describe(&self, target: &Target) -> String {
        match (self, target) {
            (Self::Kubernetes(_), Target::Cluster(name)) => {
                format!("the API server of cluster {name}")
            }
            _ => target.service(),
        }
    }
}
