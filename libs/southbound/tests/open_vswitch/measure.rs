//! Sessions, modifications, errors and frames are counted.

use std::collections::BTreeMap;

use l2sces_openflow::{
    Action, Change, Flow, FlowKey, Group, GroupId, GroupKind, Instruction, Match,
};
use l2sces_southbound::SwitchEvent;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{OpenVswitch, event, eventually, in_namespace, listener};

/// What is measured, by name and labels.
fn measured(handle: &PrometheusHandle) -> BTreeMap<String, f64> {
    let text = handle.render();
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn flow(action: Action, in_port: u32) -> Flow {
    let key = FlowKey { table: 0, priority: 1, matching: Match::any().in_port(in_port) };
    let instructions = vec![Instruction::ApplyActions(vec![action])];
    Flow { key, cookie: 5, idle_timeout: 0, instructions }
}

#[test]
fn what_goes_over_a_session_is_counted() {
    in_namespace(|| async {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // The test and all that it does are on one thread.
        let _measuring = metrics::set_default_local_recorder(&recorder);
        let value = |name: &str| measured(&handle).get(name).copied();
        let sessions = || value("l2sces_openflow_sessions");
        let handshakes = |outcome: &str| {
            value(&format!("l2sces_openflow_handshakes_total{{outcome=\"{outcome}\"}}"))
        };

        let ovs = OpenVswitch::start().await;
        ovs.add_port("p1", 1);
        let mut listener = listener().await;
        let address = listener.local_address();
        // One that is no switch, and then one.
        let mut stranger = TcpStream::connect(address).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        tokio::select! {
            switch = listener.accept() => panic!("accepted {switch:?}"),
            () = eventually("it is refused", || async { handshakes("failed") == Some(1.0) }) => {}
        }
        assert_eq!(handshakes("done"), Some(0.0));
        ovs.set_controller(&format!("tcp:{address}"));
        let mut switch = listener.accept().await;
        assert_eq!(sessions(), Some(1.0));
        assert_eq!(handshakes("done"), Some(1.0));

        let to_controller = flow(Action::Controller, 1);
        let changes = vec![
            Change::PutGroup(Group { id: GroupId(1), kind: GroupKind::All, buckets: vec![] }),
            Change::AddFlow(to_controller.clone()),
            Change::AddFlow(flow(Action::Group(GroupId(9)), 2)),
            Change::DeleteGroup(GroupId(1)),
        ];
        let applied = switch.handle.apply(changes).await.unwrap();
        assert_eq!(applied.errors.len(), 1, "there is no group 9");
        let frame = [0x02; 60].to_vec();
        switch
            .handle
            .packet_out(1, vec![Action::Output(l2sces_openflow::port::TABLE)], frame)
            .await
            .unwrap();
        event(&mut switch, |event| matches!(event, SwitchEvent::PacketIn(_)).then_some(())).await;
        switch.handle.apply(vec![Change::DeleteFlow(to_controller.key)]).await.unwrap();
        for (name, expected) in [
            ("l2sces_openflow_flow_mods_total{command=\"add\"}", 2.0),
            ("l2sces_openflow_flow_mods_total{command=\"delete\"}", 1.0),
            ("l2sces_openflow_group_mods_total{command=\"add\"}", 1.0),
            ("l2sces_openflow_group_mods_total{command=\"delete\"}", 1.0),
            ("l2sces_openflow_errors_total{type=\"BAD_ACTION\"}", 1.0),
            ("l2sces_openflow_packet_ins_total{reason=\"action\"}", 1.0),
            ("l2sces_openflow_barrier_duration_seconds_count", 2.0),
        ] {
            assert_eq!(value(name), Some(expected), "{name}: {:?}", measured(&handle));
        }

        switch.handle.close();
        eventually("the session has ended", || async { sessions() == Some(0.0) }).await;
    });
}
