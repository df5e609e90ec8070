//! The client against a real `ovsdb-server` with Open vSwitch's schema.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use l2sces_ovsdb::{
    Client, Condition, Config, Error, Function, MonitoredTable, Mutation, Mutator, Operation,
    OperationErrorKind, Outcome, Row, Until, Uuid, Value,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    time::timeout,
};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with an empty database; ends with the test.
struct Server {
    directory: TempDir,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let created = Command::new("ovsdb-tool")
            .arg("create")
            .arg(directory.path().join("conf.db"))
            .arg(SCHEMA)
            .status()
            .unwrap();
        assert!(created.success());
        let process = Self::spawn(directory.path());
        Self { directory, process }
    }

    fn spawn(directory: &Path) -> Child {
        Command::new("ovsdb-server")
            .arg(directory.join("conf.db"))
            .arg(format!("--remote=punix:{}", directory.join("db.sock").display()))
            .arg(format!("--unixctl={}", directory.join("ctl").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = Self::spawn(self.directory.path());
    }

    fn config(&self) -> Config {
        config(&self.directory.path().join("db.sock"))
    }

    async fn client(&self) -> Client {
        let client = Client::start(self.config());
        timeout(PATIENCE, client.connected()).await.unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(socket: &Path) -> Config {
    Config::new(format!("unix:{}", socket.display()).parse().unwrap(), "Open_vSwitch")
        .monitor(MonitoredTable::new("Open_vSwitch", ["next_cfg", "cur_cfg", "bridges"]))
        .monitor(MonitoredTable::new("Bridge", ["name", "external_ids"]).indexed_by("name"))
}

/// A bridge, referred to by the root row so that it is not garbage.
fn add_bridge(name: &str) -> Vec<Operation> {
    vec![
        Operation::insert_named("Bridge", "bridge", Row::new().with("name", name)),
        Operation::mutate(
            "Open_vSwitch",
            [],
            [Mutation::new("bridges", Mutator::Insert, Value::named("bridge"))],
        ),
    ]
}

async fn initialise(client: &Client) {
    client.transact(&[Operation::insert("Open_vSwitch", Row::new())]).await.unwrap();
}

fn find(client: &Client, bridge: &str) -> Option<Uuid> {
    client.replica().read(|tables| tables.find("Bridge", bridge).map(|(uuid, _)| uuid))
}

#[tokio::test]
async fn every_operation_does_what_it_says() {
    let server = Server::start();
    let client = server.client().await;
    initialise(&client).await;

    let outcomes = client.transact(&add_bridge("br0")).await.unwrap();
    let [Outcome::Inserted(uuid), Outcome::Count(1)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    let outcomes = client
        .transact(&[
            Operation::comment("a test"),
            Operation::wait(
                Duration::ZERO,
                "Bridge",
                [Condition::uuid(uuid)],
                ["name"],
                Until::Equal,
                [Row::new().with("name", "br0")],
            ),
            Operation::update(
                "Bridge",
                [Condition::uuid(uuid)],
                Row::new().with("external_ids", Value::map([("owner", "me")])),
            ),
            Operation::select(
                "Bridge",
                [Condition::new("external_ids", Function::Includes, Value::map([("owner", "me")]))],
                ["name"],
            ),
            Operation::mutate(
                "Open_vSwitch",
                [],
                [Mutation::new("bridges", Mutator::Delete, uuid)],
            ),
        ])
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [
            Outcome::Done,
            Outcome::Done,
            Outcome::Count(1),
            Outcome::Rows(vec![Row::new().with("name", "br0")]),
            Outcome::Count(1)
        ]
    );
    assert_eq!(find(&client, "br0"), None);
}

#[tokio::test]
async fn the_replica_has_a_change_when_its_transaction_is_answered() {
    let server = Server::start();
    let client = server.client().await;
    initialise(&client).await;
    for number in 0..200 {
        let name = format!("br{number}");
        let outcomes = client.transact(&add_bridge(&name)).await.unwrap();
        let Outcome::Inserted(uuid) = outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(find(&client, &name), Some(uuid));
    }
}

#[tokio::test]
async fn changes_of_others_are_told() {
    let server = Server::start();
    let (client, other) = (server.client().await, server.client().await);
    initialise(&client).await;
    let ((), mut changes) = client.replica().read_and_subscribe(|_| ());
    other.transact(&add_bridge("br0")).await.unwrap();
    let change = loop {
        let change = timeout(PATIENCE, changes.recv()).await.unwrap().unwrap();
        if &*change.table == "Bridge" {
            break change;
        }
    };
    assert!(change.old.is_none());
    assert_eq!(change.new.unwrap().string("name"), Some("br0"));
}

#[tokio::test]
async fn errors_are_typed_and_nothing_takes_place() {
    let server = Server::start();
    let client = server.client().await;
    initialise(&client).await;
    client.transact(&add_bridge("br0")).await.unwrap();

    let mut duplicate = vec![Operation::comment("before")];
    duplicate.extend(add_bridge("br0"));
    let Err(Error::Operation { index: None, error }) = client.transact(&duplicate).await else {
        panic!("the name of a bridge is unique");
    };
    assert_eq!(error.kind, OperationErrorKind::ConstraintViolation);

    let late = [
        Operation::update("Bridge", [], Row::new().with("external_ids", Value::map([("a", "b")]))),
        Operation::wait(Duration::ZERO, "Bridge", [], ["name"], Until::Equal, []),
    ];
    let Err(Error::Operation { index: Some(1), error }) = client.transact(&late).await else {
        panic!("there is a bridge");
    };
    assert_eq!(error.kind, OperationErrorKind::TimedOut);
    let untouched = client.replica().read(|tables| {
        let (_, row) = tables.find("Bridge", "br0").unwrap();
        row.map_string("external_ids", "a").is_none()
    });
    assert!(untouched);

    let nonsense = [Operation::insert("No_such_table", Row::new())];
    let Err(Error::Operation { index: Some(0), error }) = client.transact(&nonsense).await else {
        panic!("there is no such table");
    };
    assert!(matches!(error.kind, OperationErrorKind::Other(_)), "{error}");
}

#[tokio::test]
async fn the_replica_has_what_a_refused_transaction_ran_into() {
    let server = Server::start();
    let client = server.client().await;
    initialise(&client).await;
    for number in 0..50 {
        let name = format!("br{number}");
        // This blocks the test's only thread, so the client has not read the change yet.
        let added = Command::new("ovs-vsctl")
            .arg(format!("--db=unix:{}", server.directory.path().join("db.sock").display()))
            .args(["--no-wait", "add-br", &name])
            .status();
        assert!(added.unwrap().success());
        assert_eq!(find(&client, &name), None);
        let refused = client.transact(&add_bridge(&name)).await;
        assert!(matches!(refused, Err(Error::Operation { .. })), "{refused:?}");
        assert!(find(&client, &name).is_some());
    }
}

#[tokio::test]
async fn waits_until_the_switch_has_carried_out_the_change() {
    let server = Server::start();
    let (client, vswitchd) = (server.client().await, server.client().await);
    initialise(&client).await;
    let impatient = Duration::from_millis(50);
    let result = client.transact_and_settle(&add_bridge("br0"), impatient).await;
    assert!(matches!(result, Err(Error::NotCarriedOut)), "{result:?}");
    assert!(find(&client, "br0").is_some(), "the transaction took place");

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.transact_and_settle(&add_bridge("br1"), PATIENCE).await }
    });
    let wanted = vswitchd
        .replica()
        .wait_for(|tables| {
            tables.find("Bridge", "br1")?;
            tables.rows("Open_vSwitch").next()?.1.integer("next_cfg")
        })
        .await;
    assert!(!waiting.is_finished());
    let done = Row::new().with("cur_cfg", wanted);
    vswitchd.transact(&[Operation::update("Open_vSwitch", [], done)]).await.unwrap();
    let outcomes = waiting.await.unwrap().unwrap();
    assert_eq!(outcomes.len(), 2, "the caller's operations only: {outcomes:?}");
    client.settle(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn reconnects_and_catches_up() {
    let mut server = Server::start();
    let client = server.client().await;
    initialise(&client).await;
    client.transact(&add_bridge("br0")).await.unwrap();
    let ((), mut changes) = client.replica().read_and_subscribe(|_| ());

    server.stop();
    timeout(PATIENCE, client.disconnected()).await.unwrap();
    let refused = client.transact(&[Operation::comment("nobody hears")]).await;
    assert!(matches!(refused, Err(Error::Disconnected)), "{refused:?}");
    assert!(find(&client, "br0").is_some(), "the replica stays");

    server.restart();
    timeout(PATIENCE, client.connected()).await.unwrap();
    assert!(changes.try_recv().is_err(), "nothing changed meanwhile");
    client.transact(&add_bridge("br1")).await.unwrap();
    assert!(find(&client, "br1").is_some());
}

/// A server that reads requests but answers only the first, the monitor's, and then asks `asks`.
async fn silent_server(listener: UnixListener, asks: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut heard = vec![0; 4096];
    let length = stream.read(&mut heard).await.unwrap();
    assert!(String::from_utf8_lossy(&heard[..length]).contains(r#""method":"monitor""#));
    stream.write_all(br#"{"id":0,"result":{},"error":null}"#).await.unwrap();
    stream.write_all(asks.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_silent_server_is_probed_and_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("db.sock");
    let server = tokio::spawn(silent_server(UnixListener::bind(&socket).unwrap(), ""));
    let mut config = config(&socket);
    config.probe_interval = Some(Duration::from_secs(1));
    let client = Client::start(config);
    timeout(PATIENCE, client.connected()).await.unwrap();
    let unanswered = client.transact(&[Operation::comment("hello")]).await;
    assert!(matches!(unanswered, Err(Error::ConnectionLost)), "{unanswered:?}");
    let heard = timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(heard.contains(r#""method":"echo""#), "{heard}");
}

#[tokio::test]
async fn the_probe_of_the_server_is_answered_and_garbage_ends_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("db.sock");
    let asks = r#"{"id":"probe","method":"echo","params":["x"]}{"id":9,"method":"steal"}"#;
    let server = tokio::spawn(silent_server(UnixListener::bind(&socket).unwrap(), asks));
    let mut config = config(&socket);
    config.probe_interval = Some(Duration::from_secs(2));
    let client = Client::start(config);
    let heard = timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(heard.contains(r#"{"error":null,"id":"probe","result":["x"]}"#), "{heard}");
    assert!(heard.contains(r#""error":"unknown method","id":9"#), "{heard}");
    drop(client);

    std::fs::remove_file(&socket).unwrap();
    let server = tokio::spawn(silent_server(UnixListener::bind(&socket).unwrap(), "garbage"));
    let _client = Client::start(self::config(&socket));
    timeout(PATIENCE, server).await.unwrap().unwrap();
}
