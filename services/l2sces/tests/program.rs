//! The real program against a slice-manager that knows slices only.

mod support;

use std::time::Duration;

use l2sces_pki::{Authority, Identity, Role};
use support::{FakeSliceManager, not_serving, plaintext, program, run, run_with};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

/// How long to wait for what must happen; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

const MANIFESTS: &str = "\
kind: Slice
metadata: {name: s1}
spec: {clusters: [{cluster: a}]}
---
kind: Slice
metadata: {name: s2}
spec: {clusters: [{cluster: b}]}
";

#[tokio::test]
async fn create_waits_until_ready_and_tells_why_not_meanwhile() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    let ran =
        run(&endpoint, &["slice", "create", "s1", "--cluster", "a", "--cluster", "b"], "").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("slice s1: LinkDown: "), "{ran:?}");
    let lines: Vec<Vec<_>> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "CLUSTERS", "AGE", "REASON"]);
    assert_eq!(lines[1], ["s1", "True", "a,b"]);
}

#[tokio::test]
async fn what_does_not_get_ready_in_time_is_told_with_the_reason_and_status_3() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    let create = ["slice", "create", "stuck", "--cluster", "a", "--timeout", "10s"];
    let ran = run(&endpoint, &create, "").await;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let last = ran.stderr.lines().last().unwrap();
    // When time was up is told to the second.
    let told = last.strip_prefix("error: slice stuck is not ready after ");
    let (time, reason) = told.and_then(|told| told.split_once(" s: ")).expect(last);
    assert!(time.parse::<u64>().is_ok(), "{ran:?}");
    assert_eq!(reason, "LinkDown: a cannot reach b", "{ran:?}");
    assert_eq!(ran.stdout, "");

    let ran = run(&endpoint, &["slice", "create", "stuck-too", "--cluster", "a", "--no-wait"], "");
    assert_eq!(ran.await.code, Some(0), "not waiting, it does not matter");
}

#[tokio::test]
async fn refusals_are_a_line_each_that_names_the_field_with_status_1() {
    let (fake, endpoint) = FakeSliceManager::start(plaintext()).await;
    let ran = run(&endpoint, &["slice", "create", "s1"], "").await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: slice.spec.clusters: must have at least one cluster\n");

    let ran = run(&endpoint, &["apply", "-f", "-"], "kind: Slice\nmetadata: {name: s9}\n").await;
    assert_eq!(
        ran.stderr,
        "error: slice s9: slice.spec.clusters: must have at least one cluster\n"
    );
    let ran = run(&endpoint, &["slice", "get", "nobody"], "").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), "error: slice nobody does not exist\n"));
    let ran = run(&endpoint, &["apply", "-f", "-"], "kind: Slice\nnames: x\n").await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("unknown field `names`"), "{ran:?}");
    assert!(fake.names().is_empty());
}

#[tokio::test]
async fn links_are_shown_with_what_was_measured_and_who_did_not_answer() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    let measure = "--measure=rtt,loss,interval=30s";
    run(&endpoint, &["slice", "create", "s1", "--cluster", "a", measure], "").await;
    let ran = run(&endpoint, &["slice", "get", "s1", "-o", "yaml"], "").await;
    let measurement =
        "  measurement:\n    metrics:\n    - round-trip-time\n    - loss\n    interval_ms: 30000\n";
    assert!(ran.stdout.contains(measurement), "{ran:?}");

    let ran = run(&endpoint, &["link", "list", "--slice", "s1"], "").await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: links may be missing: cluster b is away\n");
    let rows: Vec<Vec<_>> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..6], ["FROM", "TO", "UP", "RTT", "JITTER", "LOSS"]);
    assert_eq!(rows[1][..6], ["a/a1", "a/a2", "yes", "-", "-", "50.0%"]);
    assert!(ran.stdout.contains("not measured: its agent is away"), "{ran:?}");

    let ran = run(&endpoint, &["link", "list", "--slice", "s1", "-o", "json"], "").await;
    let links: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(links[0]["measurement"]["loss"], 0.5);
    assert_eq!(links[0]["measurement_message"], "its agent is away");

    let ran = run(&endpoint, &["slice", "update", "s1", "--measure=none"], "").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(&endpoint, &["slice", "get", "s1", "-o", "yaml"], "").await;
    assert!(!ran.stdout.contains("measurement"), "{ran:?}");
}

