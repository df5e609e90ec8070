//! The interface as strangers meet it: bad input, garbage, foreign clients, foreign roles.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use integration_tests::{LIMIT, World, members_of, port_of, psql};
use l2sces_lab::{Unit, command, probe, wait};
use l2sces_proto::resource::v1::Metadata;
use l2sces_proto::slice::v1::{
    AttachPortRequest, CreateNetworkRequest, ListNetworksRequest, Network, NetworkSpec,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn network(name: &str, slice: &str, cidr: &str, clusters: &[&str]) -> CreateNetworkRequest {
    let spec = NetworkSpec {
        cidr: cidr.to_owned(),
        clusters: clusters.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let metadata = Some(Metadata { name: name.to_owned(), ..Default::default() });
    let network = Network { metadata, slice: slice.to_owned(), spec: Some(spec), status: None };
    CreateNetworkRequest { network: Some(network), ..Default::default() }
}

fn violated(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    violations.map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named_and_changes_nothing() -> Result<()> {
    let mut world = World::up().await?;
    members_of(&mut world, "blue").await?;
    // Names are registered, and clusters told of each other's ports, after these are ready: from then on
    // nothing moves.
    let rows = wait::holds("everybody is told of all ports", LIMIT, || async {
        let rows = world.lab.table_rows().await.map_err(|error| error.to_string())?;
        let of = |name: &str| -> Vec<i64> {
            rows.iter().filter(|table| table.table == name).map(|table| table.rows).collect()
        };
        // Each cluster by which gateways the network crosses, and of the two ports of the other.
        let told = (of("records"), of("exchange_item"));
        if told == (vec![4], vec![3, 3]) { Ok(rows) } else { Err(format!("{told:?}")) }
    })
    .await?;
    let cases = [
        (network("Blue", "s1", "10.1.0.0/24", &[]), Code::InvalidArgument, "network.metadata.name"),
        (network("", "s1", "10.1.0.0/24", &[]), Code::InvalidArgument, "network.metadata.name"),
        (network("x", "s1", "10.1.0.0", &[]), Code::InvalidArgument, "network.spec.cidr"),
        (network("x", "s1", "10.1.0.1/24", &[]), Code::InvalidArgument, "network.spec.cidr"),
        (network("x", "s1", "10.1.0.0/31", &[]), Code::InvalidArgument, "network.spec.cidr"),
        (network("x", "s1", "224.0.0.0/24", &[]), Code::InvalidArgument, "network.spec.cidr"),
        (network("x", "s1", "", &["c"]), Code::InvalidArgument, "network.spec.clusters[0]"),
        (network("x", "s1", "", &["a", "a"]), Code::InvalidArgument, "network.spec.clusters[1]"),
        (network("blue", "s1", "10.1.0.0/24", &[]), Code::AlreadyExists, ""),
        (network("x", "s2", "10.1.0.0/24", &[]), Code::NotFound, ""),
    ];
    for (request, code, field) in cases {
        let status = world.networks.create_network(request.clone()).await.map(drop);
        let status = status.err().with_context(|| format!("{request:?} was accepted"))?;
        ensure!(status.code() == code, "{request:?}: {status:?}");
        ensure!(field.is_empty() || violated(&status).contains(&field.to_owned()), "{status:?}");
    }
    let pod = world.lab.pod("a1", "bad").await?;
    let port = |edit: &dyn Fn(&mut l2sces_proto::slice::v1::Port)| {
        let mut port = port_of(&world.lab, "blue", &pod, None, "");
        edit(&mut port);
        AttachPortRequest { port: Some(port), ..Default::default() }
    };
    let cases = [
        (port(&|port| port.spec_mut().mac = "02:00".to_owned()), "port.spec.mac"),
        (port(&|port| port.spec_mut().mac = "01:00:5e:00:00:01".to_owned()), "port.spec.mac"),
        (port(&|port| port.spec_mut().mac = "02:00:00:00:00:0b".to_owned()), "port.spec.mac"),
        (port(&|port| port.spec_mut().address = "10.9.0.1".to_owned()), "port.spec.address"),
        (port(&|port| port.spec_mut().address = "10.1.0.255".to_owned()), "port.spec.address"),
        (port(&|port| port.spec_mut().address = "10.1.0.11".to_owned()), "port.spec.address"),
        (port(&|port| port.spec_mut().node = "a9".to_owned()), "port.spec.node"),
        (port(&|port| port.spec_mut().cluster = "c".to_owned()), "port.spec.cluster"),
        (port(&|port| port.spec_mut().attachment = None), "port.spec.attachment"),
    ];
    for (request, field) in cases {
        let status = world.networks.attach_port(request.clone()).await.map(drop);
        let status = status.err().with_context(|| format!("{request:?} was accepted"))?;
        let named = violated(&status);
        ensure!(
            matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists),
            "{request:?}: {status:?}"
        );
        ensure!(named.iter().any(|name| name.starts_with(field)), "{field}: {status:?}");
    }
    let huge = network(&"x".repeat(5 << 20), "s1", "", &[]);
    let status = world.networks.create_network(huge).await.map(drop).err();
    let status = status.context("a message of 5 MiB was accepted")?;
    let refusals = [Code::InvalidArgument, Code::ResourceExhausted, Code::OutOfRange];
    ensure!(refusals.contains(&status.code()), "{status:?}");
    let after = world.lab.table_rows().await?;
    ensure!(after == rows, "something was changed: {rows:?} before, {after:?} after");
    world.down().await
}

trait SpecMut {
    fn spec_mut(&mut self) -> &mut l2sces_proto::slice::v1::PortSpec;
}

impl SpecMut for l2sces_proto::slice::v1::Port {
    fn spec_mut(&mut self) -> &mut l2sces_proto::slice::v1::PortSpec {
        self.spec.get_or_insert_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_port_breaks_nothing() -> Result<()> {
    let mut world = World::up().await?;
    let blue = members_of(&mut world, "blue").await?;
    let layout = world.lab.layout().clone();
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for service in layout.services() {
        let endpoint = service.endpoint.trim_start_matches("https://");
        addresses.push(endpoint.parse().with_context(|| endpoint.to_owned())?);
    }
    addresses.push(SocketAddr::from((layout.control.address, 6654)));
    for cluster in &layout.clusters {
        addresses.push(SocketAddr::from((cluster.controller_address, 6653)));
    }
    addresses.push(layout.control.dns);
    let control = world.lab.control();
    for address in &addresses {
        for garbage in garbage() {
            let mut stream = control.connect(*address).await?;
            // The other side may close at any moment; that is what it should do.
            if stream.write_all(&garbage).await.is_ok() {
                let mut answer = [0; 64];
                let _ =
                    tokio::time::timeout(Duration::from_millis(20), stream.read(&mut answer)).await;
            }
        }
    }
    let socket = control.bind_udp(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    for garbage in garbage() {
        let length = garbage.len().min(1400);
        socket.send_to(&garbage[..length], layout.control.dns)?;
    }
    for service in layout.services() {
        let health = world.lab.health(&service.unit, LIMIT).await;
        ensure!(health.is_ok(), "{}: {health:?}", service.unit);
    }
    blue[0].reaches(&blue[3]).await?;
    let pod = world.lab.pod("b2", "after").await?;
    world.attach("blue", &pod, None, "").await?;
    world.port_ready("blue", "after").await?;
    wait::holds("the new name resolves", LIMIT, || async {
        let server = layout.control.dns;
        let answer = probe::resolve(&control, server, "after.blue.inter.l2sces", "A").await;
        match answer {
            Ok(answer) if answer.status == "NOERROR" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    world.down().await
}

/// Plain nonsense, and beginnings of real protocols that go wrong.
fn garbage() -> Vec<Vec<u8>> {
    let mut noise = 7_u32;
    let mut random = |length: usize| -> Vec<u8> {
        let mut byte = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        (0..length).map(|_| byte()).collect()
    };
    vec![
        vec![0],
        vec![0xff; 100],
        random(10_000),
        // HTTP/2's preface and a frame of the greatest length.
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 9]].concat(),
        // OpenFlow 1.3: a hello, then a flow-mod shorter than its header says.
        vec![4, 0, 0, 8, 0, 0, 0, 1, 4, 14, 0xff, 0xff, 0, 0, 0, 2, 0, 0],
        // A TLS record that claims to be a client hello.
        [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], &random(100)[..]].concat(),
        // DNS over TCP: a message said to be longer than it is.
        vec![0xff, 0xff, 0, 1, 0, 0, 0, 1],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_nobody_here_wrote_finds_its_way_by_reflection() -> Result<()> {
    let mut world = World::up().await?;
    world.create_network("blue", "10.1.0.0/24").await?;
    world.network_ready("blue").await?;
    let layout = world.lab.layout();
    let service = layout.service(&Unit::SliceManager)?;
    let admin = &layout.admin;
    let mut buf = world.lab.control().command("buf")?;
    buf.arg("curl").arg("--cacert").arg(&admin.ca).arg("--cert").arg(&admin.cert);
    buf.arg("--key").arg(&admin.key);
    buf.args(["--protocol", "grpc", "--data", r#"{"slice": "s1", "name": "blue"}"#]);
    buf.arg(format!("{}/l2sces.slice.v1.NetworkService/GetNetwork", service.endpoint));
    let answer: serde_json::Value = serde_json::from_str(&command::run(&mut buf).await?)?;
    ensure!(answer["network"]["spec"]["cidr"] == "10.1.0.0/24", "{answer:#}");
    world.down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_reads_no_other_role_s_tables_and_calls_no_other_role_s_service() -> Result<()> {
    let world = World::up().await?;
    let layout = world.lab.layout();
    for own in &layout.postgres.roles {
        for other in &layout.postgres.roles {
            let count =
                format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", other.name);
            let tables = format!(
                "SELECT format('SELECT count(*) FROM %I.%I', schemaname, tablename) \
                 FROM pg_tables WHERE schemaname = '{}' ORDER BY tablename LIMIT 1",
                other.name
            );
            ensure!(psql(&own.url, &count).await? != "0", "{} has no tables", other.name);
            let read = psql(&own.url, &psql(&own.url, &tables).await?).await;
            if own.name == other.name {
                ensure!(read.is_ok(), "{} reads its own: {read:?}", own.name);
            } else {
                let error = read.err().map(|error| error.to_string()).unwrap_or_default();
                ensure!(
                    error.contains("permission denied"),
                    "{} reads {}: {error:?}",
                    own.name,
                    other.name
                );
            }
        }
    }
    // An agent's certificate is good for the connection, and for nothing behind it.
    let agent = &layout.nodes().next().context("there are nodes")?.sps_agent.credentials;
    let service = layout.service(&Unit::SliceManager)?;
    let mut cli = world.lab.control().command(layout.binaries.join("l2sces"))?;
    cli.args(["--endpoint", &service.endpoint]).args(agent.flags()).args(["slice", "list"]);
    let output = command::output(&mut cli).await?;
    ensure!(!output.status.success(), "{output:?}");
    ensure!(output.stderr.to_lowercase().contains("role"), "{}", output.stderr);
    let mut networks = world.networks.clone();
    networks.list_networks(ListNetworksRequest::default()).await?;
    world.down().await
}
