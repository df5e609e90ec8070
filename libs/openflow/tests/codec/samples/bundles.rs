//! Bundles (the ONF extension 230).

use l2sces_openflow::*;

use super::{Sample, key, lossy, whole};

pub(super) fn all() -> Vec<Sample> {
    let flags = BundleFlags { atomic: true, ordered: true };
    let control = |kind| Message::BundleControl(BundleControl { bundle: 0, kind, flags });
    vec![
        whole(
            "bundle: open (Open vSwitch)",
            7,
            "0404001800000007 4f4e4600 000008fc 00000000 0000 0003",
            control(BundleControlKind::OpenRequest),
        ),
        lossy(
            "bundle: opened (Open vSwitch)",
            7,
            "0404001800000007 4f4e4600 000008fc 00000000 0001 0000",
            Message::BundleControl(BundleControl {
                bundle: 0,
                kind: BundleControlKind::OpenReply,
                flags: BundleFlags::default(),
            }),
        ),
        whole(
            "bundle: add a flow (Open vSwitch)",
            6,
            "0404005000000006 4f4e4600 000008fd 00000000 0000 0003 \
             040e003800000006 0000000000000000 0000000000000000 01 00 0000 0000 0005 ffffffff \
             ffffffff ffffffff 0000 0000 0001 0004 00000000",
            Message::BundleAdd(BundleAdd {
                bundle: 0,
                flags,
                message: Box::new(Message::FlowMod(FlowMod {
                    command: FlowModCommand::Add,
                    flow: Flow {
                        key: key(1, 5, Match::any()),
                        cookie: 0,
                        idle_timeout: 0,
                        instructions: vec![],
                    },
                    cookie_mask: 0,
                })),
            }),
        ),
        whole(
            "bundle: commit (Open vSwitch)",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0004 0003",
            control(BundleControlKind::CommitRequest),
        ),
        whole(
            "bundle: discard",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0006 0003",
            control(BundleControlKind::DiscardRequest),
        ),
        whole(
            "bundle: close",
            9,
            "0404001800000009 4f4e4600 000008fc 00000000 0002 0003",
            control(BundleControlKind::CloseRequest),
        ),
    ]
}
