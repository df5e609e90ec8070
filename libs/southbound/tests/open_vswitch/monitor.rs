//! Changes of flows by others, told by a real switch.

use l2sces_openflow::{Action, Flow, FlowKey, GroupId, Instruction, Match};
use l2sces_southbound::{
    Applied, Change, SessionConfig, SwitchConnection, SwitchEvent, connect_unix,
};

use crate::support::{OpenVswitch, event, in_namespace};

fn flow(number: u64) -> Flow {
    Flow {
        key: FlowKey { table: 3, priority: 1, matching: Match::any().metadata(number, u64::MAX) },
        cookie: 0,
        idle_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![Action::Output(1)])],
    }
}

/// Whether the switch has told of changes by others before it answered a question asked now.
async fn has_told(switch: &mut SwitchConnection) -> bool {
    switch.handle.read_groups().await.unwrap();
    let mut told = false;
    while let Ok(event) = switch.events.try_recv() {
        told |= matches!(event, SwitchEvent::FlowsChanged);
    }
    told
}

#[test]
fn the_changes_of_others_are_told_and_our_own_are_not() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let mut switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        ovs.ofctl("add-flow", "table=0,actions=drop");
        assert!(!has_told(&mut switch).await, "nobody asked to be told");
        switch.handle.monitor_flows().await.unwrap();
        assert!(!has_told(&mut switch).await, "what is there at first is no change");

        let group = "group_id=7,type=all,bucket=output:1";
        ovs.ofctl("add-group", group);
        let own = (0..5_000).map(flow).map(Change::AddFlow).collect();
        assert_eq!(switch.handle.apply(own).await, Ok(Applied::default()));
        let own = (0..4_000).map(|number| Change::DeleteFlow(flow(number).key)).collect();
        assert_eq!(switch.handle.apply(own).await, Ok(Applied::default()));
        assert!(!has_told(&mut switch).await, "these are our own");

        let foreign = [
            ("add-flow", "table=9,priority=3,actions=group:7"),
            ("mod-flows", "table=9,actions=output:2"),
            ("del-flows", "table=3,metadata=4500"),
            ("del-flows", "table=9"),
        ];
        for (command, what) in foreign {
            ovs.ofctl(command, what);
            event(&mut switch, |event| matches!(event, SwitchEvent::FlowsChanged).then_some(()))
                .await;
        }

        // Nothing is told until it is asked for again.
        switch.handle.cancel_monitor().await.unwrap();
        assert!(switch.handle.cancel_monitor().await.is_err(), "there is none any more");
        ovs.ofctl("add-flow", "table=9,priority=3,actions=group:7");
        assert!(!has_told(&mut switch).await);
        switch.handle.monitor_flows().await.unwrap();
        ovs.ofctl("del-flows", "table=9");
        event(&mut switch, |event| matches!(event, SwitchEvent::FlowsChanged).then_some(())).await;

        // A group that takes a flow with it counts as a change by others, whoever deletes it.
        let user = Flow {
            instructions: vec![Instruction::ApplyActions(vec![Action::Group(GroupId(7))])],
            ..flow(1)
        };
        let own = vec![Change::AddFlow(user), Change::DeleteGroup(GroupId(7))];
        assert_eq!(switch.handle.apply(own).await, Ok(Applied::default()));
        event(&mut switch, |event| matches!(event, SwitchEvent::FlowsChanged).then_some(())).await;
    });
}
