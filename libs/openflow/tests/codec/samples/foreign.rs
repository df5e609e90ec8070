//! What we did not write and do not know, kept as it came.

use l2sces_openflow::*;

use super::{Sample, key, whole};

/// A flow of somebody else's, of which we understand next to nothing.
pub(super) fn foreign_flow() -> Flow {
    let raw = |class, field, has_mask, payload: &[u8]| {
        MatchField::Raw(RawField { class, field, has_mask, payload: payload.to_vec() })
    };
    let action = |kind, body: &[u8]| Action::Raw { kind, body: body.to_vec() };
    let matching = [
        raw(1, 1, true, &[0, 0, 0, 5, 0, 0, 0, 15]),
        MatchField::EthType(0x0800),
        raw(0x8000, 10, false, &[6]),
        raw(0x8000, 11, true, &[10, 0, 0, 0, 255, 0, 0, 0]),
        raw(0x8000, 14, false, &[0, 80]),
        raw(0xffff, 42, true, &[0x4f, 0x4e, 0x46, 0, 0, 2, 0, 0x12]),
    ];
    Flow {
        key: key(7, 3, matching.into_iter().collect()),
        cookie: 9,
        idle_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![
            action(17, &[0x81, 0, 0, 0]),
            action(0xffff, &[0, 0, 0x23, 0x20, 0, 6, 0, 32, 0, 0, 0, 0, 0, 1, 0, 4, 0, 1, 2, 4]),
            action(0xffff, &[0, 0, 0x23, 0x20, 0, 14, 0xff, 0xf8, 4, 0, 0, 0]),
            Action::Output(2),
        ])],
    }
}

pub(super) fn all() -> Vec<Sample> {
    vec![whole(
        "flow-mod: fields and actions that we do not know (Open vSwitch)",
        6,
        "040e00b800000006 0000000000000009 0000000000000000 07 00 0000 0000 0003 ffffffff \
         ffffffff ffffffff 0000 0000 0001 0039 80000a020800 8000140106 \
         800017080a000000ff000000 80001c020050 ffff55084f4e460000020012 \
         00010308000000050000000f 00000000000000 0004 0048 00000000 0011 0008 8100 0000 \
         ffff 0018 00002320 0006 0020 0000 0000 00010004 00010204 \
         ffff 0010 00002320 000e fff8 04 000000 0000 0010 00000002 0000 000000000000",
        Message::FlowMod(FlowMod {
            command: FlowModCommand::Add,
            flow: foreign_flow(),
            cookie_mask: 0,
        }),
    )]
}
