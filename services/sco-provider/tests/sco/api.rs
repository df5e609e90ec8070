//! The gRPC services as clients see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Mutex,
    time::Duration,
};

use futures::future::join_all;
use l2sces_grpc::{Access, Channel, Dialer, TlsArgs, serve_on};
use l2sces_measurement::Policy;
use l2sces_pki::Role;
use l2sces_proto::{
    measurement::v1::MeasurementPolicy,
    resource::v1::ChangeKind,
    sco::v1::{
        self as proto, exchange_service_client::ExchangeServiceClient,
        exchange_service_server::ExchangeServiceServer, sco_service_client::ScoServiceClient,
        sco_service_server::ScoServiceServer, watch_cluster_response::Change,
    },
};
use sco_provider::{
    domain::tunnel_interface,
    exchange::Item,
    grpc::{ExchangeApi, ScoApi},
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tonic::{Code, Status, service::Routes};
use tonic_types::StatusExt;

use crate::support::{Certificates, Process, World, eventually, gateway, gateway_key, slice};

/// A process that serves.
struct Server {
    world: World,
    process: Process,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    async fn start(tls: TlsArgs) -> Self {
        let world = World::new().await;
        let process = world.start().await;
        let (store, queues) = (process.store.clone(), process.queues.clone());
        let sco = ScoApi::new(
            store.clone(),
            queues.clone(),
            process.status.clone(),
            process.fabric.clone(),
            process.measurements.clone(),
        );
        let exchange = ExchangeApi::new(
            store,
            queues,
            process.exchange.clone(),
            process.confirmations.clone(),
        );
        let routes = Routes::new(ScoServiceServer::new(sco))
            .add_service(ExchangeServiceServer::new(exchange));
        let access = Access::new()
            .allow::<ScoServiceServer<()>>(&[Role::SliceManager, Role::Operator, Role::Admin])
            .allow::<ExchangeServiceServer<()>>(&[Role::SdnController, Role::Admin]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            serve_on(listener, &tls, routes, access, std::future::pending()).await.unwrap();
        });
        Self { world, process, address, serving }
    }

    async fn plaintext() -> Self {
        Self::start(plaintext()).await
    }

    fn channel(&self) -> Channel {
        let endpoint = format!("http://{}", self.address);
        Dialer::new(&plaintext()).unwrap().channel(&endpoint).unwrap()
    }

    fn sco(&self) -> ScoServiceClient<Channel> {
        ScoServiceClient::new(self.channel())
    }

    fn exchange(&self) -> ExchangeServiceClient<Channel> {
        ExchangeServiceClient::new(self.channel())
    }

    /// Clusters a and b, slice s.
    async fn furnish(&self) {
        self.process.apply_gateway(&gateway("a/a1", "192.0.2.11")).await;
        self.process.apply_gateway(&gateway("b/b1", "192.0.2.21")).await;
        self.process.apply_slice(&slice("s", &["a", "b"], &["a/a1", "b/b1"])).await;
    }
}

fn plaintext() -> TlsArgs {
    TlsArgs { insecure_plaintext: true, ..TlsArgs::default() }
}

fn version(generation: i64) -> Option<proto::Version> {
    Some(proto::Version { uid: "u".to_owned(), generation })
}

fn gateway_message() -> proto::Gateway {
    proto::Gateway {
        key: Some(proto::GatewayKey { cluster: "a".to_owned(), node: "a9".to_owned() }),
        version: version(1),
        agent_endpoint: "https://192.0.2.9:50054".to_owned(),
        underlay_address: "192.0.2.9".to_owned(),
    }
}

fn slice_message() -> proto::Slice {
    proto::Slice {
        name: "t".to_owned(),
        version: version(1),
        clusters: vec!["a".to_owned(), "b".to_owned()],
        ..proto::Slice::default()
    }
}

fn network_message(name: &str) -> proto::Network {
    proto::Network {
        key: Some(proto::NetworkKey { slice: "s".to_owned(), name: name.to_owned() }),
        version: version(1),
        clusters: vec!["a".to_owned(), "b".to_owned()],
        cidr: "10.1.0.0/24".to_owned(),
    }
}