#[tokio::test]
async fn wrong_usage_is_status_2() {
    for arguments in [["slice", "create"], ["slice", "--endpoint"]] {
        assert_eq!(run("http://127.0.0.1:1", &arguments, "").await.code, Some(2), "{arguments:?}");
    }
    let ran = run("https://127.0.0.1:1", &["slice", "list"], "").await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("must begin with http://"), "{ran:?}");
}

#[tokio::test]
async fn health_tells_by_its_status_whether_a_service_serves() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    let ran = run(&endpoint, &["health"], "").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "serving\n"), "{ran:?}");
    let ran = run("http://127.0.0.1:1", &["health"], "").await;
    let reason = "error: cannot reach http://127.0.0.1:1: connection refused\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), reason), "{ran:?}");

    let endpoint = not_serving().await;
    let ran = run(&endpoint, &["health"], "").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(ran.stderr, format!("error: {endpoint} says NOT_SERVING\n"));
}

#[tokio::test]
async fn apply_is_idempotent_and_delete_its_inverse() {
    let (fake, endpoint) = FakeSliceManager::start(plaintext()).await;
    let ran = run(&endpoint, &["apply", "-f", "-"], MANIFESTS).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "slice s1 created\nslice s2 created\n"));
    let ran = run(&endpoint, &["apply", "-f", "-"], MANIFESTS).await;
    assert_eq!(ran.stdout, "slice s1 unchanged\nslice s2 unchanged\n", "{ran:?}");
    let changed = MANIFESTS.replace("cluster: b", "cluster: c");
    let ran = run(&endpoint, &["apply", "-f", "-"], &changed).await;
    assert_eq!(ran.stdout, "slice s1 unchanged\nslice s2 updated\n", "{ran:?}");

    let ran = run(&endpoint, &["delete", "-f", "-"], MANIFESTS).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "slice s2 deleted\nslice s1 deleted\n"));
    assert!(fake.names().is_empty(), "it has waited until they were gone");
    let ran = run(&endpoint, &["delete", "-f", "-"], MANIFESTS).await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "slice s2 is not there\nslice s1 is not there\n")
    );
}

#[tokio::test]
async fn validate_only_changes_nothing() {
    let (fake, endpoint) = FakeSliceManager::start(plaintext()).await;
    let ran = run(&endpoint, &["apply", "-f", "-", "--validate-only"], MANIFESTS).await;
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout, "slice s1 can be created\nslice s2 can be created\n");
    assert!(fake.names().is_empty());
}

#[tokio::test]
async fn what_is_printed_as_yaml_can_be_applied_and_its_etag_guards() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    run(&endpoint, &["apply", "-f", "-"], MANIFESTS).await;
    let listed = run(&endpoint, &["slice", "list", "-o", "yaml"], "").await.stdout;
    let apply = ["apply", "-f", "-"];
    let ran = run(&endpoint, &apply, &listed).await;
    assert_eq!(ran.stdout, "slice s1 unchanged\nslice s2 unchanged\n", "{ran:?}");

    let edited = listed.replace("cluster: b", "cluster: c");
    let ran = run(&endpoint, &apply, &edited).await;
    assert_eq!(ran.stdout, "slice s1 unchanged\nslice s2 updated\n", "{ran:?}");
    // The first text has the etag from before the update, and wants something else.
    let ran = run(&endpoint, &apply, &listed).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stderr, "error: slice s2: somebody else was faster\n");
}

