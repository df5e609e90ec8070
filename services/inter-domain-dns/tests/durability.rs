//! What was acknowledged is kept and answered, whatever dies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use l2sces_proto::dns::v1::{
    ApplyRecordRequest, DeleteRecordRequest, record_service_client::RecordServiceClient,
};
use support::{
    dig::{Dig, question},
    eventually,
    postgres::Postgres,
    server::Server,
    with_aliases,
};

#[tokio::test]
async fn records_survive_a_kill_and_a_shutdown() {
    let postgres = Postgres::start().await;
    let mut server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    server.apply("web.a.blue.s1", &["10.1.0.9"]).await.unwrap();
    server.apply("db.a.blue.s1", &["10.1.0.3"]).await.unwrap();
    server.delete("db.a.blue.s1").await.unwrap();
    server.apply_record(with_aliases("mail.a.blue.s1", &["10.1.0.4"], &["post"])).await.unwrap();

    server.kill();
    server.resume().await;
    assert_eq!(server.resolve("web.blue.inter.l2sces"), "10.1.0.9");
    assert_eq!(server.resolve("post.blue.inter.l2sces"), "10.1.0.4");
    assert_eq!(server.dig(&["db.blue.inter.l2sces"]).status, "NXDOMAIN");

    // Once it answers calls, it listens to signals too.
    assert_eq!(server.list("s1", "blue", 10).await.len(), 2);
    assert!(server.terminate().success());
    server.resume().await;
    assert_eq!(server.resolve("web.blue.inter.l2sces"), "10.1.0.9");
}

/// Writers go on while the server is killed again and again; each knows what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kills() {
    let postgres = Postgres::start().await;
    let mut server = Server::start(&postgres).await;
    let endpoint = format!("http://{}", server.grpc);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write(endpoint.clone(), writer, stopped.clone())))
        .collect();
    for round in 1..=3 {
        let mut connection = postgres.connect_as_service().await;
        eventually("something is written between kills", async || {
            let number: i64 = sqlx::query_scalar("SELECT number FROM revision")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            number > round * 50
        })
        .await;
        server.kill();
        server.resume().await;
    }
    stop.send(true).unwrap();

    for writer in writers {
        for (host, possible) in writer.await.unwrap() {
            let answer = server.resolve(&format!("{host}.blue.inter.l2sces"));
            assert!(possible.contains(&answer), "{host}: {answer}, not one of {possible:?}");
        }
    }
}

/// Writes until told to stop. Returns for each host what may be answered: what was acknowledged
/// last, or what was asked for since.
async fn write(
    endpoint: String,
    writer: u8,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> BTreeMap<String, Vec<String>> {
    let channel = tonic::transport::Endpoint::try_from(endpoint).unwrap().connect_lazy();
    let mut client = RecordServiceClient::new(channel);
    let mut possible = BTreeMap::<String, Vec<String>>::new();
    for n in 0_u32.. {
        if *stopped.borrow() {
            break;
        }
        let host = format!("h{writer}-{}", n % 7);
        let name = format!("{host}.a.blue.s1");
        let [_, _, high, low] = n.to_be_bytes();
        let deletes = n % 3 == 2;
        let wanted = if deletes { String::new() } else { format!("10.{writer}.{high}.{low}") };
        let outcome = if deletes {
            let key = Some(support::key(&name));
            client.delete_record(DeleteRecordRequest { key }).await.map(drop)
        } else {
            let record = Some(support::record(&name, &[&wanted]));
            client.apply_record(ApplyRecordRequest { record }).await.map(drop)
        };
        let answers = possible.entry(host).or_insert_with(|| vec![String::new()]);
        match outcome {
            Ok(()) => *answers = vec![wanted],
            Err(_) => {
                answers.push(wanted);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    possible
}

/// Asks before a notification could have come, as dig is too slow to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_answered_when_the_call_returns() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.dns).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let question = question(1, "web.blue.inter.l2sces");
    let mut answer = [0; 512];
    let mut client = server.client().await;
    for n in 1..=100 {
        let record = Some(support::record("web.a.blue.s1", &[&format!("10.1.0.{n}")]));
        client.apply_record(ApplyRecordRequest { record }).await.unwrap();
        socket.send(&question).unwrap();
        let length = socket.recv(&mut answer).unwrap();
        assert!(answer[..length].ends_with(&[10, 1, 0, n]), "round {n}");

        let key = Some(support::key("web.a.blue.s1"));
        client.delete_record(DeleteRecordRequest { key }).await.unwrap();
        socket.send(&question).unwrap();
        socket.recv(&mut answer).unwrap();
        assert_eq!(answer[3] & 0xf, 3, "NXDOMAIN in round {n}");
    }
}

#[tokio::test]
async fn replicas_follow_each_other() {
    let postgres = Postgres::start().await;
    let one = Server::start(&postgres).await;
    let other = Server::start(&postgres).await;
    let becomes = async |server: &Server, name: &str, addresses: &str| {
        let name = format!("{name}.inter.l2sm");
        eventually(&format!("{name} is {addresses}"), async || server.resolve(&name) == addresses)
            .await;
    };

    one.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    becomes(&other, "web.blue", "10.1.0.2").await;
    other.apply("web.a.blue.s1", &["10.1.0.3"]).await.unwrap();
    becomes(&one, "web.blue", "10.1.0.3").await;
    one.delete("web.a.blue.s1").await.unwrap();
    becomes(&other, "web.blue", "").await;
    let serial = |server: &Server| server.dig(&["inter.l2sces", "SOA"]).answer;
    assert_eq!(serial(&one), serial(&other));

    // Changes made while a replica hears nothing are found when it does again: not before they are
    // made, as it cannot connect.
    let mut superuser = postgres.connect_as_superuser().await;
    for statement in [
        "ALTER ROLE inter_domain_dns NOLOGIN",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'inter_domain_dns'",
        "INSERT INTO inter_domain_dns.records (slice, network, cluster, host, addresses)
         VALUES ('s1', 'blue', 'a', 'silent', '{10.1.0.7}')",
        "ALTER ROLE inter_domain_dns LOGIN",
    ] {
        sqlx::query(statement).execute(&mut superuser).await.unwrap();
    }
    becomes(&one, "silent.blue", "10.1.0.7").await;
    becomes(&other, "silent.blue", "10.1.0.7").await;
}

#[tokio::test]
async fn without_the_database_it_answers_what_it_knows() {
    let mut postgres = Postgres::start().await;
    let mut server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();

    postgres.stop();
    assert_eq!(server.resolve("web.blue.inter.l2sces"), "10.1.0.2");
    let refusal = server.apply("db.a.blue.s1", &["10.1.0.3"]).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unavailable);

    // Knowing nothing, it does not say that names do not exist: it says nothing.
    server.kill();
    server.spawn();
    let ask = |dns| Dig::ask(dns, &["web.blue.inter.l2sces", "+tries=1", "+timeout=1"]);
    for _ in 0..3 {
        assert!(ask(server.dns).is_none());
    }

    postgres.resume().await;
    eventually("the name is back", async || ask(server.dns).is_some()).await;
    assert_eq!(server.resolve("web.blue.inter.l2sces"), "10.1.0.2");
    eventually("changes are taken again", async || {
        tokio::net::TcpStream::connect(server.grpc).await.is_ok()
            && server.apply("db.a.blue.s1", &["10.1.0.3"]).await.is_ok()
    })
    .await;
    assert_eq!(server.resolve("db.blue.inter.l2sces"), "10.1.0.3");
}
