//! The handshake, errors, and roles.

use l2sces_model::DatapathId;
use l2sces_openflow::*;

use super::{Sample, lossy, whole};

pub(super) fn all() -> Vec<Sample> {
    let features = Features {
        datapath_id: DatapathId::try_from(0x2a).unwrap(),
        buffers: 0,
        tables: 254,
        auxiliary_id: 0,
        capabilities: 0x4f,
    };
    let refused = "040e0048000000060000000000000000000000000000000000000000000080\
                   00ffffffffffffffffffffffff00000000000100040000000000040010000000000016000800000063";
    let refused: Vec<u8> =
        Sample { hex: refused, ..whole("", 0, "", Message::BarrierReply) }.bytes();
    vec![
        whole(
            "hello (Open vSwitch)",
            1,
            "04 00 0010 00000001  0001 0008 00000010",
            Message::Hello(Hello::OURS),
        ),
        lossy(
            "hello of six versions, without padding (Open vSwitch)",
            0x11,
            "06 00 0010 00000011  0001 0008 0000007e",
            Message::Hello(Hello { version: 6, bitmap: Some(0x7e) }),
        ),
        lossy(
            "hello of OpenFlow 1.0",
            7,
            "01 00 0008 00000007",
            Message::Hello(Hello { version: 1, bitmap: None }),
        ),
        whole(
            "error (Open vSwitch)",
            6,
            "0401005400000006 0002 0009 \
             040e004800000006000000000000000000000000000000000000000000008000ffffffffffffffffffffffff\
             00000000000100040000000000040010000000000016000800000063",
            Message::Error(OpenFlowError { kind: 2, code: 9, data: refused }),
        ),
        whole("echo request", 9, "04 02 000a 00000009 6869", Message::EchoRequest(b"hi".to_vec())),
        whole("echo reply", 9, "04 03 000a 00000009 6869", Message::EchoReply(b"hi".to_vec())),
        whole(
            "experimenter: NXT_SET_PACKET_IN_FORMAT (Open vSwitch)",
            5,
            "0404001400000005 00002320 00000010 00000000",
            Message::Experimenter { experimenter: 0x2320, kind: 16, data: vec![0; 4] },
        ),
        whole("features request (Open vSwitch)", 2, "0405000800000002", Message::FeaturesRequest),
        whole(
            "features reply (Open vSwitch)",
            2,
            "0406002000000002 000000000000002a 00000000 fe 00 0000 0000004f 00000000",
            Message::FeaturesReply(features),
        ),
        whole(
            "set config (Open vSwitch)",
            3,
            "0409000c00000003 0000 ffff",
            Message::SetConfig { miss_send_length: 0xffff },
        ),
        whole(
            "get config request, which we have no use for (Open vSwitch)",
            5,
            "0407000800000005",
            Message::Other { kind: 7, body: vec![] },
        ),
        whole("barrier request (Open vSwitch)", 7, "0414000800000007", Message::BarrierRequest),
        whole("barrier reply (Open vSwitch)", 7, "0415000800000007", Message::BarrierReply),
        whole(
            "role request",
            3,
            "0418001800000003 00000002 00000000 0000000000000008",
            Message::RoleRequest(RoleState { role: Role::Master, generation: 8 }),
        ),
        whole(
            "role reply",
            3,
            "0419001800000003 00000003 00000000 ffffffffffffffff",
            Message::RoleReply(RoleState { role: Role::Slave, generation: u64::MAX }),
        ),
    ]
}
