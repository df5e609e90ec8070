//! What only a real API server can tell: whether a record is refused, and in which order things are told.
#![expect(clippy::unwrap_used, reason = "what helps tests may panic as they do")]

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::reflector::{self, ObjectRef},
};
use l2sces_custom_resources::SliceNetwork;
use l2sces_kubernetes::{Publisher, Reference, keep};
use l2sces_lab::kubernetes::ApiServer;
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

async fn client(server: &ApiServer) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn create(server: &ApiServer, names: impl IntoIterator<Item = String>) {
    let items = names.into_iter().map(|name| {
        json!({
            "apiVersion": "l2sces.l2sm.io/v1", "kind": "SliceNetwork",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "type": "vnet", "clusters": ["a"] },
        })
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>() });
    server.kubectl().with_input(["create", "-f", "-"], &list.to_string()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_since_a_resource_was_read_stays() {
    let server = ApiServer::start(&[]).await.unwrap();
    let client = client(&server).await;
    let publisher = Publisher::new(client.clone(), "test", "test-0");
    create(&server, ["blue".to_owned()]).await;
    let networks: Api<SliceNetwork> = Api::namespaced(client, "default");
    let read = networks.get("blue").await.unwrap();
    publisher.record(&read, &json!({ "slice": "p" })).await.unwrap();
    let refused = publisher.record(&read, &json!({ "slice": "q" })).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_conflict()), "{refused}");
    let read = networks.get("blue").await.unwrap();
    assert_eq!(read.status.as_ref().unwrap().slice.as_deref(), Some("p"));
    publisher.record(&read, &json!({ "slice": "q" })).await.unwrap();
    assert_eq!(networks.get("blue").await.unwrap().status.unwrap().slice.as_deref(), Some("q"));
}

/// More than an API server lists at a time.
const MANY: usize = 501;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_of_a_resource_finds_it() {
    let server = ApiServer::start(&[]).await.unwrap();
    let client = client(&server).await;
    create(&server, (0..MANY).map(|number| format!("n{number}"))).await;
    let (store, writer) = reflector::store::<SliceNetwork>();
    let (tell, mut told) = mpsc::channel(MANY + 1);
    let keeping = keep(&client, writer, |reference: Option<Reference>| {
        let is_there = reference.as_ref().is_none_or(|Reference { namespace, name }| {
            store.get(&ObjectRef::new(name).within(namespace)).is_some()
        });
        tell.try_send((reference, is_there)).unwrap();
    });
    let listening = async {
        let mut found = BTreeSet::new();
        while let Some((Some(reference), is_there)) = told.recv().await {
            assert!(is_there, "{reference} is told of too early");
            found.insert(reference);
        }
        assert_eq!(found.len(), MANY);
    };
    tokio::select! {
        () = keeping => panic!("it ends"),
        listened = timeout(Duration::from_secs(60), listening) => listened.unwrap(),
    }
}
