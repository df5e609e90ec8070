//! Labs without our services: nodes with Open vSwitch, the networks between them, and Postgres.
//! Needs root and the packages of `l2sces_lab::packages::LAB`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::time::Duration;

use l2sces_lab::{
    Lab, LabOptions, Namespace, Topology, Unit,
    layout::Node,
    probe::{self, Frame, MulticastReceiver, Ping, Sniffer, scan_arp, send_frames, send_multicast},
    residue, wait,
};
use l2sces_model::MacAddress;
use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(20);

async fn lab(topology: &str) -> Lab {
    let options = LabOptions { services: false, ..LabOptions::default() };
    Lab::up(&topology.parse().unwrap(), options).await.unwrap()
}

fn namespace(lab: &Lab, node: &str) -> Namespace {
    Namespace::named(&lab.node(node).unwrap().namespace)
}

/// Two pods on one node, joined by a plain bridge of the node's Open vSwitch.
async fn two_pods(lab: &Lab) -> [Namespace; 2] {
    let node = lab.node("a1").unwrap();
    node.vsctl(["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"])
        .await
        .unwrap();
    let mut pods = Vec::new();
    for n in [1, 2] {
        let pod = lab.pod("a1", &format!("p{n}")).await.unwrap();
        let pod_name = pod.namespace().name();
        let line = format!("link add v{n} type veth peer name net1 netns {pod_name}\n");
        let host = namespace(lab, "a1");
        host.ip_batch(&format!("{line}link set v{n} up\n")).await.unwrap();
        let lines = format!(
            "link set net1 address 02:00:00:00:00:0{n} up\naddress add 10.1.0.{n}/24 dev net1\n"
        );
        pod.namespace().ip_batch(&lines).await.unwrap();
        // The userspace datapath does not fill in the checksums that the kernel leaves to a NIC.
        pod.run(["ethtool", "-K", "net1", "tx", "off"]).await.unwrap();
        node.vsctl(["add-port", "br0", &format!("v{n}")]).await.unwrap();
        pods.push(pod.namespace().clone());
    }
    pods.try_into().unwrap()
}

/// A node gets one answer from an address, or none.
async fn reaches_if(is_wanted: bool, from: &Node, to: std::net::Ipv4Addr) {
    let namespace = Namespace::named(&from.namespace);
    if is_wanted {
        answers_perfectly(&namespace, to, 1).await;
    } else {
        let ping = Ping { patience: Duration::from_millis(300), ..Ping::new(to, 1) };
        let report = ping.run(&namespace).await.unwrap();
        assert_eq!(report.received, 0, "{} reaches {to}", from.name);
    }
}

