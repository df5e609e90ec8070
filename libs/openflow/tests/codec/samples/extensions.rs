//! Extensions of Open vSwitch: tunnel options and the flow monitor.

use l2sces_openflow::*;

use super::{Sample, key, whole};

/// The option that carries what our tunnels do.
const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

pub(super) fn all() -> Vec<Sample> {
    let updates = |updates| {
        let body = MultipartBody::FlowUpdates(updates);
        Message::MultipartReply(MultipartReply { more: false, body })
    };
    let matching = Match::any().tunnel_metadata(5, 15);
    let foreign = |event, reason| {
        let flow = Flow {
            key: key(3, 7, matching.clone()),
            cookie: 0,
            idle_timeout: 0,
            instructions: vec![],
        };
        let update = ForeignUpdate { event, reason, flow, hard_timeout: 0 };
        updates(vec![FlowUpdate::Foreign(update)])
    };
    let refused = "040400200000000200002320000000180000000000000000fff2810800000000";
    let refused = Sample { hex: refused, ..whole("", 0, "", Message::BarrierReply) }.bytes();
    let data = [0x2320_u32.to_be_bytes().to_vec(), refused].concat();
    vec![
        whole(
            "tunnel options: add (Open vSwitch)",
            2,
            "0404002000000002 00002320 00000018 0000 000000000000 fff2 81 08 0000 0000",
            Message::AddTunnelOptions(vec![OPTION]),
        ),
        whole(
            "tunnel options: delete, which we never do",
            2,
            "0404002000000002 00002320 00000018 0001 000000000000 fff2 81 08 0000 0000",
            Message::Experimenter {
                experimenter: 0x2320,
                kind: 24,
                data: vec![0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xf2, 0x81, 8, 0, 0, 0, 0],
            },
        ),
        whole(
            "tunnel options: already mapped (Open vSwitch)",
            2,
            "0401003000000002 ffff 0014 00002320 \
             0404002000000002 00002320 00000018 0000 000000000000 fff2 81 08 0000 0000",
            Message::Error(OpenFlowError { kind: 0xffff, code: 20, data }),
        ),
        whole(
            "tunnel options: request (Open vSwitch)",
            2,
            "0404001000000002 00002320 00000019",
            Message::TunnelOptionsRequest,
        ),
        whole(
            "tunnel options: reply (Open vSwitch)",
            2,
            "0404002800000002 00002320 0000001a 00000100 0040 00000000000000000000 \
             fff2 81 08 0000 0000",
            Message::TunnelOptionsReply(TunnelOptions {
                space: 256,
                fields: 64,
                mapped: vec![OPTION],
            }),
        ),
        whole(
            "flow monitor: request (Open vSwitch)",
            6,
            "0412003000000006 ffff 0000 00000000 4f4e4600 0000074e \
             00000000 000e 0004 ffffffff ff 000000 0001 0004 00000000",
            Message::MultipartRequest(MultipartRequest::FlowMonitor(FlowMonitor { id: 0 })),
        ),
        whole(
            "flow monitor: cancel",
            7,
            "0404001400000007 4f4e4600 0000074e 00000000",
            Message::CancelFlowMonitor(0),
        ),
        whole(
            "flow monitor: reply (Open vSwitch)",
            6,
            "0413001800000006 ffff 0000 00000000 4f4e4600 0000074e",
            updates(vec![]),
        ),
        whole(
            "flow monitor: added (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0000 0000 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Added, 0),
        ),
        whole(
            "flow monitor: modified (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0002 0000 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Modified, 0),
        ),
        whole(
            "flow monitor: deleted (Open vSwitch)",
            0,
            "0413004800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0030 0001 0002 0007 0000 0000 0018 03 00 0000000000000000 \
             0001 0018 00015110 0000000000000005 000000000000000f",
            foreign(FlowEvent::Deleted, 2),
        ),
        whole(
            "flow monitor: our own changes",
            0,
            "0413002800000000 ffff 0000 00000000 4f4e4600 0000074e \
             0008 0003 00000007 0008 0003 00000009",
            updates(vec![FlowUpdate::Own { xid: 7 }, FlowUpdate::Own { xid: 9 }]),
        ),
    ]
}
