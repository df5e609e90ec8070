//! What Wireshark makes of what we write.

use std::{fs, path::Path, process::Command};

use l2sces_openflow::{Message, MultipartBody};

use crate::samples::{self, Sample};

/// `PI_NOTE`, a severity of Wireshark's remarks.
const NOTE: u32 = 0x0040_0000;

/// The samples as we encode them, each in a TCP segment of its own, as a capture file.
fn capture(samples: &[Sample]) -> Vec<u8> {
    // Magic, version 2.4, time zone, accuracy, longest packet, link type: IPv4.
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0x0004_0000, 228] {
        file.extend(word.to_be_bytes());
    }
    let mut sequence = 1_u32;
    for sample in samples {
        let mut message = Vec::new();
        sample.message.encode(sample.xid, &mut message).unwrap();
        let length = u16::try_from(40 + message.len()).unwrap();
        let mut packet = Vec::new();
        // IPv4 from 127.0.0.1 to itself, without a checksum.
        packet.extend([0x45, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        // TCP from port 40000 to 6653: sequence, acknowledgement, header of 20 bytes, PSH and ACK.
        packet.extend([0x9c, 0x40, 0x19, 0xfd]);
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(&message);
        sequence += u32::try_from(message.len()).unwrap();
        for word in [0, 0, u32::from(length), u32::from(length)] {
            file.extend(word.to_be_bytes());
        }
        file.extend(packet);
    }
    file
}

fn tshark(file: &Path, args: &[&str]) -> String {
    let output = Command::new("tshark")
        .args(["-n", "-d", "tcp.port==6653,openflow", "-r"])
        .arg(file)
        .args(args)
        .output()
        .expect("tshark (Debian package tshark)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The samples that we may send, and those of the switch that we encode whole. Wireshark does not
/// know the flow monitor's extension, and takes what it tells for damaged.
fn dissectable() -> Vec<Sample> {
    let is_known = |sample: &Sample| {
        !matches!(&sample.message, Message::MultipartReply(reply)
            if matches!(reply.body, MultipartBody::FlowUpdates(_)))
    };
    samples::all().into_iter().filter(|sample| sample.is_whole).filter(is_known).collect()
}

fn with_capture(samples: &[Sample], check: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openflow.pcap");
    fs::write(&file, capture(samples)).unwrap();
    check(&file);
}

/// The values that Wireshark reads in a field of each packet, as they come.
fn fields(file: &Path, names: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["-T", "fields", "-E", "separator=;", "-E", "aggregator=,"];
    names.iter().for_each(|name| args.extend(["-e", name]));
    let lines = tshark(file, &args);
    lines.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
}

#[test]
fn nothing_is_malformed_and_type_length_and_xid_are_as_meant() {
    let samples = dissectable();
    with_capture(&samples, |file| {
        let names = [
            "openflow_v4.type",
            "openflow_v4.length",
            "openflow_v4.xid",
            "_ws.malformed",
            "_ws.expert.severity",
        ];
        let read = fields(file, &names);
        assert_eq!(read.len(), samples.len());
        for (sample, read) in samples.iter().zip(read) {
            let bytes = sample.bytes();
            // An error and a bundle carry a message inside, which is dissected too.
            let first = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
            assert_eq!(first(&read[0]), bytes[1].to_string(), "{}", sample.name);
            assert_eq!(first(&read[1]), bytes.len().to_string(), "{}", sample.name);
            assert_eq!(first(&read[2]), sample.xid.to_string(), "{}", sample.name);
            assert_eq!(read[3], "", "{}: malformed", sample.name);
            // Wireshark notes what it cannot dissect, such as extensions; a warning is more.
            let severities = read[4].split(',').filter(|it| !it.is_empty());
            let worst = severities.map(|it| it.parse::<u32>().unwrap()).max().unwrap_or(0);
            assert!(worst <= NOTE, "{}: {worst}", sample.name);
        }
    });
}

#[test]
fn a_damaged_message_is_noticed() {
    // The control of the test above: a bucket that ends behind its message.
    let mut samples = dissectable();
    samples.retain(|sample| sample.name.starts_with("group-mod: modify"));
    let [sample] = &samples[..] else { panic!("one sample") };
    let Message::GroupMod(_) = &sample.message else { panic!("a group-mod") };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("damaged.pcap");
    let mut bytes = capture(&samples);
    let bucket = bytes.len() - 32;
    bytes[bucket + 1] = 0x40;
    fs::write(&file, bytes).unwrap();
    let read = fields(&file, &["_ws.malformed", "_ws.expert.severity"]);
    assert!(read[0].iter().any(|value| !value.is_empty()), "{read:?}");
}

#[test]
fn flows_and_groups_say_what_they_mean() {
    let samples = dissectable();
    with_capture(&samples, |file| {
        let read = |name: &str, fields_of: &[&str]| -> Vec<String> {
            let index = samples.iter().position(|sample| sample.name.starts_with(name)).unwrap();
            fields(file, fields_of).swap_remove(index)
        };
        let names = [
            "openflow_v4.flowmod.cookie",
            "openflow_v4.flowmod.table_id",
            "openflow_v4.flowmod.command",
            "openflow_v4.flowmod.priority",
            "openflow_v4.oxm.class",
            "openflow_v4.oxm.field",
            "openflow_v4.oxm.value_etheraddr",
            "openflow_v4.action.group.group_id",
        ];
        assert_eq!(
            read("flow-mod: add, with tunnel", &names),
            [
                "0x0000000100000002",
                "2",
                "0",
                "10",
                "0x8000,0x8000,0x8000",
                "2,3,38",
                "02:00:00:00:00:01",
                "2",
            ]
        );
        let names = [
            "openflow_v4.instruction.type",
            "openflow_v4.instruction.write_metadata.value",
            "openflow_v4.instruction.write_metadata.mask",
            "openflow_v4.instruction.goto_table.table_id",
            "openflow_v4.oxm.class",
            "openflow_v4.oxm.value_uint32",
        ];
        assert_eq!(
            read("flow-mod: add, with packet mark", &names),
            ["4,2,1", "0x0000000000000009", "0x0000000000ffffff", "2", "0x8000,0x0001,0x0001", "3",]
        );
        let names = [
            "openflow_v4.groupmod.command",
            "openflow_v4.groupmod.type",
            "openflow_v4.groupmod.group_id",
            "openflow_v4.bucket.watch_port",
            "openflow_v4.bucket.watch_group",
            "openflow_v4.action.output.port",
        ];
        assert_eq!(
            read("group-mod: add fast failover", &names),
            ["0", "3", "3", "1,4294967295", "4294967295,2", "1",]
        );
        let names = ["openflow_v4.role_request.role", "openflow_v4.role_request.generation_id"];
        assert_eq!(read("role request", &names), ["0x00000002", "0x0000000000000008"]);
        let names = ["openflow_v4.packet_out.in_port", "openflow_v4.packet_out.acts_len"];
        assert_eq!(read("packet-out", &names), ["1", "16"]);
    });
}

#[test]
fn open_vswitch_prints_what_we_meant() {
    let print = |name: &str| {
        let sample = dissectable().into_iter().find(|it| it.name.starts_with(name)).unwrap();
        let mut bytes = Vec::new();
        sample.message.encode(sample.xid, &mut bytes).unwrap();
        let output = Command::new("ovs-ofctl")
            .arg("ofp-print")
            .arg(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            .output()
            .expect("ovs-ofctl (Debian package openvswitch-switch)");
        String::from_utf8(output.stdout).unwrap()
    };
    let cases = [
        (
            "flow-mod: add, with tunnel",
            "OFPT_FLOW_MOD (OF1.3) (xid=0x6): ADD table:2 priority=10,metadata=0x7/0xffffff,\
             dl_dst=02:00:00:00:00:01 cookie:0x100000002 \
             actions=set_field:0x2001->tun_id,group:2\n",
        ),
        (
            "group-mod: add fast failover",
            "OFPT_GROUP_MOD (OF1.3) (xid=0x6):\n ADD group_id=3,type=ff,bucket=watch_port:1,\
             actions=output:1,bucket=watch_group:2,actions=group:2\n",
        ),
        ("role request", "OFPT_ROLE_REQUEST (OF1.3) (xid=0x3): role=primary generation_id=8\n"),
        ("multipart request: flows", "OFPST_FLOW request (OF1.3) (xid=0x2):\n"),
        (
            "bundle: commit",
            "ONFT_BUNDLE_CONTROL (OF1.3) (xid=0x9):\n bundle_id=0 type=COMMIT_REQUEST \
             flags=atomic ordered\n",
        ),
    ];
    for (name, text) in cases {
        assert_eq!(print(name), text, "{name}");
    }
}
