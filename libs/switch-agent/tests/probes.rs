//! Links are measured through a real Open vSwitch. The bridge has one tunnel; in the place of the far
//! end, a flow hands what is sent into the tunnel back, as if it had come by it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/agent.rs"]
mod agent;
mod support;

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use l2sces_proto::{
    measurement::v1::{LinkMeasurement, LinkMetric, MeasurementPolicy},
    switch::v1::{
        self as api, ApplySwitchRequest, DeleteSwitchRequest, WatchMeasurementsRequest,
        WatchMeasurementsResponse, switch_service_server::SwitchService as _,
    },
};
use l2sces_switch_agent::{AgentKind, SwitchApi};
use support::{Node, PATIENCE, eventually, run, switch};
use tokio::time::timeout;
use tonic::{Code, Request, Status};

type Reports = Pin<Box<dyn Stream<Item = Result<WatchMeasurementsResponse, Status>> + Send>>;

const TUNNEL: &str = "l2v-1";
const PROBES: u32 = 5;

async fn agent(node: &Node) -> SwitchApi {
    agent::start(agent::config(node, AgentKind::Sps)).await
}

async fn bridge(agent: &SwitchApi) {
    let link = api::TunnelLink {
        interface_name: TUNNEL.to_owned(),
        remote_address: "127.0.0.2".to_owned(),
        local_address: "127.0.0.1".to_owned(),
        udp_port: 7000,
        bfd_interval_ms: 0,
    };
    let wanted = api::Switch { links: vec![link], ..switch() };
    let request = ApplySwitchRequest { switch: Some(wanted) };
    agent.apply_switch(Request::new(request)).await.unwrap();
}

async fn watch(agent: &SwitchApi, metrics: &[LinkMetric]) -> Result<Reports, Status> {
    watch_with_share(agent, metrics, 500).await
}

async fn watch_with_share(
    agent: &SwitchApi,
    metrics: &[LinkMetric],
    max_share_permille: u32,
) -> Result<Reports, Status> {
    let policy = MeasurementPolicy {
        metrics: metrics.iter().map(|metric| (*metric).into()).collect(),
        interval_ms: 2_000,
        probes: PROBES,
        max_share_permille,
    };
    let link = api::MeasuredLink { interface_name: TUNNEL.to_owned(), policy: Some(policy) };
    let request = WatchMeasurementsRequest { links: vec![link] };
    Ok(agent.watch_measurements(Request::new(request)).await?.into_inner())
}

async fn next(reports: &mut Reports) -> Option<LinkMeasurement> {
    let report = timeout(PATIENCE, reports.next()).await.unwrap()?.unwrap();
    assert_eq!(report.interface_name, TUNNEL);
    report.measurement
}

