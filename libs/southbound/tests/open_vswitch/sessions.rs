//! Sessions with a real switch that connects to us.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use l2sces_model::DatapathId;
use l2sces_openflow::{
    Action, Flow, FlowKey, GroupId, Instruction, Match, PacketInReason, Role, RoleState,
    SessionError, port,
};
use l2sces_southbound::{
    Change, CloseReason, ListenArgs, Listener, RequestError, SessionConfig, SwitchConnection,
    SwitchEvent, connect_unix,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{OpenVswitch, PATIENCE, event, eventually, in_namespace, listener};

/// `OFPP_TABLE`: through the flow tables.
const TABLE: u32 = 0xffff_fff9;

fn to(action: Action, matching: Match) -> Flow {
    Flow {
        key: FlowKey { table: 0, priority: 1, matching },
        cookie: 5,
        idle_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![action])],
    }
}

async fn accept(listener: &mut Listener) -> SwitchConnection {
    timeout(PATIENCE, listener.accept()).await.expect("the switch connects")
}

#[test]
fn a_switch_that_connects_tells_who_it_is_and_every_change_of_its_ports() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        ovs.add_port("p1", 1);
        let mut listener = listener().await;
        ovs.set_controller(&format!("tcp:{}", listener.local_address()));
        let mut switch = accept(&mut listener).await;

        assert_eq!(switch.datapath_id, DatapathId::try_from(0x2a).unwrap());
        assert!(switch.peer.is_some_and(|peer| peer.ip().is_loopback()));
        assert_eq!(switch.peer_certificate, None);
        let ports: BTreeSet<_> = switch.ports.iter().map(|it| (it.number, &*it.name)).collect();
        assert_eq!(ports, BTreeSet::from([(1, "p1"), (port::LOCAL, "br0")]));

        ovs.add_port("p2", 2);
        let added = event(&mut switch, |event| match event {
            SwitchEvent::PortChanged { description, removed: false } => Some(description),
            _ => None,
        });
        let added = added.await;
        assert_eq!((added.number, added.name.as_str()), (2, "p2"));
        assert_eq!(switch.handle.read_ports().await.unwrap().len(), 3);

        ovs.vsctl("del-port p2");
        let removed = event(&mut switch, |event| match event {
            SwitchEvent::PortChanged { description, removed: true } => Some(description),
            _ => None,
        });
        assert_eq!(removed.await.number, 2);

        let counters = switch.handle.port_stats(Some(1)).await.unwrap();
        assert_eq!(counters.iter().map(|it| it.number).collect::<Vec<_>>(), [1]);
        assert_eq!(switch.handle.port_stats(Some(77)).await, Ok(vec![]));
        let description = switch.handle.description().await.unwrap();
        assert_eq!(description.hardware, "Open vSwitch");
    });
}

#[test]
fn a_refusal_names_the_change_it_is_of() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let good = |port| Change::AddFlow(to(Action::Output(1), Match::any().in_port(port)));
        let bad = Change::AddFlow(to(Action::Group(GroupId(99)), Match::any()));
        // More than one chunk, so that places are counted across them.
        let mut changes: Vec<_> = (1..=5000).map(good).collect();
        changes[0] = bad.clone();
        changes[3000] = bad;

        let applied = switch.handle.apply(changes).await.unwrap();
        let errors: Vec<_> =
            applied.errors.iter().map(|(index, error)| (*index, error.to_string())).collect();
        let error = "BAD_ACTION: BAD_OUT_GROUP".to_owned();
        assert_eq!(errors, [(0, error.clone()), (3000, error)]);
        assert_eq!(switch.handle.read_flows().await.unwrap().len(), 4998);
    });
}

