//! For each thing that can be wrong, a message with which it is.

use l2sces_openflow::{DecodeError, EncodeError, Message, PortStatus};

/// A message of a type with the body in hexadecimal.
fn message(kind: u8, body: &str) -> Vec<u8> {
    let digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let body = digits.chunks(2).map(byte);
    let length = u16::try_from(8 + digits.len() / 2).unwrap().to_be_bytes();
    [4, kind, length[0], length[1], 0, 0, 0, 1].into_iter().chain(body).collect()
}

const FLOW: &str = "0000000000000000 0000000000000000 00 00 0000 0000 0000 ffffffff ffffffff \
                    ffffffff 0000 0000";

fn flow_mod(rest: &str) -> Vec<u8> {
    message(14, &format!("{FLOW} {rest}"))
}

#[test]
fn each_fault_is_named_and_answered() {
    use DecodeError as E;
    let any = "0001 0004 00000000";
    let cases: Vec<(Vec<u8>, DecodeError, (u16, u16))> = vec![
        (vec![1, 5, 0, 8, 0, 0, 0, 1], E::Version(1), (1, 0)),
        (message(30, ""), E::MessageType(30), (1, 1)),
        (vec![4, 0, 0, 7, 0, 0, 0, 1], E::MessageLength(7), (1, 6)),
        (
            message(6, "0000000000000001"),
            E::Truncated { what: "message", needed: 4, available: 0 },
            (1, 6),
        ),
        (vec![4, 0, 0], E::Truncated { what: "header", needed: 2, available: 1 }, (1, 6)),
        (message(20, "00"), E::Trailing { what: "message", count: 1 }, (1, 6)),
        (message(12, &format!("03 {}", "00".repeat(71))), E::PortReason(3), (1, 5)),
        (message(10, "ffffffff 0000 03 00 0000000000000000"), E::PacketInReason(3), (1, 5)),
        (message(6, &"00".repeat(24)), E::DatapathId, (1, 5)),
        (message(24, "00000004 00000000 0000000000000000"), E::Role(4), (11, 2)),
        (message(14, &FLOW.replacen(" 00 00 ", " 00 05 ", 1)), E::FlowModCommand(5), (5, 6)),
        (message(15, "0003 00 00 00000001"), E::GroupModCommand(3), (6, 11)),
        (message(15, "0000 04 00 00000001"), E::GroupType(4), (6, 10)),
        (message(15, "0000 00 00 00000001 000f"), E::BucketLength(15), (6, 12)),
        (message(15, "0000 00 00 00000001 0014"), E::BucketLength(20), (6, 12)),
        (flow_mod("0000 0004 00000000"), E::MatchType(0), (4, 0)),
        (flow_mod("0001 0003 00000000"), E::MatchLength(3), (4, 1)),
        (
            flow_mod("0001 0009 8000000100 00000000000000"),
            E::FieldLength { class: 0x8000, field: 0, length: 1 },
            (4, 1),
        ),
        (
            flow_mod("0001 000f 80000507 00000000000000 00"),
            E::FieldLength { class: 0x8000, field: 2, length: 7 },
            (4, 1),
        ),
        (
            flow_mod("0001 0010 80000108 00000001 ffffffff"),
            E::FieldMask { class: 0x8000, field: 0 },
            (4, 8),
        ),
        (
            flow_mod("0001 0010 80000a020800 80000a020806"),
            E::DuplicateField { class: 0x8000, field: 5 },
            (4, 10),
        ),
        (
            flow_mod(&format!("{any} 0001 0004")),
            E::InstructionLength { kind: 1, length: 4 },
            (3, 7),
        ),
        (
            flow_mod(&format!("{any} 0002 0010 00000000 0000000000000000")),
            E::InstructionLength { kind: 2, length: 16 },
            (3, 7),
        ),
        (
            flow_mod(&format!("{any} 0001 0010 02 000000 0000000000000000")),
            E::InstructionLength { kind: 1, length: 16 },
            (3, 7),
        ),
        (
            flow_mod(&format!("{any} 0004 0010 00000000 0000 0004 00000001")),
            E::ActionLength { kind: 0, length: 4 },
            (2, 1),
        ),
        (
            flow_mod(&format!("{any} 0004 0010 00000000 0000 0008 00000001")),
            E::ActionLength { kind: 0, length: 8 },
            (2, 1),
        ),
        (
            flow_mod(&format!("{any} 0004 0018 00000000 0016 0010 00000001 0000000000000000")),
            E::ActionLength { kind: 22, length: 16 },
            (2, 1),
        ),
        (
            flow_mod(&format!(
                "{any} 0004 0020 00000000 0019 0018 0001420400000001 000000000000000000000000"
            )),
            E::ActionLength { kind: 25, length: 24 },
            (2, 1),
        ),
        (message(4, "4f4e4600 000008fc 00000000 0008 0000"), E::BundleControl(8), (1, 4)),
    ];
    for (bytes, error, (kind, code)) in cases {
        assert_eq!(Message::decode(&bytes), Err(error), "{bytes:02x?}");
        let reply = error.to_reply(&bytes);
        assert_eq!((reply.kind, reply.code), (kind, code), "{error}");
        assert!(!reply.to_string().contains("type"), "{reply} has no name");
        assert_eq!(reply.data, bytes[..bytes.len().min(64)]);
    }
}

#[test]
fn every_cut_of_a_message_is_an_error() {
    for sample in crate::samples::all() {
        let bytes = sample.bytes();
        for length in 0..bytes.len() {
            let cut = Message::decode(&bytes[..length]);
            assert!(cut.is_err(), "{} cut to {length} bytes", sample.name);
        }
    }
}

#[test]
fn bundles_do_not_nest() {
    let inner = message(4, "4f4e4600 000008fd 00000000 0000 0000 0414000800000001");
    let hex: String = inner.iter().map(|byte| format!("{byte:02x}")).collect();
    let outer = message(4, &format!("4f4e4600 000008fd 00000000 0000 0000 {hex}"));
    let (_, Message::BundleAdd(add)) = Message::decode(&outer).unwrap() else { panic!() };
    assert!(matches!(*add.message, Message::Experimenter { .. }));
}

#[test]
fn the_last_byte_of_a_name_is_its_zero_whatever_is_there() {
    let port =
        format!("00000001 00000000 020000000001 0000 {} {}", "61".repeat(16), "00".repeat(32));
    let status = message(12, &format!("00 00000000000000 {port}"));
    let (xid, decoded) = Message::decode(&status).unwrap();
    let Message::PortStatus(PortStatus { port, .. }) = &decoded else { panic!() };
    assert_eq!(port.name, "a".repeat(15));
    let mut again = Vec::new();
    decoded.encode(xid, &mut again).unwrap();
    assert_eq!(Message::decode(&again), Ok((xid, decoded)));
}

#[test]
fn what_no_message_can_hold_is_not_written() {
    let mut bytes = vec![1, 2, 3];
    let error = Message::EchoRequest(vec![0; 65_528]).encode(1, &mut bytes);
    assert_eq!(error, Err(EncodeError::TooLong("message", 65_536)));
    assert_eq!(bytes, [1, 2, 3]);
    assert_eq!(Message::EchoRequest(vec![0; 65_527]).encode(1, &mut bytes), Ok(()));
}