/// Waits until an address answers every one of some pings, and no one twice.
async fn answers_perfectly(from: &Namespace, to: std::net::Ipv4Addr, count: u32) {
    wait::holds(&format!("{} reaches {to}", from.name()), PATIENCE, || async {
        let report = Ping::new(to, count).run(from).await.unwrap();
        assert_eq!(report.duplicates, 0, "{report:?}");
        if report.is_perfect() { Ok(()) } else { Err(format!("{report:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reach_their_cluster_and_gateways_the_wan() {
    let lab = lab("a=a1*,a2 b=b1*,b2").await;
    let layout = lab.layout();
    for from in layout.nodes() {
        for to in layout.nodes() {
            let is_wanted = from.cluster == to.cluster;
            reaches_if(is_wanted, from, to.underlay_address).await;
            let Some(gateway) = &to.gateway else { continue };
            reaches_if(from.gateway.is_some(), from, gateway.wan_address).await;
        }
        reaches_if(true, from, layout.control.address).await;
    }
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_switch_comes_back_with_its_addresses() {
    let lab = lab("a=a1,a2").await;
    let unit = Unit::OvsVswitchd("a1".to_owned());
    let before = lab.pid(&unit).unwrap();
    lab.kill(&unit).await.unwrap();
    assert_eq!(lab.pid(&unit), None);
    assert!(!std::path::Path::new(&format!("/proc/{before}")).exists(), "it is reaped");
    lab.start(&unit).await.unwrap();
    assert_ne!(lab.pid(&unit), Some(before));
    let address = lab.node("a1").unwrap().underlay_address;
    // What is sent before it is back is lost, and not to be waited for.
    let ping = Ping { patience: Duration::from_secs(2), ..Ping::new(address, 1) };
    wait::until("a1 answers again", PATIENCE, || async {
        let report = ping.run(&namespace(&lab, "a2")).await.unwrap();
        report.is_perfect().then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_comes_back_with_what_was_committed() {
    let lab = lab("a=a1").await;
    let url = lab.layout().role(&Unit::SliceManager).unwrap().url.clone();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (n int)").execute(&mut connection).await.unwrap();
    lab.kill(&Unit::Postgres).await.unwrap();
    lab.start(&Unit::Postgres).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("INSERT INTO kept VALUES (1)").execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_reads_and_writes_its_own_schema_only() {
    let lab = lab("a=a1").await;
    let url = |unit| lab.layout().role(&unit).unwrap().url.clone();
    let mut owner = PgConnection::connect(&url(Unit::SliceManager)).await.unwrap();
    sqlx::raw_sql("CREATE TABLE secrets (n int); INSERT INTO secrets VALUES (1), (2)")
        .execute(&mut owner)
        .await
        .unwrap();
    let rows = lab.table_rows().await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].schema.as_str(), rows[0].rows), ("slice_manager", 2));
    let others = [Unit::ScoProvider, Unit::InterDomainDns, Unit::SdnController("a".to_owned())];
    for unit in others {
        let mut other = PgConnection::connect(&url(unit.clone())).await.unwrap();
        for statement in [
            "SELECT * FROM slice_manager.secrets",
            "CREATE TABLE public.mine (n int)",
            "CREATE TABLE slice_manager.mine (n int)",
        ] {
            let error = sqlx::raw_sql(statement).execute(&mut other).await.unwrap_err();
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{unit}: {statement}: insufficient_privilege");
        }
    }
    let wrong =
        url(Unit::SliceManager).replace("postgres://slice_manager:", "postgres://slice_manager:x");
    assert!(PgConnection::connect(&wrong).await.is_err(), "a password is wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_at_once_know_nothing_of_each_other_and_leave_nothing() {
    let (first, second) = tokio::join!(lab("a=a1"), lab("a=a1"));
    let ids = [&first, &second].map(|lab| lab.layout().id.clone());
    assert_ne!(ids[0], ids[1]);
    first.pod("a1", "p").await.unwrap();
    second.pod("a1", "p").await.unwrap();
    let pod = first.pods()[0].clone();
    // Something that a person left running in a pod goes with the lab.
    let mut left = pod.namespace().command("sleep").unwrap().arg("1000").spawn().unwrap();
    let pids: Vec<_> =
        first.processes().into_iter().filter_map(|process| process.identity).collect();
    assert_eq!(pids.len(), 3, "ovsdb-server, ovs-vswitchd, postgres");

    first.down().await.unwrap();
    assert_eq!(residue(&ids[0]), Vec::<String>::new());
    assert!(!pids.iter().any(|process| process.is_alive()));
    assert!(!left.wait().await.unwrap().success());
    // The second lab lives on.
    answers_perfectly(&namespace(&second, "a1"), second.layout().control.address, 1).await;
    assert!(!residue(&ids[1]).is_empty(), "what is there is seen");

    drop(second);
    assert_eq!(residue(&ids[1]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_cannot_be_made_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("lab.json");
    let options = LabOptions {
        binaries: Some(directory.path().to_owned()),
        link: Some(link.clone()),
        ..LabOptions::default()
    };
    let Err(error) = Lab::up(&Topology::two_clusters(), options).await else {
        panic!("there are no binaries")
    };
    assert!(error.to_string().contains("build it first"), "{error}");
    assert!(!link.is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_lab_is_found_again_by_its_record() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("lab.json");
    let options = || LabOptions {
        services: false,
        detached: true,
        link: Some(link.clone()),
        ..LabOptions::default()
    };
    let lab = Lab::up(&"a=a1".parse().unwrap(), options()).await.unwrap();
    let id = lab.layout().id.clone();
    lab.pod("a1", "p").await.unwrap();
    drop(lab);
    let again = Lab::up(&"a=a1".parse().unwrap(), options()).await;
    assert!(again.is_err(), "one lab has one record");

    let lab = Lab::open(&link).unwrap();
    assert_eq!(lab.layout().id, id);
    assert!(lab.pid(&Unit::Postgres).is_some());
    let pods = lab.pods();
    assert!(pods[0].exec(["true"]).await.unwrap().status.success());
    lab.down().await.unwrap();
    assert!(!link.is_symlink());
    assert!(Lab::open(&link).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_see_what_there_is_and_nothing_else() {
    let lab = lab("a=a1").await;
    let pods = two_pods(&lab).await;
    let [first, second] = &pods;
    let addresses = [1, 2].map(|n| std::net::Ipv4Addr::new(10, 1, 0, n));
    let [mac, peer] = [1, 2].map(|n| MacAddress::new([2, 0, 0, 0, 0, n]));

    answers_perfectly(first, addresses[1], 3).await;
    let absent = Ping { patience: Duration::from_millis(200), ..Ping::new([10, 1, 0, 9], 1) };
    assert_eq!(absent.run(first).await.unwrap().received, 0);
    wait::holds("the other pod answers a broadcast", PATIENCE, || async {
        let broadcast = Ping::new([10, 1, 0, 255], 3).run(first).await.unwrap();
        let is_own = |host: &std::net::IpAddr| addresses.iter().any(|own| host == own);
        assert!(broadcast.responders.iter().all(is_own), "{broadcast:?}");
        let is_answered = broadcast.responders.contains(&addresses[1].into());
        if is_answered { Ok(()) } else { Err(format!("{broadcast:?}")) }
    })
    .await
    .unwrap();
    let limit = Duration::from_millis(500);
    let no_reply = probe::first_reply(first, "net1", [10, 1, 0, 9].into(), limit / 50, limit).await;
    assert!(no_reply.is_err());
    let start = std::time::Instant::now();
    let reply =
        probe::first_reply(first, "net1", addresses[1], limit / 50, PATIENCE).await.unwrap();
    assert!(reply >= start);
    let mut running = Ping::new(addresses[1], 1).start(first).unwrap();
    running.next_reply(PATIENCE).await.unwrap();
    let report = running.stop().await.unwrap();
    assert!(report.received > 0, "{report:?}");

    // nmap asks twice, and does not wait for long.
    wait::holds("the scan finds the other pod", PATIENCE, || async {
        let hosts = scan_arp(first, "net1", "10.1.0.0/28").await.unwrap();
        let found: Vec<_> = hosts.iter().map(|host| (host.address, host.mac)).collect();
        let wanted = (std::net::IpAddr::from(addresses[1]), peer);
        assert!(found.iter().all(|host| *host == wanted), "{found:?}");
        if found == [wanted] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap();

    let (seen_mark, other_mark) = (probe::marker(), probe::marker());
    let sniffer = Sniffer::for_marker(second, Some("net1"), seen_mark).unwrap();
    let deaf = Sniffer::for_marker(second, Some("net1"), other_mark).unwrap();
    let own = Sniffer::for_marker(first, Some("net1"), seen_mark).unwrap();
    let plain = Frame::marked(mac, peer, &seen_mark);
    let frames = [
        plain.clone(),
        plain.tagged(5),
        Frame::arp_request(mac, addresses[0], addresses[1], &seen_mark),
    ];
    send_frames(first, "net1", &frames, 10).unwrap();
    sniffer.wait_for(30, PATIENCE).await.unwrap();
    assert_eq!((sniffer.count(), deaf.count(), own.count()), (30, 0, 0));

    let group = (std::net::Ipv4Addr::new(239, 94, 1, 1), 5000);
    let member =
        MulticastReceiver::join(second, addresses[1], group.0, group.1, seen_mark).unwrap();
    let interval = Duration::from_millis(2);
    send_multicast(first, addresses[0], group, seen_mark, 20, interval).await.unwrap();
    member.wait_for(20, PATIENCE).await.unwrap();
    assert_eq!(member.count(), 20);

    let node = lab.node("a1").unwrap();
    assert_eq!(node.bridges().await.unwrap(), ["br0"]);
    assert_eq!(node.ports("br0").await.unwrap(), ["v1", "v2"]);
    assert_eq!(node.veths().await.unwrap(), ["v1", "v2"]);
    assert_eq!(node.flows("br0").await.unwrap().len(), 1, "the one of a standalone bridge");
    let counters = node.counters("br0").await.unwrap();
    assert!(counters["v2"].sent >= 30 && counters["v1"].received >= 30, "{counters:?}");
}