/// The first measurement that is as wanted.
async fn next_with(
    reports: &mut Reports,
    is_it: impl Fn(&LinkMeasurement) -> bool,
) -> LinkMeasurement {
    let found = async {
        loop {
            let measurement = next(reports).await.unwrap();
            if is_it(&measurement) {
                return measurement;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap()
}

/// Hands probes back, with some actions.
fn reflect_by(node: &Node, actions: &str) {
    node.ofctl(["add-flow", "br-sps", &format!("in_port=LOCAL,dl_type=0x88b5,actions={actions}")]);
}

/// Hands probes back.
fn reflect(node: &Node) {
    reflect_by(node, "move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[],IN_PORT");
}

#[test]
fn a_link_is_measured_until_its_frames_are_lost_and_again_after_that() {
    let node = Node::start();
    node.block_on(async {
        let agent = agent(&node).await;
        bridge(&agent).await;
        reflect(&node);
        let all = [
            LinkMetric::RoundTripTime,
            LinkMetric::Jitter,
            LinkMetric::Loss,
            LinkMetric::Throughput,
        ];
        let mut reports = watch(&agent, &all).await.unwrap();
        let is_whole = |it: &LinkMeasurement| it.probes_returned == PROBES && it.loss == Some(0.0);
        // Frames that had to wait for a processor may tell no throughput.
        let is_all = |it: &LinkMeasurement| {
            is_whole(it)
                && it.jitter_samples == PROBES - 1
                && it.throughput_bits_per_second.is_some()
        };
        let measured = next_with(&mut reports, is_all).await;
        assert_eq!(measured.probes_sent, PROBES);
        assert!(measured.round_trip_time.is_some() && measured.min_round_trip_time.is_some());
        assert!(measured.jitter.is_some() && measured.time.is_some());
        assert_eq!(run("sysctl", ["-n", "net.ipv6.conf.br-sps.disable_ipv6"]).trim(), "1");

        node.ofctl(["del-flows", "br-sps"]);
        let lost = next_with(&mut reports, |it| it.loss == Some(1.0)).await;
        assert_eq!((lost.probes_sent, lost.probes_returned), (PROBES, 0));
        assert_eq!((lost.round_trip_time, lost.jitter), (None, None), "nothing stale");
        assert_eq!(lost.throughput_bits_per_second, None);

        reflect(&node);
        next_with(&mut reports, is_whole).await;

        // What comes by another tunnel says nothing of this one.
        reflect_by(&node, "set_field:06:6c:ff:ff:ff:ff->eth_src,IN_PORT");
        let is_nothing = |it: &LinkMeasurement| (it.probes_sent, it.probes_returned) == (PROBES, 0);
        next_with(&mut reports, is_nothing).await;

        // Everything comes twice, on both ways.
        reflect_by(&node, "move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[],IN_PORT,IN_PORT");
        next_with(&mut reports, is_whole).await;

        // Without its tunnel nothing can be sent.
        node.vsctl(["del-port", "br-sps", TUNNEL]);
        let without = next_with(&mut reports, |it| it.probes_sent == 0).await;
        assert_eq!(without.loss, Some(1.0));
        bridge(&agent).await;
        reflect(&node);
        next_with(&mut reports, is_whole).await;

        agent.delete_switch(Request::new(DeleteSwitchRequest {})).await.unwrap();
        let ends = async { while next(&mut reports).await.is_some() {} };
        timeout(PATIENCE, ends).await.expect("nothing is measured without a bridge");
    });
}

#[test]
fn a_link_that_does_not_answer_is_tried_again_after_the_interval() {
    let node = Node::start();
    node.block_on(async {
        let agent = agent(&node).await;
        bridge(&agent).await;
        let both = [LinkMetric::Loss, LinkMetric::Throughput];
        // So little that trains would take their share for minutes.
        let mut reports = watch_with_share(&agent, &both, 10).await.unwrap();
        assert_eq!(next(&mut reports).await.unwrap().probes_returned, 0);
        reflect(&node);
        next_with(&mut reports, |it| it.probes_returned == PROBES).await;
    });
}

#[test]
fn only_what_is_asked_for_is_measured_and_only_for_the_latest_who_asks() {
    let node = Node::start();
    node.block_on(async {
        let agent = agent(&node).await;
        let refused = watch(&agent, &[LinkMetric::Loss]).await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        bridge(&agent).await;
        reflect(&node);
        let mut former = watch(&agent, &[LinkMetric::Loss]).await.unwrap();
        let is_whole = |it: &LinkMeasurement| it.probes_returned == PROBES;
        let loss_only = next_with(&mut former, is_whole).await;
        assert_eq!(loss_only.loss, Some(0.0));
        assert_eq!((loss_only.round_trip_time, loss_only.jitter), (None, None));
        assert_eq!(loss_only.throughput_bits_per_second, None);

        let mut latest = watch(&agent, &[LinkMetric::Throughput]).await.unwrap();
        assert_eq!(next(&mut former).await, None, "it has ended");
        let is_measured = |it: &LinkMeasurement| it.throughput_bits_per_second.is_some();
        let throughput_only = next_with(&mut latest, is_measured).await;
        assert_eq!((throughput_only.probes_sent, throughput_only.loss), (0, None));

        // Nobody asks any more: nothing is sent or received.
        let sockets = || {
            let listed = run("cat", ["/proc/thread-self/net/packet"]);
            listed.lines().filter(|line| line.contains(" 88b5 ")).count()
        };
        assert!(sockets() > 0);
        drop((former, latest));
        eventually("the sockets are closed", || sockets() == 0).await;
    });
}