#[test]
fn a_change_that_no_message_can_hold_is_refused_here() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let huge = to(Action::Output(1), Match::any());
        let actions = vec![Action::Output(1); 5000];
        let huge = Flow { instructions: vec![Instruction::ApplyActions(actions)], ..huge };
        let fine = to(Action::Output(1), Match::any().in_port(1));
        let changes = vec![Change::AddFlow(huge), Change::AddFlow(fine.clone())];
        let applied = switch.handle.apply(changes).await.unwrap();
        assert_eq!(applied.errors.len(), 1);
        assert_eq!(applied.errors[0].0, 0);
        assert_eq!(applied.errors[0].1.to_string(), "BAD_REQUEST: BAD_LEN");
        assert_eq!(switch.handle.read_flows().await.unwrap(), [fine]);
    });
}

#[test]
fn a_hundred_thousand_flows_are_written_read_and_deleted() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let flows: Vec<_> = (0..100_000)
            .map(|number| to(Action::Output(1), Match::any().metadata(number, u64::MAX)))
            .collect();
        let additions = flows.iter().cloned().map(Change::AddFlow).collect();
        assert_eq!(switch.handle.apply(additions).await.unwrap().errors, []);

        let mut installed = switch.handle.read_flows().await.unwrap();
        installed.sort_by(|a, b| a.key.cmp(&b.key));
        assert!(installed == flows, "{} flows read back", installed.len());

        let deletions = flows.into_iter().map(|flow| Change::DeleteFlow(flow.key)).collect();
        assert_eq!(switch.handle.apply(deletions).await.unwrap().errors, []);
        assert_eq!(switch.handle.read_flows().await.unwrap(), []);
    });
}

#[test]
fn a_frame_goes_out_and_comes_in_again() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        ovs.add_port("p1", 1);
        let mut switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let flow = to(Action::Controller, Match::any().in_port(1));
        let changes = vec![Change::AddFlow(flow)];
        assert_eq!(switch.handle.apply(changes).await.unwrap().errors, []);

        let frame: Vec<u8> = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]
            .into_iter()
            .chain((0..=255).cycle().take(1400))
            .collect();
        let actions = vec![Action::Output(TABLE)];
        switch.handle.packet_out(1, actions, frame.clone()).await.unwrap();
        let packet = event(&mut switch, |event| match event {
            SwitchEvent::PacketIn(packet) => Some(packet),
            _ => None,
        });
        let packet = packet.await;
        assert_eq!(packet.data, frame);
        assert_eq!(packet.in_port(), Some(1));
        assert_eq!(packet.cookie, 5);
        assert_eq!(packet.reason, PacketInReason::Action);

        let refused = vec![Action::Group(GroupId(99))];
        switch.handle.packet_out(1, refused, frame).await.unwrap();
        let error = event(&mut switch, |event| match event {
            SwitchEvent::Error(error) => Some(error.to_string()),
            _ => None,
        });
        assert_eq!(error.await, "BAD_ACTION: BAD_OUT_GROUP");
    });
}

#[test]
fn a_stale_election_is_refused() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        let master = RoleState { role: Role::Master, generation: 8 };
        assert_eq!(switch.handle.request_role(master).await, Ok(master));
        let stale = RoleState { generation: 7, ..master };
        let refused = switch.handle.request_role(stale).await;
        let Err(RequestError::Refused(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.to_string(), "ROLE_REQUEST_FAILED: STALE");
    });
}

#[test]
fn garbage_on_the_listener_disturbs_nobody() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let mut listener = listener().await;
        let address = listener.local_address();
        ovs.set_controller(&format!("tcp:{address}"));
        let switch = accept(&mut listener).await;
        let handle = switch.handle.clone();
        let accepting = async {
            let other = listener.accept().await;
            panic!("accepted {other:?}");
        };

        let disturbing = async {
            let hello = [4, 0, 0, 8, 0, 0, 0, 1];
            let features = [4, 6, 0, 32, 0, 0, 0, 2];
            let cases: [&[u8]; 6] = [
                b"GET / HTTP/1.1\r\n\r\n",
                &[0; 4096],
                &[0xff; 4096],
                // A header that is shorter than itself.
                &[4, 0, 0, 7, 0, 0, 0, 0],
                // OpenFlow 1.0 only.
                &[1, 0, 0, 8, 0, 0, 0, 1],
                // A switch without a name.
                &[&hello[..], &features, &[0; 24]].concat(),
            ];
            for bytes in cases {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                let mut rest = Vec::new();
                // Closed on the other side, by a reset if it has not read everything.
                let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed");
                assert!(handle.read_flows().await.is_ok());
            }
        };
        tokio::select! {
            () = accepting => {}
            () = disturbing => {}
        }
        assert!(switch.handle.read_groups().await.is_ok());
    });
}

