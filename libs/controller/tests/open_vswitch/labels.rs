//! What a switch that only passes frames on caches of them.

use l2sces_fabric::pipeline;
use l2sces_openflow::{Change, SessionConfig, TunnelOption};
use l2sces_southbound::{Applied, connect_unix};

use crate::support::{OpenVswitch, in_namespace};

const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

/// Open vSwitch writes the option of the frame that made a cache entry into every frame that the
/// entry takes. So none may take frames whose labels differ anywhere: in the epoch, or in whether
/// they are flooded.
#[test]
fn frames_with_different_labels_never_share_a_cache_entry() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        ovs.add_bridge("br1", 1).await;
        for (port, peer) in [(1, "10.0.0.2"), (2, "10.0.0.3")] {
            ovs.vsctl(&format!(
                "add-port br1 t{port} -- set interface t{port} type=geneve ofport_request={port} \
                 options:key=flow options:remote_ip={peer}"
            ));
        }
        let socket = ovs.management("br1");
        let switch = connect_unix(socket, SessionConfig::default()).await.unwrap();
        switch.handle.map_tunnel_option(OPTION).await.unwrap();
        let destination = pipeline::destination_group(1, 3);

        let flows = pipeline::link(1).into_iter().chain([pipeline::transit(destination)]);
        let group = pipeline::destination_group_to(destination, Some(2));
        let changes = [Change::PutGroup(group)].into_iter().chain(flows.map(Change::AddFlow));
        assert_eq!(switch.handle.apply(changes.collect()).await, Ok(Applied::default()));
        for rest in [0_u64, 1, 3, 127, 1 << 31, 1 << 31 | 3] {
            let label = u64::from(destination.0) << 32 | rest;
            let frame = format!(
                "in_port=1,dl_type=0x800,tun_src=10.0.0.2,tun_dst=10.0.0.1,tun_id=1,\
                 tun_metadata0={label:#x}"
            );
            let trace = ovs.appctl(&format!("ofproto/trace br1 {frame}"));
            let entry = trace.lines().find(|line| line.starts_with("Megaflow: ")).unwrap();
            let fields: Vec<_> = entry.split([',', ' ']).collect();
            assert!(fields.contains(&&*format!("tun_metadata0={label:#x}")), "{trace}");
            assert!(fields.contains(&"tun_id=0x1"), "networks share an entry: {trace}");
            assert!(trace.contains(&format!("group:{}", destination.0)), "{trace}");
        }
    });
}
