//! The bridge itself: controllers, tunnels, trunk, removal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/agent.rs"]
mod agent;
mod support;

use std::{net::UdpSocket, sync::Arc};

use futures::StreamExt as _;
use l2sces_proto::switch::v1::{
    self as api, ApplySwitchRequest, DeleteSwitchRequest, GetSwitchRequest, WatchSwitchRequest,
    switch_service_server::SwitchService as _,
};
use l2sces_switch_agent::{Agent, AgentConfig, AgentKind, SwitchApi, TlsFiles};
use support::{Node, PATIENCE, run, switch};
use tonic::{Code, Request, Status};

async fn agent_with(node: &Node, kind: AgentKind, tls: Option<TlsFiles>) -> SwitchApi {
    agent::start(AgentConfig { tls, ..agent::config(node, kind) }).await
}

async fn agent(node: &Node, kind: AgentKind) -> SwitchApi {
    agent_with(node, kind, None).await
}

async fn apply(agent: &SwitchApi, switch: &api::Switch) -> Result<api::SwitchState, Status> {
    let request = ApplySwitchRequest { switch: Some(switch.clone()) };
    let response = agent.apply_switch(Request::new(request)).await?;
    Ok(response.into_inner().state.unwrap())
}

async fn get(agent: &SwitchApi) -> Option<api::SwitchState> {
    agent.get_switch(Request::new(GetSwitchRequest {})).await.unwrap().into_inner().state
}

async fn delete(agent: &SwitchApi) {
    agent.delete_switch(Request::new(DeleteSwitchRequest {})).await.unwrap();
}

type SwitchWatch = <SwitchApi as api::switch_service_server::SwitchService>::WatchSwitchStream;

async fn watch(agent: &SwitchApi) -> SwitchWatch {
    agent.watch_switch(Request::new(WatchSwitchRequest {})).await.unwrap().into_inner()
}

async fn report(watch: &mut SwitchWatch) -> Option<api::SwitchState> {
    let report = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    report.unwrap().unwrap().state
}

fn link(number: u8) -> api::TunnelLink {
    api::TunnelLink {
        interface_name: format!("l2v-{number}"),
        remote_address: format!("10.9.0.{number}"),
        local_address: "10.9.0.1".to_owned(),
        udp_port: 7000,
        bfd_interval_ms: 200,
    }
}

#[test]
fn a_bridge_is_made_as_described_and_found_again() {
    let node = Node::start();
    node.block_on(async {
        let sps = agent(&node, AgentKind::Sps).await;
        assert_eq!(get(&sps).await, None);
        let mut wanted = switch();
        wanted.links = vec![link(2), link(3)];
        let state = apply(&sps, &wanted).await.unwrap();
        assert_eq!((state.datapath_id, state.controller_connected), (42, false));
        assert_eq!(state.ovs_version, "3.1.0");
        assert_eq!(state.links.len(), 2);
        for link in &state.links {
            assert!(link.ofport > 0 && link.error.is_empty(), "{link:?}");
        }
        assert_eq!(node.column("Bridge", "br-sps", "datapath_id"), "000000000000002a");
        assert_eq!(node.column("Bridge", "br-sps", "datapath_type"), "netdev");
        assert_eq!(node.column("Bridge", "br-sps", "fail_mode"), "secure");
        assert_eq!(node.column("Bridge", "br-sps", "protocols"), "[OpenFlow13]");
        assert_eq!(node.vsctl(["get-controller", "br-sps"]), "tcp:127.0.0.1:6653");
        assert_eq!(
            node.column("Interface", "l2v-2", "options"),
            "{dst_port=7000, key=flow, local_ip=10.9.0.1, remote_ip=10.9.0.2}"
        );
        assert_eq!(node.column("Interface", "l2v-2", "type"), "geneve");
        let bfd = || node.column("Interface", "l2v-2", "bfd");
        assert_eq!(bfd(), "{enable=true, min_rx=200, min_tx=200}");

        let written = node.column("Open_vSwitch", ".", "next_cfg");
        assert_eq!(apply(&sps, &wanted).await.unwrap(), state);
        drop(sps);
        let restarted = agent(&node, AgentKind::Sps).await;
        assert_eq!(get(&restarted).await, Some(state.clone()));
        assert_eq!(apply(&restarted, &wanted).await.unwrap(), state);
        assert_eq!(node.column("Open_vSwitch", ".", "next_cfg"), written, "nothing to change");

        // As a former version left it.
        node.vsctl(["set", "interface", "l2v-2", "type=vxlan"]);
        wanted.links[0].bfd_interval_ms = 0;
        let replaced = async {
            // The agent may not have been told yet.
            loop {
                let state = apply(&restarted, &wanted).await.unwrap();
                if node.column("Interface", "l2v-2", "type") == "geneve" {
                    return state;
                }
            }
        };
        let state = tokio::time::timeout(PATIENCE, replaced).await.unwrap();
        assert_eq!(bfd(), "{}");
        for link in &state.links {
            assert!(link.ofport > 0 && link.error.is_empty(), "{link:?}");
        }

        wanted.links = vec![link(3), link(4)];
        let state = apply(&restarted, &wanted).await.unwrap();
        let names: Vec<_> = state.links.iter().map(|link| link.interface_name.as_str()).collect();
        assert_eq!(names, ["l2v-3", "l2v-4"]);
    });
}

