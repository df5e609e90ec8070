//! Tunnel options of a real switch.

use l2sces_openflow::{Action, Flow, FlowKey, Instruction, Match, MatchField, TunnelOption};
use l2sces_southbound::{Applied, Change, RequestError, SessionConfig, connect_unix};

use crate::support::{OpenVswitch, in_namespace};

const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

#[test]
fn an_option_is_mapped_once_and_can_be_matched_then() {
    in_namespace(|| async {
        let mut ovs = OpenVswitch::start().await;
        let flow = Flow {
            key: FlowKey {
                table: 0,
                priority: 1,
                matching: Match::any()
                    .tunnel_metadata(0x8001_0002_0000_0000, 0xffff_ffff_0000_0000),
            },
            cookie: 0,
            idle_timeout: 0,
            instructions: vec![Instruction::ApplyActions(vec![Action::SetField(
                MatchField::TunnelMetadata { value: 7, mask: u64::MAX },
            )])],
        };
        // Again after a restart, which forgets it.
        for _ in 0..2 {
            let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
            assert_eq!(switch.handle.tunnel_options().await, Ok(vec![]));
            assert_eq!(switch.handle.map_tunnel_option(OPTION).await, Ok(()));
            assert_eq!(switch.handle.map_tunnel_option(OPTION).await, Ok(()));
            assert_eq!(switch.handle.tunnel_options().await, Ok(vec![OPTION]));
            let shown = ovs.ofctl("dump-tlv-map", "");
            let words: Vec<_> = shown.lines().last().unwrap().split_whitespace().collect();
            assert_eq!(words, ["0xfff2", "0x81", "8", "tun_metadata0"]);

            let changes = vec![Change::AddFlow(flow.clone())];
            assert_eq!(switch.handle.apply(changes).await, Ok(Applied::default()));
            assert_eq!(switch.handle.read_flows().await, Ok(vec![flow.clone()]));
            ovs.restart().await;
        }
    });
}

#[test]
fn a_field_that_shows_another_option_is_refused() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let switch = connect_unix(ovs.management(), SessionConfig::default()).await.unwrap();
        ovs.ofctl("add-tlv-map", "{class=0xfff2,type=0x82,len=8}->tun_metadata0");
        let refused = switch.handle.map_tunnel_option(OPTION).await;
        let Err(RequestError::Refused(error)) = refused else { panic!("{refused:?}") };
        assert!(error.is_already_mapped(), "{error:?}");

        // A length that no option has.
        let option = TunnelOption { length: 7, index: 1, ..OPTION };
        let refused = switch.handle.map_tunnel_option(option).await;
        let Err(RequestError::Refused(error)) = refused else { panic!("{refused:?}") };
        assert!(!error.is_already_mapped(), "{error:?}");
    });
}
