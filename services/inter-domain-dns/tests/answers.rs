//! What a client that no one here wrote makes of the answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use support::{postgres::Postgres, server::Server, with_aliases};

const SOA: &str = "5 IN SOA";

/// The status, the flags and the authority section of an answer without data.
fn assert_negative(server: &Server, arguments: &[&str], status: &str, zone: &str) {
    let answer = server.dig(arguments);
    assert_eq!((answer.status.as_str(), answer.flags.as_str()), (status, "qr aa"), "{answer:?}");
    assert!(answer.answer.is_empty(), "{answer:?}");
    let [authority] = &answer.authority[..] else { panic!("{answer:?}") };
    assert!(authority.starts_with(&format!("{zone} {SOA} ")), "{answer:?}");
}

fn assert_refused(server: &Server, arguments: &[&str]) {
    let answer = server.dig(arguments);
    assert_eq!((answer.status.as_str(), answer.flags.as_str()), ("REFUSED", "qr"), "{answer:?}");
    assert!(answer.answer.is_empty() && answer.authority.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn of_names_in_both_zones_over_both_protocols() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2", "fd00::2"]).await.unwrap();
    server.apply("web.b.blue.s1", &["10.1.0.3"]).await.unwrap();
    // Another tenant's network of the same name, with the same addresses.
    server.apply("web.a.blue.s2", &["10.1.0.2"]).await.unwrap();

    for zone in ["inter.l2sces", "inter.l2sm"] {
        for protocol in ["+notcp", "+tcp"] {
            for (name, kind, data) in [
                ("web.a.blue.s1", "A", &["10.1.0.2"][..]),
                ("web.a.blue.s1", "AAAA", &["fd00::2"]),
                ("web.b.blue.s1", "A", &["10.1.0.3"]),
                ("web.blue", "A", &["10.1.0.2", "10.1.0.3"]),
                ("web.blue", "AAAA", &["fd00::2"]),
                ("web.blue", "ANY", &["10.1.0.2", "10.1.0.3"]),
            ] {
                let answer = server.dig(&[&format!("{name}.{zone}"), kind, protocol]);
                assert_eq!((answer.status.as_str(), answer.flags.as_str()), ("NOERROR", "qr aa"));
                assert_eq!(answer.data(), data, "{answer:?}");
                let start = format!("{name}.{zone}. 5 IN ");
                assert!(answer.answer.iter().all(|a| a.starts_with(&start)), "{answer:?}");
                assert!(answer.authority.is_empty());
            }
            for (name, kind) in [
                ("web.b.blue.s1", "AAAA"),
                ("web.blue", "TXT"),
                ("web.blue", "HTTPS"),
                // Names that only have names below them.
                ("blue", "A"),
                ("s1", "A"),
                ("blue.s1", "A"),
                ("a.blue.s1", "AAAA"),
            ] {
                let (name, zone) = (format!("{name}.{zone}"), format!("{zone}."));
                assert_negative(&server, &[&name, kind, protocol], "NOERROR", &zone);
            }
            for name in ["web.red", "red", "db.a.blue.s1", "x.web.blue", "_x._tcp.web.blue", "*"] {
                let (name, zone) = (format!("{name}.{zone}"), format!("{zone}."));
                assert_negative(&server, &[&name, "A", protocol], "NXDOMAIN", &zone);
            }
        }
    }
}

#[tokio::test]
async fn of_aliases_together_with_the_hosts_of_that_name() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    let apply = async |name: &str, address: &str, aliases: &[&str]| {
        server.apply_record(with_aliases(name, &[address], aliases)).await.unwrap();
    };
    let assert_answers = |expected: &[(&str, &str)]| {
        for (name, addresses) in expected {
            for zone in ["inter.l2sces", "inter.l2sm"] {
                let name = format!("{name}.{zone}");
                assert_eq!(server.resolve(&name), *addresses, "{name}");
            }
        }
    };

    // Alone, and its own name stays.
    apply("web-1.a.blue.s1", "10.1.0.2", &["web"]).await;
    assert_answers(&[
        ("web-1.blue", "10.1.0.2"),
        ("web-1.a.blue.s1", "10.1.0.2"),
        ("web.blue", "10.1.0.2"),
        ("web.a.blue.s1", "10.1.0.2"),
        ("web.b.blue.s1", ""),
        ("web.red", ""),
    ]);
    // Shared by two in one cluster, by one in another, and with a host of that very name.
    apply("web-2.a.blue.s1", "10.1.0.3", &["web", "shop"]).await;
    apply("web-3.b.blue.s1", "10.1.0.4", &["web"]).await;
    apply("web.b.blue.s1", "10.1.0.5", &[]).await;
    assert_answers(&[
        ("web.blue", "10.1.0.2 10.1.0.3 10.1.0.5 10.1.0.4"),
        ("web.a.blue.s1", "10.1.0.2 10.1.0.3"),
        ("web.b.blue.s1", "10.1.0.5 10.1.0.4"),
        ("web-2.blue", "10.1.0.3"),
        ("shop.blue", "10.1.0.3"),
    ]);
    // An address has the name of its host only.
    assert_eq!(server.dig(&["-x", "10.1.0.2"]).data(), ["web-1.a.blue.s1.inter.l2sces."]);

    // Changed, one's own name as well, and taken away.
    apply("web-1.a.blue.s1", "10.1.0.2", &["store"]).await;
    apply("web-2.a.blue.s1", "10.1.0.3", &["web-2"]).await;
    apply("web-3.b.blue.s1", "10.1.0.4", &[]).await;
    assert_answers(&[
        ("store.blue", "10.1.0.2"),
        ("shop.blue", ""),
        ("web-2.blue", "10.1.0.3"),
        ("web-3.blue", "10.1.0.4"),
        ("web.blue", "10.1.0.5"),
        ("web.a.blue.s1", ""),
    ]);
    // Gone with its record.
    server.delete("web-1.a.blue.s1").await.unwrap();
    assert_negative(&server, &["store.blue.inter.l2sm", "A"], "NXDOMAIN", "inter.l2sm.");
    assert_answers(&[("web-2.blue", "10.1.0.3")]);
}

