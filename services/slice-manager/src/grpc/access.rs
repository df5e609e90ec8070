use l2sces_grpc::Access;
use l2sces_pki::Role;
use l2sces_proto::slice::v1::{
    cluster_service_server::ClusterServiceServer, network_service_server::NetworkServiceServer,
    slice_service_server::SliceServiceServer,
};

const ADMIN: &[Role] = &[Role::Admin];
const OPERATOR: Role = Role::SliceOperator;

/// What the slice-operator needs: it carries out slices and networks, and only looks at clusters.
const OF_CLUSTERS: &[&str] = &["WatchClusters"];
const OF_SLICES: &[&str] =
    &["CreateSlice", "GetSlice", "UpdateSlice", "DeleteSlice", "WatchSlices"];
const OF_NETWORKS: &[&str] =
    &["CreateNetwork", "GetNetwork", "UpdateNetwork", "DeleteNetwork", "WatchNetworks"];

/// Administrators may do everything; the slice-operator acts for those who use `kubectl`, and may do
/// what it needs for that.
pub fn access() -> Access {
    Access::new()
        .allow::<ClusterServiceServer<()>>(ADMIN)
        .allow::<SliceServiceServer<()>>(ADMIN)
        .allow::<NetworkServiceServer<()>>(ADMIN)
        .allow_methods::<ClusterServiceServer<()>>(OPERATOR, OF_CLUSTERS)
        .allow_methods::<SliceServiceServer<()>>(OPERATOR, OF_SLICES)
        .allow_methods::<NetworkServiceServer<()>>(OPERATOR, OF_NETWORKS)
}

#[cfg(test)]
mod tests {
    use l2sces_grpc::{Channel, Dialer, TlsArgs, serve_on};
    use l2sces_pki::{Authority, Identity};
    use l2sces_proto::slice::v1::{
        AttachPortRequest, CreateClusterRequest, CreateNetworkRequest, CreateSliceRequest,
        DeleteClusterRequest, DeleteNetworkRequest, DeleteSliceRequest, DetachPortRequest,
        GetNetworkRequest, GetSliceRequest, ListLinksRequest, UpdateClusterRequest,
        UpdateNetworkRequest, UpdateSliceRequest, WatchClustersRequest, WatchNetworksRequest,
        WatchSlicesRequest, cluster_service_client::ClusterServiceClient,
        network_service_client::NetworkServiceClient, slice_service_client::SliceServiceClient,
    };
    use tempfile::TempDir;
    use tokio::net::TcpListener;
    use tonic::{Code, service::Routes};

    use super::*;

    /// A server that lets in whom the API does, and has no method.
    struct Gate {
        directory: TempDir,
        authority: Authority,
        endpoint: String,
    }

    impl Gate {
        async fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let authority = Authority::create().unwrap();
            authority.save(directory.path()).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("https://{}", listener.local_addr().unwrap());
            let this = Self { directory, authority, endpoint };
            let tls = this.tls(Role::SliceManager);
            tokio::spawn(async move {
                let never = std::future::pending();
                serve_on(listener, &tls, Routes::default(), access(), never).await.unwrap();
            });
            this
        }

        fn tls(&self, role: Role) -> TlsArgs {
            let identity = Identity::new(role, "test").unwrap();
            let issued = self.authority.issue(&identity, &["127.0.0.1".to_owned()]).unwrap();
            issued.save(self.directory.path(), role.as_str()).unwrap();
            let file = |name: &str| Some(self.directory.path().join(name));
            TlsArgs {
                tls_ca: file("ca.pem"),
                tls_cert: file(&format!("{role}.pem")),
                tls_key: file(&format!("{role}.key")),
                insecure_plaintext: false,
            }
        }

        fn channel(&self, role: Role) -> Channel {
            Dialer::new(&self.tls(role)).unwrap().channel(&self.endpoint).unwrap()
        }
    }

    /// A method, and what becomes of a call of it.
    macro_rules! answer {
        ($client:ident.$method:ident($request:ident)) => {{
            let answer = $client.$method($request::default()).await;
            (stringify!($method), answer.err().map(|status| status.code()))
        }};
    }

    const ADMITTED: Option<Code> = Some(Code::Unimplemented);
    const REFUSED: Option<Code> = Some(Code::PermissionDenied);

    #[tokio::test]
    async fn the_slice_operator_may_do_what_it_needs_and_nothing_else() {
        let gate = Gate::open().await;
        let channel = gate.channel(OPERATOR);
        let mut clusters = ClusterServiceClient::new(channel.clone());
        let mut slices = SliceServiceClient::new(channel.clone());
        let mut networks = NetworkServiceClient::new(channel);
        for (method, answer) in [
            answer!(clusters.watch_clusters(WatchClustersRequest)),
            answer!(slices.create_slice(CreateSliceRequest)),
            answer!(slices.get_slice(GetSliceRequest)),
            answer!(slices.update_slice(UpdateSliceRequest)),
            answer!(slices.delete_slice(DeleteSliceRequest)),
            answer!(slices.watch_slices(WatchSlicesRequest)),
            answer!(networks.create_network(CreateNetworkRequest)),
            answer!(networks.get_network(GetNetworkRequest)),
            answer!(networks.update_network(UpdateNetworkRequest)),
            answer!(networks.delete_network(DeleteNetworkRequest)),
            answer!(networks.watch_networks(WatchNetworksRequest)),
        ] {
            assert_eq!(answer, ADMITTED, "{method}");
        }
        for (method, answer) in [
            answer!(clusters.create_cluster(CreateClusterRequest)),
            answer!(clusters.update_cluster(UpdateClusterRequest)),
            answer!(clusters.delete_cluster(DeleteClusterRequest)),
            answer!(slices.list_links(ListLinksRequest)),
            answer!(networks.attach_port(AttachPortRequest)),
            answer!(networks.detach_port(DetachPortRequest)),
        ] {
            assert_eq!(answer, REFUSED, "{method}");
        }
    }

    #[tokio::test]
    async fn clusters_and_ports_are_the_administrators_alone() {
        let gate = Gate::open().await;
        for role in Role::ALL {
            let channel = gate.channel(role);
            let mut clusters = ClusterServiceClient::new(channel.clone());
            let mut networks = NetworkServiceClient::new(channel);
            for (method, answer) in [
                answer!(clusters.create_cluster(CreateClusterRequest)),
                answer!(networks.attach_port(AttachPortRequest)),
            ] {
                let expected = if role == Role::Admin { ADMITTED } else { REFUSED };
                assert_eq!(answer, expected, "{role} {method}");
            }
        }
    }
}
