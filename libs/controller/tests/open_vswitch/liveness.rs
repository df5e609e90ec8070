//! BFD's verdict on a tunnel, as Open vSwitch reports it.

use std::time::Duration;

use l2sces_controller::{Event, LinkState};
use tokio::time::Instant;

use crate::support::{Controller, OpenVswitch, eventually, in_namespace, run, switch};

/// Milliseconds.
const INTERVAL: u64 = 100;

/// A node: an Open vSwitch with an underlay interface, `10.9.0.NUMBER`, and a bridge with a tunnel
/// to the other.
async fn node(controller: &Controller, number: u64) -> OpenVswitch {
    let ovs = OpenVswitch::start().await;
    // Else the kernel answers ARP requests for the underlay bridge's address by the wrong port.
    ovs.inside("sysctl -qw net.ipv4.conf.all.arp_ignore=1");
    ovs.inside("ip link set lo up");
    let pid = ovs.pid();
    run("ip", format!("link set u{number} netns {pid} name underlay").split_whitespace());
    ovs.inside("ip link set underlay up");
    ovs.vsctl(
        "add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy underlay",
    );
    ovs.inside(&format!("ip address add 10.9.0.{number}/24 dev br-phy"));
    ovs.inside("ip link set br-phy up");
    let bridge = format!("br{number}");
    controller.relay(&ovs, &bridge);
    ovs.add_bridge(&bridge, number).await;
    let other = 3 - number;
    ovs.vsctl(&format!(
        "add-port {bridge} {number}-{other} -- set interface {number}-{other} type=geneve \
         options:remote_ip=10.9.0.{other} options:local_ip=10.9.0.{number} options:key=flow \
         bfd:enable=true bfd:min_tx={INTERVAL} bfd:min_rx={INTERVAL}"
    ));
    ovs
}

async fn states(controller: &Controller) -> Vec<LinkState> {
    let states = controller.engine.links().await;
    assert_eq!(states.len(), 2);
    states
}

#[test]
fn a_cut_tunnel_is_noticed_soon_and_a_healed_one_too() {
    in_namespace(|| async {
        run("ip", "link add u1 type veth peer name u2".split_whitespace());
        let mut controller = Controller::start().await;
        let first = node(&controller, 1).await;
        controller.engine.put_switch(switch(1)).await;
        controller.put_slice(&[1, 2], &[(1, 2, 1)]).await;
        controller.engine.set_complete().await;
        controller.ready([1]).await;
        for state in states(&controller).await {
            assert!(!state.up && !state.message.contains("BFD"), "had no time yet: {state:?}");
        }

        let second = node(&controller, 2).await;
        controller.engine.put_switch(switch(2)).await;
        controller.ready([2]).await;
        controller.links_up().await;
        // BFD begins slowly, with a second between its messages.
        let is_fast = |ovs: &OpenVswitch| {
            let status = ovs.appctl("bfd/show");
            let intervals = status.lines().filter(|line| line.contains("X Interval: Approx"));
            intervals.filter(|line| line.ends_with(&format!(" {INTERVAL}ms"))).count() == 2
        };
        eventually("BFD is as fast as it should be", || async {
            is_fast(&first) && is_fast(&second)
        })
        .await;
        assert!(states(&controller).await.iter().all(|state| state.up));

        for round in 0..2 {
            let start = Instant::now();
            first.inside("ip link set underlay down");
            let reason = controller
                .event(|event| match event {
                    Event::SliceState { ready: false, message, .. } => Some(message),
                    _ => None,
                })
                .await;
            let took = start.elapsed();
            assert!(reason.contains("no BFD answer from the far end"), "{reason}");
            assert!(took < Duration::from_secs(1), "round {round}: {took:?}");
            for state in states(&controller).await {
                assert!(!state.up && state.message.contains("BFD"), "{state:?}");
            }

            first.inside("ip link set underlay up");
            controller.links_up().await;
            assert!(states(&controller).await.iter().all(|state| state.up));
        }
    });
}