#[tokio::test]
async fn of_the_zones_themselves_and_of_what_is_not_served() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    let serial = || -> u32 {
        let soa = server.dig(&["inter.l2sces", "SOA"]);
        assert_eq!((soa.status.as_str(), soa.flags.as_str()), ("NOERROR", "qr aa"));
        let data: Vec<_> = soa.data()[0].split(' ').map(str::to_owned).collect();
        assert_eq!(data[..2], ["ns.inter.l2sces.", "hostmaster.inter.l2sces."]);
        assert_eq!(data[6], "5", "how long a negative answer holds");
        data[2].parse().unwrap()
    };

    // The serial grows with every change, and only then.
    let first = serial();
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    let second = serial();
    assert!(second > first);
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    assert_eq!(serial(), second);
    server.delete("web.a.blue.s1").await.unwrap();
    let third = serial();
    assert!(third > second);
    server.delete("web.a.blue.s1").await.unwrap();
    assert_eq!(serial(), third);

    let name_servers = server.dig(&["inter.l2sm", "NS"]);
    assert_eq!(name_servers.data(), ["ns.inter.l2sm."]);
    assert_eq!(server.resolve("ns.inter.l2sm"), server.dns.ip().to_string());
    assert_negative(&server, &["ns.inter.l2sm", "AAAA"], "NOERROR", "inter.l2sm.");
    assert_negative(&server, &["inter.l2sces", "A"], "NOERROR", "inter.l2sces.");

    for question in [
        &["example.org", "A"][..],
        &["l2sces", "SOA"],
        &[".", "NS"],
        &["xinter.l2sces", "A"],
        &["inter.l2sces", "IXFR=1", "+notcp"],
        &["-c", "CH", "version.bind", "TXT"],
        &["-x", "192.0.2.1"],
    ] {
        assert_refused(&server, question);
    }
    // dig prints a transfer another way.
    let transfer = std::process::Command::new("dig")
        .arg(format!("@{}", server.dns.ip()))
        .args(["-p", &server.dns.port().to_string(), "inter.l2sces", "AXFR"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&transfer.stdout).contains("Transfer failed"));
    for opcode in ["+opcode=status", "+opcode=notify", "+opcode=update", "+opcode=15"] {
        assert_eq!(server.dig(&["inter.l2sces", "SOA", opcode]).status, "NOTIMP", "{opcode}");
    }
}