fn endpoint_message(cluster: &str, port: &str, mac: usize) -> proto::Endpoint {
    proto::Endpoint {
        key: Some(proto::EndpointKey {
            slice: "s".to_owned(),
            network: "n".to_owned(),
            cluster: cluster.to_owned(),
            port: port.to_owned(),
            learned_mac: String::new(),
        }),
        mac: format!("02:00:00:00:{:02x}:{:02x}", mac / 256, mac % 256),
        address: String::new(),
        alias: String::new(),
    }
}

fn lease_message(cluster: &str, address: &str) -> proto::LeaseBlockRequest {
    proto::LeaseBlockRequest {
        network: network_message("n").key,
        cluster: cluster.to_owned(),
        known_blocks: Vec::new(),
        address: address.to_owned(),
    }
}

fn release_message(cluster: &str, block: &str) -> proto::ReleaseBlockRequest {
    proto::ReleaseBlockRequest {
        network: network_message("n").key,
        cluster: cluster.to_owned(),
        block: block.to_owned(),
    }
}

/// The fields that a refused request violates.
#[track_caller]
fn violated(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("a bad request says which fields");
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_network_is_given_its_identity_at_once() {
    let server = Server::plaintext().await;
    server.furnish().await;
    let request = proto::ApplyNetworkRequest { network: Some(network_message("n")) };
    let first = server.sco().apply_network(request.clone()).await.unwrap().into_inner();
    let state = first.state.unwrap();
    let identity = state.network.unwrap();
    assert!(identity.vni > 0);
    assert_eq!(identity.mtu, 1438);
    assert!(!state.ready);
    let again = server.sco().apply_network(request).await.unwrap().into_inner();
    assert_eq!(again.state.unwrap().network, Some(identity));
}

#[tokio::test]
async fn the_links_of_a_slice_are_listed_with_what_was_measured_last() {
    let server = Server::plaintext().await;
    server.furnish().await;
    server.process.apply_gateway(&gateway("c/c1", "192.0.2.31")).await;
    let mut asking = slice("t", &["b", "c"], &["b/b1", "c/c1"]);
    let policy = MeasurementPolicy { metrics: vec![3], ..MeasurementPolicy::default() };
    asking.measurement = Some(Policy::read(&policy).unwrap());
    server.process.apply_slice(&asking).await;
    let (agent, interface) =
        (gateway("b/b1", "192.0.2.21").agent_endpoint, tunnel_interface(&gateway_key("c/c1")));
    let report = || server.world.agents.report(&agent, interface.to_string(), 5);
    eventually("b1 measures", async || report()).await;

    let listed = async |slice: &str| {
        let request = proto::ListLinksRequest { slice: slice.to_owned() };
        let links = server.sco().list_links(request).await?.into_inner().links;
        let end = |key: Option<proto::GatewayKey>| key.unwrap_or_default().node;
        let links = links.into_iter().map(|link| {
            let probes = link.measurement.map(|measurement| measurement.probes_sent);
            (end(link.source), end(link.target), probes)
        });
        Ok::<_, Status>(links.collect::<BTreeSet<_>>())
    };
    let link = |source: &str, target: &str, probes| (source.to_owned(), target.to_owned(), probes);
    let expected = BTreeSet::from([link("b1", "c1", Some(5)), link("c1", "b1", None)]);
    eventually("it is listed", async || listed("t").await.unwrap() == expected).await;
    let plain = BTreeSet::from([link("a1", "b1", None), link("b1", "a1", None)]);
    eventually("the other is listed", async || listed("s").await.unwrap() == plain).await;
    assert_eq!(listed("").await.unwrap(), &expected | &plain);
    assert_eq!(listed("unknown").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(violated(&listed("S").await.unwrap_err()), ["slice"]);
}

#[tokio::test]
async fn bad_gateways_are_refused_field_by_field() {
    let server = Server::plaintext().await;
    type Spoil = fn(&mut proto::Gateway);
    let cases: [(&str, Spoil); 12] = [
        ("gateway.key", |gateway| gateway.key = None),
        ("gateway.key.cluster", |gateway| gateway.key.as_mut().unwrap().cluster = "A".into()),
        ("gateway.key.node", |gateway| gateway.key.as_mut().unwrap().node = "a_b".into()),
        ("gateway.version", |gateway| gateway.version = None),
        ("gateway.version.uid", |gateway| gateway.version.as_mut().unwrap().uid.clear()),
        ("gateway.version.uid", |gateway| gateway.version.as_mut().unwrap().uid = "x".repeat(65)),
        ("gateway.version.generation", |gateway| {
            gateway.version.as_mut().unwrap().generation = 0;
        }),
        ("gateway.agent_endpoint", |gateway| gateway.agent_endpoint.clear()),
        ("gateway.agent_endpoint", |gateway| gateway.agent_endpoint = "192.0.2.9:50054".into()),
        ("gateway.agent_endpoint", |gateway| gateway.agent_endpoint = "https://h/path".into()),
        ("gateway.underlay_address", |gateway| gateway.underlay_address = "h".into()),
        ("gateway.underlay_address", |gateway| gateway.underlay_address = "224.0.0.1".into()),
    ];
    for (field, spoil) in cases {
        let mut gateway = gateway_message();
        spoil(&mut gateway);
        let request = proto::ApplyGatewayRequest { gateway: Some(gateway) };
        let refused = server.sco().apply_gateway(request).await.unwrap_err();
        assert_eq!(violated(&refused), [field]);
    }
    let refused =
        server.sco().apply_gateway(proto::ApplyGatewayRequest { gateway: None }).await.unwrap_err();
    assert_eq!(violated(&refused), ["gateway"]);
    assert!(server.process.store.gateways().await.unwrap().is_empty(), "nothing was changed");

    let request = proto::ApplyGatewayRequest { gateway: Some(gateway_message()) };
    server.sco().apply_gateway(request).await.expect("what the cases spoil is good");
}

#[tokio::test]
async fn bad_slices_are_refused_field_by_field() {
    let server = Server::plaintext().await;
    type Spoil<'a> = Box<dyn Fn(&mut proto::Slice) + 'a>;
    let link = |a: &str, b: &str| proto::ClusterLink {
        cluster_a: a.into(),
        cluster_b: b.into(),
        ..proto::ClusterLink::default()
    };
    let by = |a: &str, b: &str| proto::ClusterLink { gateway_a: "a1".into(), ..link(a, b) };
    let a1 = proto::GatewayKey { cluster: "a".into(), node: "a1".into() };
    let (link, by, a1) = (&link, &by, &a1);
    let cases: Vec<(&str, Spoil)> = vec![
        ("slice.name", Box::new(|slice| slice.name = "x".repeat(64))),
        ("slice.clusters", Box::new(|slice| slice.clusters.clear())),
        ("slice.clusters[1]", Box::new(|slice| slice.clusters[1] = "a".into())),
        ("slice.clusters[0]", Box::new(|slice| slice.clusters[0] = "-".into())),
        ("slice.gateways[1]", Box::new(|slice| slice.gateways = vec![a1.clone(), a1.clone()])),
        (
            "slice.gateways[0].cluster",
            Box::new(|slice| {
                slice.gateways = vec![proto::GatewayKey { cluster: "c".into(), node: "c1".into() }];
            }),
        ),
        ("slice.links[0]", Box::new(|slice| slice.links = vec![link("a", "a")])),
        ("slice.links[1]", Box::new(|slice| slice.links = vec![link("a", "b"), link("b", "a")])),
        ("slice.links[0].gateway_a", Box::new(|slice| slice.links = vec![by("a", "b")])),
        (
            "slice.links[0].gateway_a",
            Box::new(|slice| {
                slice.gateways = vec![a1.clone()];
                slice.links = vec![by("b", "a")];
            }),
        ),
        (
            "slice.links[2]",
            Box::new(|slice| {
                slice.gateways = vec![a1.clone()];
                slice.links = vec![link("a", "b"), by("a", "b"), by("a", "b")];
            }),
        ),
        ("slice.links[0].cluster_b", Box::new(|slice| slice.links = vec![link("a", "c")])),
    ];
    for (field, spoil) in cases {
        let mut slice = slice_message();
        spoil(&mut slice);
        let request = proto::ApplySliceRequest { slice: Some(slice) };
        let refused = server.sco().apply_slice(request).await.unwrap_err();
        assert_eq!(violated(&refused), [field]);
    }
    assert!(server.process.store.slices().await.unwrap().is_empty(), "nothing was changed");

    let request = proto::ApplySliceRequest { slice: Some(slice_message()) };
    server.sco().apply_slice(request).await.expect("what the cases spoil is good");
}

#[tokio::test]
async fn bad_networks_are_refused_field_by_field() {
    let server = Server::plaintext().await;
    server.furnish().await;
    type Spoil = fn(&mut proto::Network);
    let cases: [(&str, Spoil); 10] = [
        ("network.key.name", |network| network.key.as_mut().unwrap().name.clear()),
        ("network.key.slice", |network| network.key.as_mut().unwrap().slice = "S".into()),
        ("network.clusters", |network| network.clusters.clear()),
        ("network.clusters[1]", |network| network.clusters[1] = "c".into()),
        ("network.cidr", |network| network.cidr = "10.1.0.0".into()),
        ("network.cidr", |network| network.cidr = "10.1.0.1/24".into()),
        ("network.cidr", |network| network.cidr = "10.1.0.0/31".into()),
        ("network.cidr", |network| network.cidr = "0.0.0.0/0".into()),
        ("network.cidr", |network| network.cidr = "224.0.0.0/24".into()),
        ("network.version", |network| network.version = None),
    ];
    for (field, spoil) in cases {
        let mut network = network_message("n");
        spoil(&mut network);
        let request = proto::ApplyNetworkRequest { network: Some(network) };
        let refused = server.sco().apply_network(request).await.unwrap_err();
        assert_eq!(violated(&refused), [field]);
    }
    // All that is wrong is said at once.
    let mut network = network_message("N");
    network.cidr = "x".to_owned();
    let request = proto::ApplyNetworkRequest { network: Some(network) };
    let refused = server.sco().apply_network(request).await.unwrap_err();
    assert_eq!(violated(&refused), ["network.key.name", "network.cidr"]);
    assert!(server.process.store.networks().await.unwrap().is_empty(), "nothing was changed");
}

#[tokio::test]
async fn bad_calls_of_clusters_are_refused() {
    let server = Server::plaintext().await;
    server.furnish().await;
    let request = proto::ApplyNetworkRequest { network: Some(network_message("n")) };
    server.sco().apply_network(request).await.unwrap();
    let mut client = server.exchange();

    let mut lease = lease_message("A", "x");
    lease.known_blocks = vec!["10.1.0.0/28".to_owned(), "10.1".to_owned()];
    let refused = client.lease_block(lease).await.unwrap_err();
    assert_eq!(violated(&refused), ["cluster", "known_blocks[1]", "address"]);
    let refused = client.lease_block(lease_message("a", "10.9.0.1")).await.unwrap_err();
    assert_eq!(violated(&refused), ["address"]);
    let mut unknown = lease_message("a", "");
    unknown.network.as_mut().unwrap().name = "none".to_owned();
    assert_eq!(client.lease_block(unknown).await.unwrap_err().code(), Code::NotFound);
    let leased = client.lease_block(lease_message("b", "")).await.unwrap().into_inner();
    assert_eq!(leased.block, "10.1.0.240/28");
    let taken = client.lease_block(lease_message("a", "10.1.0.241")).await.unwrap_err();
    assert_eq!(taken.code(), Code::FailedPrecondition);
    assert!(taken.get_details_precondition_failure().is_some());

    for block in ["10.1.0.241/28", "10.1.0.241"] {
        let refused = client.release_block(release_message("A", block)).await.unwrap_err();
        assert_eq!(violated(&refused), ["cluster", "block"]);
    }
    let mut announced = endpoint_message("b", "p", 9);
    announced.address = "10.1.0.241".to_owned();
    let request = proto::ApplyEndpointRequest { endpoint: Some(announced) };
    client.apply_endpoint(request).await.unwrap();
    let release = release_message("b", "10.1.0.240/28");
    let in_use = client.release_block(release.clone()).await.unwrap_err();
    assert_eq!(in_use.code(), Code::FailedPrecondition);
    let key = endpoint_message("b", "p", 9).key;
    client.delete_endpoint(proto::DeleteEndpointRequest { key }).await.unwrap();
    client.release_block(release.clone()).await.unwrap();
    client.release_block(release).await.expect("may be repeated");
    let leased = client.lease_block(lease_message("a", "10.1.0.241")).await.unwrap().into_inner();
    assert_eq!(leased.block, "10.1.0.241/32");

    let mut endpoint = endpoint_message("a", "p", 1);
    endpoint.mac = "01:00:5e:00:00:01".to_owned();
    endpoint.address = "10.1.0.300".to_owned();
    endpoint.alias = "app.one".to_owned();
    endpoint.key.as_mut().unwrap().port.clear();
    let request = proto::ApplyEndpointRequest { endpoint: Some(endpoint) };
    let refused = client.apply_endpoint(request).await.unwrap_err();
    let fields = ["endpoint.key.port", "endpoint.mac", "endpoint.address", "endpoint.alias"];
    assert_eq!(violated(&refused), fields);

    let learned = |spoil: fn(&mut proto::Endpoint)| {
        let mut endpoint = endpoint_message("a", "p", 1);
        endpoint.key.as_mut().unwrap().learned_mac = endpoint.mac.clone();
        spoil(&mut endpoint);
        proto::ApplyEndpointRequest { endpoint: Some(endpoint) }
    };
    type Spoil = fn(&mut proto::Endpoint);
    let cases: [(&str, Spoil); 4] = [
        ("endpoint.key.learned_mac", |endpoint| {
            endpoint.key.as_mut().unwrap().learned_mac = "01:00:5e:00:00:01".to_owned();
        }),
        ("endpoint.key.learned_mac", |endpoint| endpoint.mac = "02:00:00:00:00:02".to_owned()),
        ("endpoint.address", |endpoint| endpoint.address = "10.1.0.241".to_owned()),
        ("endpoint.alias", |endpoint| endpoint.alias = "app".to_owned()),
    ];
    for (field, spoil) in cases {
        let refused = client.apply_endpoint(learned(spoil)).await.unwrap_err();
        assert_eq!(violated(&refused), [field]);
    }
    let learned = learned(|_| {});
    client.apply_endpoint(learned.clone()).await.unwrap();
    let key = learned.endpoint.and_then(|endpoint| endpoint.key);
    client.delete_endpoint(proto::DeleteEndpointRequest { key }).await.unwrap();

    let request =
        |port: &str| proto::ApplyEndpointRequest { endpoint: Some(endpoint_message("a", port, 1)) };
    client.apply_endpoint(request("p")).await.unwrap();
    let refused = client.apply_endpoint(request("q")).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("02:00:00:00:00:01"), "{refused:?}");

    let refused = client
        .watch_cluster(proto::WatchClusterRequest { cluster: String::new() })
        .await
        .unwrap_err();
    assert_eq!(violated(&refused), ["cluster"]);
}

#[tokio::test]
async fn removal_is_asked_for_and_then_gone() {
    let server = Server::plaintext().await;
    server.furnish().await;
    let mut client = server.sco();
    let request = proto::ApplyNetworkRequest { network: Some(network_message("n")) };
    client.apply_network(request).await.unwrap();
    let refused =
        client.delete_slice(proto::DeleteSliceRequest { name: "s".to_owned() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let request = proto::DeleteNetworkRequest { key: network_message("n").key };
    let mut watch = client.watch(proto::WatchRequest {}).await.unwrap().into_inner();
    client.delete_network(request.clone()).await.unwrap();
    let deleted = timeout(Duration::from_secs(30), async {
        loop {
            let change = watch.message().await.unwrap().unwrap();
            let is_network = change.state.as_ref().is_some_and(|state| state.network.is_some());
            if change.kind() == ChangeKind::Deleted {
                assert!(!is_network, "key and version only");
                return change.state.unwrap();
            }
        }
    })
    .await
    .unwrap();
    let key = proto::object_key::Key::Network(request.key.clone().unwrap());
    assert_eq!(deleted.key.unwrap().key, Some(key));
    assert!(client.delete_network(request).await.unwrap().into_inner().gone);
}

/// What a watcher of a cluster has been told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    handoffs: BTreeMap<String, proto::Handoff>,
    endpoints: BTreeMap<String, proto::RemoteEndpoint>,
}

impl Told {
    fn hear(&mut self, kind: ChangeKind, change: Change) {
        match (kind, change) {
            (ChangeKind::Put, Change::Handoff(handoff)) => {
                self.handoffs.insert(format!("{:?}", handoff.network), handoff);
            }
            (ChangeKind::Put, Change::Endpoint(remote)) => {
                let key = remote.endpoint.as_ref().unwrap().key.clone();
                self.endpoints.insert(format!("{key:?}"), remote);
            }
            (ChangeKind::Deleted, Change::Handoff(handoff)) => {
                self.handoffs.remove(&format!("{:?}", handoff.network)).expect("it was there");
            }
            (ChangeKind::Deleted, Change::Endpoint(remote)) => {
                let key = remote.endpoint.unwrap().key;
                self.endpoints.remove(&format!("{key:?}")).expect("it was there");
            }
            (kind, change) => panic!("{kind:?}: {change:?}"),
        }
    }
}

/// Watches a cluster until an endpoint of the port "last" is told, and returns all that is then
/// known.
async fn watch_until_last(mut client: ExchangeServiceClient<Channel>, cluster: &str) -> Told {
    let request = proto::WatchClusterRequest { cluster: cluster.to_owned() };
    let mut changes = client.watch_cluster(request).await.unwrap().into_inner();
    let mut told = Told::default();
    let mut synced = false;
    loop {
        let message = changes.message().await.unwrap().unwrap();
        match message.kind() {
            ChangeKind::Synced => synced = true,
            kind => told.hear(kind, message.change.unwrap()),
        }
        let is_last = |remote: &proto::RemoteEndpoint| {
            remote.endpoint.as_ref().unwrap().key.as_ref().unwrap().port == "last"
        };
        if synced && told.endpoints.values().any(is_last) {
            return told;
        }
    }
}

#[tokio::test]
async fn watchers_of_a_cluster_miss_nothing_under_concurrent_writes() {
    const WRITERS: usize = 4;
    const WRITES: usize = 60;
    let server = Server::plaintext().await;
    server.furnish().await;
    let request = proto::ApplyNetworkRequest { network: Some(network_message("n")) };
    let vni =
        server.sco().apply_network(request).await.unwrap().into_inner().state.unwrap().network;
    let vni = vni.unwrap().vni;

    let watchers = Mutex::new(Vec::new());
    let write = async |writer: usize| {
        let mut client = server.exchange();
        for turn in 0..WRITES {
            if turn % 15 == 0 {
                // From the midst of the writes.
                let watcher = tokio::spawn(watch_until_last(server.exchange(), "a"));
                watchers.lock().unwrap().push(watcher);
            }
            let port = format!("w{writer}-{}", turn % 5);
            let mac = 1 + writer * 1000 + turn;
            let endpoint = endpoint_message("b", &port, mac);
            let key = endpoint.key.clone();
            client
                .apply_endpoint(proto::ApplyEndpointRequest { endpoint: Some(endpoint) })
                .await
                .unwrap();
            if turn % 3 == 0 {
                client.delete_endpoint(proto::DeleteEndpointRequest { key }).await.unwrap();
            }
        }
    };
    join_all((0..WRITERS).map(write)).await;

    // What is announced last is told last only if all before it was carried out.
    eventually("all is carried out", async || {
        let stored = server.process.store.endpoints().await.unwrap();
        let macs = stored.iter().map(|stored| (&stored.endpoint.key, &stored.endpoint.mac));
        let (shown, _) = server.process.exchange.watch();
        let told = shown.iter().filter_map(|(_, notice)| match &notice.item {
            Item::Endpoint { endpoint, .. } => Some((&endpoint.key, &endpoint.mac)),
            Item::Handoff { .. } => None,
        });
        stored.iter().all(|stored| !stored.deleting)
            && told.collect::<BTreeMap<_, _>>() == macs.collect::<BTreeMap<_, _>>()
            && shown.len() == stored.len() + 2
    })
    .await;
    let endpoint = endpoint_message("b", "last", 60_000);
    let request = proto::ApplyEndpointRequest { endpoint: Some(endpoint) };
    server.exchange().apply_endpoint(request).await.unwrap();

    let stored = server.process.store.endpoints().await.unwrap();
    let wanted: BTreeMap<String, String> = stored
        .iter()
        .map(|stored| (stored.endpoint.key.port.to_string(), stored.endpoint.mac.to_string()))
        .collect();
    for watcher in watchers.into_inner().unwrap() {
        let told = timeout(Duration::from_secs(30), watcher).await.unwrap().unwrap();
        let handoffs: Vec<_> = told.handoffs.into_values().collect();
        let gate = proto::Gate { node: "a1".to_owned(), clusters: vec!["b".to_owned()] };
        assert!(
            matches!(&handoffs[..], [handoff] if handoff.gates == [gate] && handoff.epoch == 1),
            "{handoffs:?}"
        );
        let seen: BTreeMap<String, String> = told
            .endpoints
            .into_values()
            .map(|remote| {
                assert_eq!(remote.vni, vni);
                let endpoint = remote.endpoint.unwrap();
                (endpoint.key.unwrap().port, endpoint.mac)
            })
            .collect();
        assert_eq!(seen, wanted);
    }
    // Its own endpoints are no news to a cluster.
    let request = proto::WatchClusterRequest { cluster: "b".to_owned() };
    let mut own = server.exchange().watch_cluster(request).await.unwrap().into_inner();
    let first = own.message().await.unwrap().unwrap();
    assert!(matches!(first.change, Some(Change::Handoff(_))), "{first:?}");
    assert_eq!(own.message().await.unwrap().unwrap().kind(), ChangeKind::Synced);
}

#[tokio::test]
async fn a_controller_speaks_for_no_other_cluster() {
    let certificates = Certificates::new();
    let server = Server::start(certificates.args(Role::ScoProvider, "sco")).await;
    server.furnish().await;
    let channel = |role, name: &str| certificates.channel(server.address, role, name);
    let request = proto::ApplyNetworkRequest { network: Some(network_message("n")) };
    let mut manager = ScoServiceClient::new(channel(Role::SliceManager, "main"));
    manager.apply_network(request.clone()).await.unwrap();

    let controller = channel(Role::SdnController, "a");
    let refused = ScoServiceClient::new(controller.clone()).apply_network(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let mut controller = ExchangeServiceClient::new(controller);
    controller.lease_block(lease_message("a", "")).await.unwrap();
    let denied = [
        controller.lease_block(lease_message("b", "")).await.unwrap_err(),
        controller.release_block(release_message("b", "10.1.0.0/28")).await.unwrap_err(),
        controller
            .apply_endpoint(proto::ApplyEndpointRequest {
                endpoint: Some(endpoint_message("b", "p", 1)),
            })
            .await
            .unwrap_err(),
        controller
            .delete_endpoint(proto::DeleteEndpointRequest {
                key: endpoint_message("b", "p", 1).key,
            })
            .await
            .unwrap_err(),
        controller
            .watch_cluster(proto::WatchClusterRequest { cluster: "b".to_owned() })
            .await
            .unwrap_err(),
    ];
    for status in denied {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    }
    assert!(server.process.store.endpoints().await.unwrap().is_empty());
    assert!(server.world.names.records.lock().unwrap().is_empty());
}

fn slice_member_message(slice: &str, cluster: &str) -> proto::SliceMember {
    proto::SliceMember {
        slice: slice.to_owned(),
        cluster: cluster.to_owned(),
        version: version(7),
        gateways: vec![format!("{cluster}1")],
        neighbors: Vec::new(),
    }
}

fn network_member_message(slice: &str, cluster: &str) -> proto::NetworkMember {
    proto::NetworkMember {
        network: Some(proto::NetworkKey { slice: slice.to_owned(), name: "n".to_owned() }),
        cluster: cluster.to_owned(),
        version: version(7),
        cidr: "10.1.0.0/24".to_owned(),
        address_range: "10.1.0.0/25".to_owned(),
    }
}

#[tokio::test]
async fn members_are_told_of_the_whole_in_their_own_version() {
    let server = Server::plaintext().await;
    server.furnish().await;
    let mut sco = server.sco();
    for cluster in ["a", "b"] {
        let member = Some(slice_member_message("t", cluster));
        let request = proto::ApplySliceMemberRequest { member };
        let state = sco.apply_slice_member(request).await.unwrap().into_inner().state.unwrap();
        assert_eq!(state.version, version(7));
    }
    let apply = async |mut sco: ScoServiceClient<Channel>| {
        let member = Some(network_member_message("t", "a"));
        let request = proto::ApplyNetworkMemberRequest { member };
        sco.apply_network_member(request).await.unwrap().into_inner().state.unwrap()
    };
    let state = apply(sco.clone()).await;
    assert_eq!(state.version, version(7));
    assert!(state.network.is_some_and(|network| network.vni > 0), "{:?}", state.network);
    eventually("the network is ready", async || apply(sco.clone()).await.ready).await;

    let network = Some(proto::NetworkKey { slice: "t".to_owned(), name: "n".to_owned() });
    let cluster = "a".to_owned();
    let request = proto::DeleteNetworkMemberRequest { network, cluster: cluster.clone() };
    eventually("the network is gone", async || {
        sco.clone().delete_network_member(request.clone()).await.unwrap().into_inner().gone
    })
    .await;
    for cluster in ["a", "b"] {
        let (slice, cluster) = ("t".to_owned(), cluster.to_owned());
        let request = proto::DeleteSliceMemberRequest { slice, cluster };
        eventually("the member is gone", async || {
            sco.clone().delete_slice_member(request.clone()).await.unwrap().into_inner().gone
        })
        .await;
    }
}

#[tokio::test]
async fn bad_members_are_refused_field_by_field() {
    let server = Server::plaintext().await;
    let member = proto::SliceMember {
        slice: "T".to_owned(),
        cluster: String::new(),
        version: None,
        gateways: vec!["a1".to_owned(), "a1".to_owned()],
        neighbors: vec!["192.0.2.1".to_owned(), "b1".to_owned(), "0.0.0.0".to_owned()],
    };
    let request = proto::ApplySliceMemberRequest { member: Some(member) };
    let refused = server.sco().apply_slice_member(request).await.unwrap_err();
    let fields = [
        "member.slice",
        "member.cluster",
        "member.version",
        "member.gateways[1]",
        "member.neighbors[1]",
        "member.neighbors[2]",
    ];
    assert_eq!(violated(&refused), fields);

    let ranged = |cidr: &str, range: &str| proto::NetworkMember {
        cidr: cidr.to_owned(),
        address_range: range.to_owned(),
        ..network_member_message("s", "a")
    };
    for (cidr, range, field) in [
        ("10.1.0.1/24", "10.1.0.0/25", "member.cidr"),
        ("", "10.1.0.0/25", "member.address_range"),
        ("10.1.0.0/24", "10.2.0.0/25", "member.address_range"),
    ] {
        let request = proto::ApplyNetworkMemberRequest { member: Some(ranged(cidr, range)) };
        let refused = server.sco().apply_network_member(request).await.unwrap_err();
        assert_eq!(violated(&refused), [field]);
    }
}

#[tokio::test]
async fn an_operator_describes_its_own_clusters_part_only() {
    let certificates = Certificates::new();
    let server = Server::start(certificates.args(Role::ScoProvider, "sco")).await;
    server.furnish().await;
    let mut operator =
        ScoServiceClient::new(certificates.channel(server.address, Role::Operator, "a"));
    let gateway = |cluster: &str| {
        let node = format!("{cluster}9");
        let key = Some(proto::GatewayKey { cluster: cluster.to_owned(), node });
        proto::Gateway { key, ..gateway_message() }
    };
    let slice_member = |cluster: &str| proto::ApplySliceMemberRequest {
        member: Some(slice_member_message("t", cluster)),
    };
    let network_member = |cluster: &str| proto::ApplyNetworkMemberRequest {
        member: Some(network_member_message("t", cluster)),
    };
    let network = network_member_message("t", "b").network;
    operator
        .apply_gateway(proto::ApplyGatewayRequest { gateway: Some(gateway("a")) })
        .await
        .unwrap();
    operator.apply_slice_member(slice_member("a")).await.unwrap();
    operator.apply_network_member(network_member("a")).await.unwrap();

    let denied = [
        operator
            .apply_gateway(proto::ApplyGatewayRequest { gateway: Some(gateway("b")) })
            .await
            .unwrap_err(),
        operator
            .delete_gateway(proto::DeleteGatewayRequest { key: gateway("b").key, force: true })
            .await
            .unwrap_err(),
        operator.apply_slice_member(slice_member("b")).await.unwrap_err(),
        operator
            .delete_slice_member(proto::DeleteSliceMemberRequest {
                slice: "t".to_owned(),
                cluster: "b".to_owned(),
            })
            .await
            .unwrap_err(),
        operator.apply_network_member(network_member("b")).await.unwrap_err(),
        operator
            .delete_network_member(proto::DeleteNetworkMemberRequest {
                network: network.clone(),
                cluster: "b".to_owned(),
            })
            .await
            .unwrap_err(),
        operator
            .apply_slice(proto::ApplySliceRequest { slice: Some(slice_message()) })
            .await
            .unwrap_err(),
        operator
            .delete_slice(proto::DeleteSliceRequest { name: "t".to_owned() })
            .await
            .unwrap_err(),
        operator
            .apply_network(proto::ApplyNetworkRequest { network: Some(network_message("n")) })
            .await
            .unwrap_err(),
        operator.delete_network(proto::DeleteNetworkRequest { key: network }).await.unwrap_err(),
    ];
    for status in denied {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    }
}
