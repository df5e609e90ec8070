//! The records' API: who may call it, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use l2sces_grpc::{Dialer, TlsArgs};
use l2sces_pki::{Authority, Identity, Role};
use l2sces_proto::dns::v1::{
    ApplyRecordRequest, DeleteRecordRequest, ListRecordsRequest, Record, RecordKey,
    record_service_client::RecordServiceClient,
};
use support::{
    key,
    postgres::Postgres,
    record,
    server::{Server, own_address},
    with_aliases,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn refuses_what_is_no_record_and_changes_nothing() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    let before = server.list("", "", 10).await;

    let addresses = |addresses: &[&str]| record("web.a.blue.s1", addresses);
    let many: Vec<_> = (0..65).map(|n| format!("10.1.0.{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    // 253 characters in inter.l2sces, the longest that DNS allows, and one more.
    let [long, longest, longer] = [59, 60, 61].map(|length| "x".repeat(length));
    let named = |last: &str| record(&format!("{long}.{long}.{long}.{last}"), &["10.1.0.3"]);
    let aliases = |name: &str, aliases: &[&str]| with_aliases(name, &["10.1.0.3"], aliases);
    let cases = [
        (Record::default(), &["record.key", "record.addresses"][..]),
        (
            Record { key: Some(RecordKey::default()), ..addresses(&["10.1.0.3"]) },
            &["record.key.slice", "record.key.network", "record.key.cluster", "record.key.host"],
        ),
        (record("Web.a.blue.s_1", &["10.1.0.3"]), &["record.key.slice", "record.key.host"]),
        (named(&longer), &["record.key"]),
        (addresses(&[]), &["record.addresses"]),
        (addresses(&many), &["record.addresses"]),
        (
            addresses(&["10.1.0.3", "10.1.0", "fd00::g"]),
            &["record.addresses[1]", "record.addresses[2]"],
        ),
        (addresses(&["10.1.0.3", "10.1.0.3"]), &["record.addresses[1]"]),
        (addresses(&["10.1.0.3", "224.0.0.1"]), &["record.addresses[1]"]),
        (addresses(&["10.1.0.3/24"]), &["record.addresses[0]"]),
        (
            aliases("web.a.blue.s1", &["ok", "Web", "", "a.b", "ok"]),
            &["record.aliases[1]", "record.aliases[2]", "record.aliases[3]", "record.aliases[4]"],
        ),
        (aliases("web.a.blue.s1", &["again"; 17]), &["record.aliases"]),
    ];
    for (record, expected) in cases {
        let refusal = server.apply_record(record.clone()).await.unwrap_err();
        assert_eq!(fields(&refusal), expected, "{record:?}");
    }
    let mut client = server.client().await;
    let refusal = client.apply_record(ApplyRecordRequest { record: None }).await.unwrap_err();
    assert_eq!(fields(&refusal), ["record"]);
    let refusal = client.delete_record(DeleteRecordRequest { key: None }).await.unwrap_err();
    assert_eq!(fields(&refusal), ["key"]);
    let bad = DeleteRecordRequest { key: Some(key("web.a.blue.S")) };
    assert_eq!(fields(&client.delete_record(bad).await.unwrap_err()), ["key.slice"]);

    assert_eq!(server.list("", "", 10).await, before);
    assert_eq!(server.resolve("web.blue.inter.l2sces"), "10.1.0.2");
    server.apply_record(named(&longest)).await.unwrap();
}

#[tokio::test]
async fn lists_in_order_page_by_page() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    assert!(server.list("", "", 10).await.is_empty());
    // In the order of slice, network, cluster and host, by bytes.
    let names = ["b.a.n.s", "a.b.n.s", "a-1.c.n.s", "a.c.n.s", "a.a.n-1.s", "a.a.n.s-1", "a.a.m.t"];
    let mut records: Vec<_> = names.iter().map(|name| record(name, &["10.1.0.2"])).collect();
    records[2].addresses = vec!["fd00::2".into(), "10.1.0.9".into(), "10.1.0.1".into()];
    records[3].aliases = vec!["a".into(), "b".into()];
    for record in records.iter().rev() {
        server.apply_record(record.clone()).await.unwrap();
    }
    records.sort_by_key(|record| {
        let key = record.key.clone().unwrap();
        (key.slice, key.network, key.cluster, key.host)
    });
    for page_size in [1, 2, 7, 8, 1000] {
        assert_eq!(server.list("", "", page_size).await, records, "{page_size}");
    }
    let of = |slice: &str, network: &str| {
        let mut records = records.clone();
        records.retain(|record| {
            let key = record.key.as_ref().unwrap();
            key.slice == slice && (network.is_empty() || key.network == network)
        });
        records
    };
    assert_eq!(server.list("s", "", 2).await, of("s", ""));
    assert_eq!(server.list("s", "n", 2).await, of("s", "n"));
    assert!(server.list("nobody", "", 2).await.is_empty());

    let mut client = server.client().await;
    let request = |slice: &str, network: &str, page_size, page_token: &str| ListRecordsRequest {
        slice: slice.into(),
        network: network.into(),
        page_size,
        page_token: page_token.into(),
    };
    let default = client.list_records(request("", "", 0, "")).await.unwrap().into_inner();
    assert_eq!(default.records.len(), 7);
    let large = client.list_records(request("", "", i32::MAX, "")).await.unwrap().into_inner();
    assert_eq!((large.records.len(), large.next_page_token.as_str()), (7, ""));
    for (request, field) in [
        (request("", "", -1, ""), "page_size"),
        (request("", "n", 1, ""), "slice"),
        (request("S", "", 1, ""), "slice"),
        (request("s", "N", 1, ""), "network"),
        (request("", "", 1, "x"), "page_token"),
    ] {
        assert_eq!(fields(&client.list_records(request).await.unwrap_err()), [field]);
    }
}

#[tokio::test]
async fn only_the_sco_provider_and_administrators_may_call() {
    let postgres = Postgres::start().await;
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create().unwrap();
    authority.save(directory.path()).unwrap();
    let issue = |role: Role, sans: &[String]| {
        let identity = Identity::new(role, "one").unwrap();
        let stem = role.to_string();
        authority.issue(&identity, sans).unwrap().save(directory.path(), &stem).unwrap();
        let file = |name: String| Some(directory.path().join(name));
        TlsArgs {
            tls_ca: file("ca.pem".into()),
            tls_cert: file(format!("{stem}.pem")),
            tls_key: file(format!("{stem}.key")),
            insecure_plaintext: false,
        }
    };
    let address = own_address();
    let own = issue(Role::InterDomainDns, &[address.to_string()]);
    let flag = |name: &str, path: Option<std::path::PathBuf>| {
        format!("--tls-{name}={}", path.unwrap().display())
    };
    let flags = [flag("ca", own.tls_ca), flag("cert", own.tls_cert), flag("key", own.tls_key)];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let server = Server::start_at(address, &postgres, &flags).await;

    for (role, allowed) in [
        (Role::ScoProvider, true),
        (Role::Admin, true),
        (Role::SliceManager, false),
        (Role::SdnController, false),
        (Role::SpsAgent, false),
    ] {
        let dialer = Dialer::new(&issue(role, &[])).unwrap();
        let channel = dialer.channel(&format!("https://{}", server.grpc)).unwrap();
        let mut client = RecordServiceClient::new(channel.clone());
        let request = || ApplyRecordRequest { record: Some(record("w.a.b.s", &["10.1.0.2"])) };
        let outcome = client.apply_record(request()).await.map(drop).map_err(|s| s.code());
        assert_eq!(outcome, if allowed { Ok(()) } else { Err(Code::PermissionDenied) }, "{role}");

        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        let status = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
        assert_eq!(status.into_inner().status, 1, "serving");
    }
}