#[tokio::test]
async fn of_reverse_names() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2", "fd00::2"]).await.unwrap();
    server.apply("web.a.blue.s2", &["10.1.0.2", "192.0.2.7"]).await.unwrap();

    let answer = server.dig(&["-x", "10.1.0.2"]);
    assert_eq!((answer.status.as_str(), answer.flags.as_str()), ("NOERROR", "qr aa"));
    let names = ["web.a.blue.s1.inter.l2sces.", "web.a.blue.s2.inter.l2sces."];
    assert_eq!(answer.data(), names);
    assert_eq!(server.dig(&["-x", "fd00::2"]).data(), names[..1]);
    assert_eq!(server.dig(&["-x", "192.0.2.7"]).data(), names[1..]);

    let zone = "10.in-addr.arpa.";
    assert_negative(&server, &["-x", "10.1.0.3"], "NXDOMAIN", zone);
    assert_negative(&server, &["0.1.10.in-addr.arpa", "PTR"], "NOERROR", zone);
    assert_negative(&server, &["2.0.1.10.in-addr.arpa", "A"], "NOERROR", zone);
    assert_negative(&server, &["-x", "fd00::3"], "NXDOMAIN", "d.f.ip6.arpa.");
    assert_refused(&server, &["-x", "192.0.2.8"]);

    // Gone with the records.
    server.delete("web.a.blue.s1").await.unwrap();
    assert_eq!(server.dig(&["-x", "10.1.0.2"]).data(), names[1..]);
    assert_negative(&server, &["-x", "fd00::2"], "NXDOMAIN", "d.f.ip6.arpa.");
    server.delete("web.a.blue.s2").await.unwrap();
    assert_negative(&server, &["-x", "10.1.0.2"], "NXDOMAIN", zone);
    assert_refused(&server, &["-x", "192.0.2.7"]);
}

#[tokio::test]
async fn in_the_details_of_the_protocol() {
    let postgres = Postgres::start().await;
    let server = Server::start_with(
        &postgres,
        &["--insecure-plaintext", "--ttl=30", "--name-server=dns.example.org"],
    )
    .await;
    for (name, network) in [("big.a.blue.s1", "10.1.0"), ("big.b.blue.s1", "10.1.1")] {
        let addresses: Vec<_> = (1..=64).map(|n| format!("{network}.{n}")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        server.apply(name, &addresses).await.unwrap();
    }

    // Upper and lower case come back as they went.
    let answer = server.dig(&["BiG.a.BLUE.s1.InTeR.l2SCES", "A", "+tcp"]);
    assert_eq!(answer.question, "BiG.a.BLUE.s1.InTeR.l2SCES. IN A");
    assert_eq!(answer.answer.len(), 64);
    assert!(answer.answer[0].starts_with("BiG.a.BLUE.s1.InTeR.l2SCES. 30 IN A "), "{answer:?}");

    // EDNS.
    let answer = server.dig(&["blue.inter.l2sces", "A", "+dnssec"]);
    assert!(answer.output.contains("; EDNS: version: 0, flags: do; udp: 1232"), "{answer:?}");
    let answer = server.dig(&["blue.inter.l2sces", "A", "+noedns"]);
    assert!(!answer.output.contains("EDNS"), "{answer:?}");
    let answer = server.dig(&["blue.inter.l2sces", "A", "+edns=1", "+noednsnegotiation"]);
    assert_eq!(answer.status, "BADVERS");

    // What does not fit is cut over UDP, and whole over TCP, where dig then goes by itself.
    for size in ["+bufsize=512", "+bufsize=1232", "+bufsize=4096", "+noedns"] {
        let answer = server.dig(&["big.blue.inter.l2sces", "A", "+ignore", size]);
        assert_eq!((answer.flags.as_str(), answer.answer.len()), ("qr aa tc", 0), "{answer:?}");
    }
    let whole = server.resolve("big.blue.inter.l2sces");
    assert_eq!(whole.split(' ').count(), 128, "{whole}");
    // In the order of the records and their addresses, every time.
    assert!(whole.starts_with("10.1.0.1 10.1.0.2 ") && whole.ends_with(" 10.1.1.64"), "{whole}");
    assert_eq!(server.resolve("big.blue.inter.l2sces"), whole);

    assert_eq!(server.dig(&["inter.l2sces", "NS"]).data(), ["dns.example.org."]);
}