#[tokio::test]
async fn update_changes_what_the_flags_name_and_an_old_etag_is_refused() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    run(&endpoint, &["slice", "create", "s1", "--cluster", "a", "--link", "a:b"], "").await;
    let update = ["slice", "update", "s1", "--cluster", "b", "-o", "json"];
    let ran = run(&endpoint, &update, "").await;
    let slice: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(slice["spec"]["clusters"][0]["cluster"], "b");
    assert_eq!(slice["spec"]["links"][0]["endpoint_b"], "b", "what no flag names stays");
    assert_eq!(slice["status"]["conditions"][0]["status"], "True");
    let old = ["slice", "update", "s1", "--cluster", "c", "--etag", "etag-1"];
    assert_eq!(run(&endpoint, &old, "").await.code, Some(1));
}

#[tokio::test]
async fn list_follows_pages() {
    let (_, endpoint) = FakeSliceManager::start(plaintext()).await;
    run(&endpoint, &["apply", "-f", "-", "--no-wait"], MANIFESTS).await;
    let ran = run(&endpoint, &["slice", "list", "-o", "json"], "").await;
    let slices: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(slices.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn watch_prints_changes_as_they_come_and_stops_when_nobody_reads() {
    let (fake, endpoint) = FakeSliceManager::start(plaintext()).await;
    let mut child =
        program(&endpoint, &plaintext()).args(["slice", "watch", "s1"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    timeout(PATIENCE, fake.watched()).await.expect("it watches");
    run(&endpoint, &["apply", "-f", "-"], MANIFESTS).await;
    let wanted = ["slice s1 False LinkDown: a cannot reach b", "slice s1 True"];
    for wanted in wanted {
        let line = timeout(PATIENCE, lines.next_line()).await;
        assert_eq!(line.expect("a line in time").unwrap().unwrap(), wanted);
    }
    drop(lines);
    run(&endpoint, &["slice", "delete", "s1"], "").await;
    let status = timeout(PATIENCE, child.wait()).await;
    assert_eq!(status.expect("it ends").unwrap().code(), Some(0));
}

#[tokio::test]
async fn over_tls_it_says_who_refuses_whom() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let credentials = |dir: &tempfile::TempDir, role: Role| {
        let authority = Authority::load(dir.path()).or_else(|_| {
            Authority::create().and_then(|authority| authority.save(dir.path()).map(|()| authority))
        });
        let identity = Identity::new(role, "test").unwrap();
        let issued = authority.unwrap().issue(&identity, &["127.0.0.1".into()]).unwrap();
        issued.save(dir.path(), role.as_str()).unwrap();
        l2sces_grpc::TlsArgs {
            tls_ca: Some(dir.path().join("ca.pem")),
            tls_cert: Some(dir.path().join(format!("{role}.pem"))),
            tls_key: Some(dir.path().join(format!("{role}.key"))),
            insecure_plaintext: false,
        }
    };
    let (_, endpoint) = FakeSliceManager::start(credentials(&dir, Role::SliceManager)).await;
    let list = ["slice", "list"];
    let admin = credentials(&dir, Role::Admin);
    let ran = run_with(&endpoint, &admin, &list, "").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));

    let ran = run_with(&endpoint, &credentials(&dir, Role::SpsAgent), &list, "").await;
    assert!(ran.stderr.starts_with("error: not allowed: the role sps-agent"), "{ran:?}");

    let stranger = credentials(&other, Role::Admin);
    let ran = run_with(&endpoint, &stranger, &list, "").await;
    let wanted = format!(
        "error: cannot reach {endpoint}: its certificate is signed by an unknown authority (see --tls-ca)\n"
    );
    assert_eq!(ran.stderr, wanted);

    let refused = l2sces_grpc::TlsArgs { tls_ca: admin.tls_ca.clone(), ..stranger };
    let ran = run_with(&endpoint, &refused, &list, "").await;
    assert!(ran.stderr.contains("our certificate"), "{ran:?}");

    // A port that is bound, so that nobody else gets it, and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = socket.local_addr().unwrap();
    let ran = run_with(&format!("https://{unused}"), &admin, &list, "").await;
    assert_eq!(ran.stderr, format!("error: cannot reach https://{unused}: connection refused\n"));

    let (_, plain) = FakeSliceManager::start(plaintext()).await;
    let ran = run_with(&plain.replace("http", "https"), &admin, &list, "").await;
    assert!(ran.stderr.starts_with("error: cannot reach"), "{ran:?}");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
}