#[test]
fn what_others_change_of_the_bridge_is_reported() {
    let node = Node::start();
    node.block_on(async {
        let sps = agent(&node, AgentKind::Sps).await;
        let mut watch = watch(&sps).await;
        assert_eq!(report(&mut watch).await, None, "there is none yet");
        let trunk = api::Trunk {
            interface_name: "l2t-sps".to_owned(),
            peer_interface_name: "l2t-ned".to_owned(),
        };
        let wanted = api::Switch { links: vec![link(2), link(3)], trunk: Some(trunk), ..switch() };
        apply(&sps, &wanted).await.unwrap();
        let looks = || {
            let columns = ["name", "type", "options", "bfd"].join(",");
            let interfaces = node.vsctl([&format!("--columns={columns}"), "list", "interface"]);
            let mut lines: Vec<_> = interfaces.lines().map(ToOwned::to_owned).collect();
            lines.sort();
            (lines, node.column("Bridge", "br-sps", "fail_mode"))
        };
        let as_wanted = looks();
        for change in [
            "set interface l2v-2 options:remote_ip=10.9.0.9",
            "clear interface l2v-2 bfd",
            "del-port l2v-3",
            "del-port l2t-sps",
            "set bridge br-sps fail_mode=standalone",
            "set-controller br-sps tcp:127.0.0.1:6699",
            "remove interface l2v-2 external_ids l2sces-agent",
            "del-br br-sps",
        ] {
            node.vsctl(change.split(' '));
            report(&mut watch).await;
            if change.starts_with("remove") {
                // It is no longer the agent's: it must go before the agent makes its own.
                node.vsctl(["del-port", "l2v-2"]);
                report(&mut watch).await;
            }
            apply(&sps, &wanted).await.unwrap();
            assert_eq!(looks(), as_wanted, "after {change}");
            assert_eq!(node.vsctl(["get-controller", "br-sps"]), "tcp:127.0.0.1:6653");
        }
    });
}

#[test]
fn a_link_that_open_vswitch_refuses_says_why() {
    let node = Node::start();
    node.block_on(async {
        let (sps, ned) = (agent(&node, AgentKind::Sps).await, agent(&node, AgentKind::Ned).await);
        let mut wanted = switch();
        wanted.links = vec![link(2)];
        apply(&sps, &wanted).await.unwrap();
        wanted.datapath_id = 43;
        wanted.links[0].interface_name = "l2v-same".to_owned();
        let state = apply(&ned, &wanted).await.unwrap();
        assert_eq!(state.links[0].ofport, 0);
        assert!(!state.links[0].error.is_empty(), "two tunnels to one address and port");
    });
}

#[test]
fn the_two_bridges_are_joined_by_the_trunk_and_removed_one_by_one() {
    let node = Node::start();
    node.block_on(async {
        let (sps, ned) = (agent(&node, AgentKind::Sps).await, agent(&node, AgentKind::Ned).await);
        let trunk = |this: &str, other: &str| {
            Some(api::Trunk { interface_name: this.into(), peer_interface_name: other.into() })
        };
        let sps_switch = api::Switch { trunk: trunk("l2t-sps", "l2t-ned"), ..switch() };
        let ned_switch =
            api::Switch { datapath_id: 43, trunk: trunk("l2t-ned", "l2t-sps"), ..switch() };
        apply(&sps, &sps_switch).await.unwrap();
        apply(&ned, &ned_switch).await.unwrap();
        for interface in ["l2t-sps", "l2t-ned"] {
            assert!(node.column("Interface", interface, "ofport").parse::<u32>().unwrap() > 0);
        }

        let foreign = api::Switch { trunk: trunk("l2t-sps", "x"), ..ned_switch };
        let refused = apply(&ned, &foreign).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

        delete(&sps).await;
        assert_eq!(node.vsctl(["list-br"]), "br-ned");
        assert!(get(&ned).await.is_some());
        delete(&ned).await;
        delete(&ned).await;
        for table in ["Bridge", "Port", "Interface", "Controller", "SSL"] {
            assert_eq!(node.count(table), 0, "{table}");
        }
        let links = node.namespace.links();
        assert!(!links.iter().any(|link| link.starts_with("br-")), "{links:?}");
    });
}

