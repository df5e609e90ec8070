//! A slice-manager with keys, a direct cluster `a`, and a Kubernetes cluster `k`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use l2sces_custom_resources::{GROUP, L2Network, NetworkEdgeDevice, Overlay};
use l2sces_lab::kubernetes::ApiServer;
use l2sces_proto::{
    sco::v1::{self as sco, sco_service_client::ScoServiceClient},
    slice::v1 as api,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{manager::Manager, samples, world::World};

pub(crate) const OLD_KEY: &str = "old AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
pub(crate) const NEW_KEY: &str = "new AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// The slice-manager, which may do what it must.
pub(crate) const MANAGER: &str = "token-of-the-slice-manager";
/// The slice-manager's next token.
pub(crate) const NEXT: &str = "another-token-of-the-slice-manager";

pub(crate) struct Kubernetes {
    pub(crate) world: World,
    pub(crate) server: ApiServer,
    admin: Client,
    directory: tempfile::TempDir,
}

impl Kubernetes {
    /// Nothing but the processes.
    pub(crate) async fn empty() -> Self {
        let tokens = [("slice-manager", MANAGER), ("slice-manager", NEXT)];
        let (mut world, server) = tokio::join!(World::empty(), ApiServer::start(&tokens));
        world.manager.kill();
        let server = server.unwrap();
        server.kubectl().apply(&permissions()).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let admin = Client::try_from(config).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut this = Self { world, server, admin, directory };
        this.restart_with_keys(&[OLD_KEY]).await;
        this
    }

    /// Clusters a and k, and a slice `s` of both, whose operator has looked at nothing yet.
    pub(crate) async fn with_slice(drift: api::DriftPolicy) -> Self {
        let mut this = Self::empty().await;
        let a = this.world.a.endpoint();
        this.world.create_cluster(samples::cluster("a", &a)).await.unwrap();
        let mut k = this.cluster(MANAGER);
        driver(&mut k).drift_policy = drift.into();
        this.world.create_cluster(k).await.unwrap();
        this.operator_makes_gateway().await;
        this.world.create_slice(samples::slice("s", &["a", "k"])).await.unwrap();
        this
    }

    /// The same with a network `n`, all ready.
    pub(crate) async fn with_network(drift: api::DriftPolicy) -> Self {
        let mut this = Self::with_slice(drift).await;
        this.world.create_network(samples::network("s", "n")).await.unwrap();
        this.operator_is_content().await;
        this.world.until_settled().await;
        this
    }

    /// Another process, with these keys.
    pub(crate) async fn restart_with_keys(&mut self, keys: &[&str]) {
        self.world.manager.kill();
        let path = self.directory.path().join("keys");
        std::fs::write(&path, keys.join("\n")).unwrap();
        let arguments = ["--encryption-key-file".to_owned(), path.display().to_string()];
        let (url, sco) = (&self.world.url, self.world.sco.endpoint());
        self.world.manager = Manager::start_with(url, &sco, &arguments).await;
    }

    /// Cluster k as a client describes it.
    pub(crate) fn cluster(&self, token: &str) -> api::Cluster {
        let gateway =
            api::Gateway { underlay_address: "10.9.0.1".to_owned(), ..Default::default() };
        let node = |name: &str, last, gateway| api::Node {
            agent_endpoint: String::new(),
            ..samples::node(name, last, gateway)
        };
        api::Cluster {
            metadata: samples::named("k"),
            spec: Some(api::ClusterSpec {
                driver: Some(api::cluster_spec::Driver::Kubernetes(api::KubernetesDriver {
                    api_endpoint: self.server.endpoint(),
                    ca_pem: self.server.ca_pem().to_owned(),
                    bearer_token: token.to_owned(),
                    ..Default::default()
                })),
                nodes: vec![node("k1", 11, Some(gateway)), node("k2", 12, None)],
            }),
            status: None,
        }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::default_namespaced(self.admin.clone())
    }

    /// The operator stands in the sco-provider for the gateway that it makes.
    async fn operator_makes_gateway(&self) {
        let mut client = ScoServiceClient::connect(self.world.sco.endpoint()).await.unwrap();
        let key = sco::GatewayKey { cluster: "k".to_owned(), node: "k1".to_owned() };
        let version = sco::Version { uid: "operator".to_owned(), generation: 1 };
        let gateway =
            sco::Gateway { key: Some(key), version: Some(version), ..sco::Gateway::default() };
        client.apply_gateway(sco::ApplyGatewayRequest { gateway: Some(gateway) }).await.unwrap();
    }

    /// The operator says of everything there is that it is ready.
    pub(crate) async fn operator_is_content(&self) {
        self.until_there::<Overlay>("s").await;
        self.until_there::<NetworkEdgeDevice>("s-ned").await;
        self.until_there::<L2Network>("n").await;
        self.say::<Overlay>("s", true, "ready").await;
        self.say::<NetworkEdgeDevice>("s-ned", true, "ready").await;
        self.say::<L2Network>("n", true, "ready").await;
    }

    pub(crate) async fn until_there<K>(&self, name: &str)
    where
        K: Custom,
    {
        let what = format!("{} {name} is there", K::kind(&()));
        self.world
            .until(&what, async || self.api::<K>().get_opt(name).await.unwrap().is_some())
            .await;
    }

    /// The operator says how a resource fares.
    pub(crate) async fn say<K>(&self, name: &str, ready: bool, message: &str)
    where
        K: Custom,
    {
        let generation = self.api::<K>().get(name).await.unwrap().meta().generation;
        let condition = Condition {
            type_: "Ready".to_owned(),
            status: if ready { "True" } else { "False" }.to_owned(),
            reason: if ready { "Ready" } else { "SwitchNotReady" }.to_owned(),
            message: message.to_owned(),
            observed_generation: generation,
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        };
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        self.api::<K>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The operator says how many pods are attached to network `n`.
    pub(crate) async fn count_pods(&self, count: u32) {
        let patch = Patch::Merge(json!({"status": {"connectedPodCount": count}}));
        let networks = self.api::<L2Network>();
        networks.patch_status("n", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until network `n` shows these pods, by cluster.
    pub(crate) async fn until_pods(&self, pods: &[(&str, u32)]) {
        let what = format!("network n has pods {pods:?}");
        self.world
            .until(&what, async || {
                let mut networks = self.world.manager.networks.clone();
                let request =
                    api::GetNetworkRequest { slice: "s".to_owned(), name: "n".to_owned() };
                let answer = networks.get_network(request).await.unwrap().into_inner();
                let status = answer.network.unwrap().status.unwrap();
                let shown = status.pods.iter().map(|of| (of.cluster.as_str(), of.attached));
                shown.eq(pods.iter().copied())
            })
            .await;
    }

    /// Somebody changes a resource by hand.
    pub(crate) async fn change<K>(&self, name: &str, change: serde_json::Value)
    where
        K: Custom,
    {
        let patch = Patch::Merge(change);
        self.api::<K>().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Names of all custom resources that are there.
    pub(crate) async fn resources(&self) -> Vec<String> {
        let mut names = self.names_of::<Overlay>().await;
        names.extend(self.names_of::<NetworkEdgeDevice>().await);
        names.extend(self.names_of::<L2Network>().await);
        names
    }

    async fn names_of<K>(&self) -> Vec<String>
    where
        K: Custom,
    {
        let found = self.api::<K>().list(&Default::default()).await.unwrap();
        found.items.iter().map(|found| format!("{} {}", K::kind(&()), found.name_any())).collect()
    }
}

/// A kind of custom resource.
pub(crate) trait Custom:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + 'static
{
}

impl Custom for Overlay {}
impl Custom for NetworkEdgeDevice {}
impl Custom for L2Network {}

/// The Kubernetes driver of a cluster.
pub(crate) fn driver(cluster: &mut api::Cluster) -> &mut api::KubernetesDriver {
    match cluster.spec.as_mut().unwrap().driver.as_mut().unwrap() {
        api::cluster_spec::Driver::Kubernetes(driver) => driver,
        api::cluster_spec::Driver::Direct(_) => panic!("it is a direct cluster"),
    }
}

/// What the slice-manager must be allowed.
fn permissions() -> String {
    format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: slice-manager, namespace: default}}
rules:
- apiGroups: [{GROUP}]
  resources: [overlays, networkedgedevices, l2networks]
  verbs: [get, list, watch, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: slice-manager, namespace: default}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: slice-manager}}
subjects:
- {{apiGroup: rbac.authorization.k8s.io, kind: User, name: slice-manager}}
"
    )
}