#[test]
fn many_silent_connections_keep_no_switch_out_for_long() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let args = ListenArgs {
            handshakes: 4,
            handshake_timeout: Duration::from_millis(200),
            ..ListenArgs::new(([127, 0, 0, 1], 0).into(), None)
        };
        let mut listener = Listener::bind(args).await.unwrap();
        let address = listener.local_address();
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        ovs.set_controller(&format!("tcp:{address}"));
        accept(&mut listener).await;
    });
}

#[test]
fn a_switch_comes_back_after_its_connection_is_cut_and_after_it_died() {
    in_namespace(|| async {
        let mut ovs = OpenVswitch::start().await;
        let mut listener = listener().await;
        ovs.set_controller(&format!("tcp:{}", listener.local_address()));
        let mut first = accept(&mut listener).await;
        let flow = to(Action::Output(1), Match::any().in_port(7));
        let changes = vec![Change::AddFlow(flow.clone())];
        assert_eq!(first.handle.apply(changes).await.unwrap().errors, []);

        first.handle.close();
        let mut second = accept(&mut listener).await;
        let reason = event(&mut first, |event| match event {
            SwitchEvent::Closed(reason) => Some(reason),
            _ => None,
        });
        assert!(matches!(reason.await, CloseReason::Local));
        assert!(first.events.recv().await.is_none());
        assert_eq!(first.handle.read_flows().await, Err(RequestError::Closed));
        assert_eq!(second.datapath_id, first.datapath_id);
        assert_eq!(second.handle.read_flows().await, Ok(vec![flow]));

        ovs.restart().await;
        event(&mut second, |event| matches!(event, SwitchEvent::Closed(_)).then_some(())).await;
        let third = accept(&mut listener).await;
        assert_eq!(third.handle.read_flows().await, Ok(vec![]));
    });
}

/// Forwards every connection until it is stopped. Then they stay open, and nobody reads them.
async fn forward(relay: TcpListener, upstream: SocketAddr, stop: CancellationToken) {
    loop {
        let (mut inner, _) = relay.accept().await.unwrap();
        let mut outer = TcpStream::connect(upstream).await.unwrap();
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut inner, &mut outer) => {}
                () = stop.cancelled() => std::future::pending::<()>().await,
            }
        });
    }
}

#[test]
fn a_switch_that_falls_silent_counts_as_dead() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        // The switch's bytes come through a relay, which can stop without closing.
        let relay = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let session = SessionConfig {
            echo_interval: Duration::from_secs(2),
            echo_misses: 6,
            ..SessionConfig::default()
        };
        let args = ListenArgs { session, ..ListenArgs::new(([127, 0, 0, 1], 0).into(), None) };
        let mut listener = Listener::bind(args).await.unwrap();
        ovs.set_controller(&format!("tcp:{}", relay.local_addr().unwrap()));
        let stop = CancellationToken::new();
        tokio::spawn(forward(relay, listener.local_address(), stop.clone()));
        let mut switch = accept(&mut listener).await;

        // While it answers echo requests, it lives on: for longer than a silent one.
        let start = Instant::now();
        let while_alive = (session.echo_misses + 2) * session.echo_interval;
        eventually("time passes", || async { start.elapsed() > while_alive }).await;
        assert!(switch.handle.read_flows().await.is_ok());

        stop.cancel();
        let reason = event(&mut switch, |event| match event {
            SwitchEvent::Closed(reason) => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        assert!(matches!(reason, CloseReason::Session(SessionError::Dead(_))), "{reason}");
    });
}