#[test]
fn flows_outlive_a_change_of_controllers_and_a_restart_of_the_agent() {
    let node = Node::start();
    node.block_on(async {
        let sps = agent(&node, AgentKind::Sps).await;
        let mut wanted = switch();
        apply(&sps, &wanted).await.unwrap();
        node.ofctl(["add-flow", "br-sps", "cookie=0x77,priority=7,actions=drop"]);
        let has_flow = || node.ofctl(["dump-flows", "br-sps"]).contains("cookie=0x77");
        assert!(has_flow());
        for controllers in [
            vec!["tcp:127.0.0.1:6663"],
            vec!["tcp:127.0.0.1:6663", "tcp:127.0.0.1:6673"],
            vec!["tcp:127.0.0.1:6683"],
        ] {
            wanted.controllers = controllers.into_iter().map(Into::into).collect();
            apply(&sps, &wanted).await.unwrap();
            assert!(has_flow(), "{:?}", wanted.controllers);
        }
        assert_eq!(node.vsctl(["get-controller", "br-sps"]), "tcp:127.0.0.1:6683");
        assert_eq!(node.count("Controller"), 1);
        drop(sps);
        apply(&agent(&node, AgentKind::Sps).await, &wanted).await.unwrap();
        assert!(has_flow());
        // The detector works: without a controller, Open vSwitch does empty the tables.
        node.vsctl(["del-controller", "br-sps"]);
        assert!(!has_flow());
    });
}

#[test]
fn the_certificate_is_shared_by_both_agents_and_goes_with_the_last() {
    let node = Node::start();
    node.block_on(async {
        let files = |name: &str| {
            let paths = ["ca", "cert", "key"].map(|kind| node.path(&format!("{name}.{kind}")));
            for path in &paths {
                std::fs::write(path, "").unwrap();
            }
            let [ca, cert, key] = paths;
            TlsFiles { ca, cert, key }
        };
        let sps = agent_with(&node, AgentKind::Sps, Some(files("sps"))).await;
        let ned = agent_with(&node, AgentKind::Ned, Some(files("ned"))).await;
        let secure = api::Switch { controllers: vec!["ssl:127.0.0.1:6653".into()], ..switch() };
        apply(&sps, &secure).await.unwrap();
        apply(&ned, &api::Switch { datapath_id: 43, ..secure.clone() }).await.unwrap();
        assert_eq!(node.count("SSL"), 1);
        let key = || node.column("SSL", ".", "private_key");
        assert_eq!(key(), node.path("sps.key"));
        // It may not know of the other's bridge yet.
        delete(&sps).await;
        assert_eq!(key(), node.path("sps.key"), "the other bridge still needs it");
        delete(&ned).await;
        assert_eq!(node.count("SSL"), 0);

        let plain = agent(&node, AgentKind::Sps).await;
        let refused = apply(&plain, &secure).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(node.count("Bridge"), 0);
    });
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    let node = Node::start();
    node.block_on(async {
        let sps = agent(&node, AgentKind::Sps).await;
        node.vsctl(["add-br", "br-sps", "--", "set", "bridge", "br-sps", "datapath_type=netdev"]);
        let refused = apply(&sps, &switch()).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        delete(&sps).await;
        assert_eq!(node.vsctl(["list-br"]), "br-sps");
    });
}

#[test]
fn a_new_tunnel_is_warmed() {
    let node = Node::start();
    node.block_on(async {
        for address in ["10.9.0.1/32", "10.9.0.2/32"] {
            run("ip", ["addr", "add", address, "dev", "lo"]);
        }
        let far_end = UdpSocket::bind("10.9.0.2:9").unwrap();
        far_end.set_read_timeout(Some(PATIENCE)).unwrap();
        let sps = agent(&node, AgentKind::Sps).await;
        apply(&sps, &api::Switch { links: vec![link(2)], ..switch() }).await.unwrap();
        let (_, from) = far_end.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip().to_string(), "10.9.0.1");
    });
}

#[test]
fn without_the_database_calls_fail_at_once() {
    let node = Node::start();
    node.block_on(async {
        let ovsdb = "unix:/nowhere/db.sock".parse().unwrap();
        let agent = Agent::start(AgentConfig { ovsdb, ..agent::config(&node, AgentKind::Sps) });
        let sps = SwitchApi::new(Arc::new(agent.unwrap()));
        assert_eq!(apply(&sps, &switch()).await.unwrap_err().code(), Code::Unavailable);
        let unknown = sps.get_switch(Request::new(GetSwitchRequest {})).await;
        assert_eq!(unknown.unwrap_err().code(), Code::Unavailable);
    });
}
