use l2sces_openflow::{Frames, Message};

use crate::samples;

#[test]
fn bytes_decode_to_the_message() {
    for sample in samples::all() {
        let decoded = Message::decode(&sample.bytes());
        assert_eq!(decoded, Ok((sample.xid, sample.message)), "{}", sample.name);
    }
}

#[test]
fn the_message_encodes_to_the_bytes() {
    for sample in samples::all().into_iter().filter(|sample| sample.is_whole) {
        let mut bytes = vec![0xee];
        sample.message.encode(sample.xid, &mut bytes).unwrap();
        assert_eq!(bytes[0], 0xee, "{}: what was there before stays", sample.name);
        assert_eq!(bytes[1..], sample.bytes(), "{}", sample.name);
    }
}

#[test]
fn a_stream_is_cut_into_its_messages_wherever_it_is_cut_before() {
    let samples = samples::all();
    let stream: Vec<u8> = samples.iter().flat_map(samples::Sample::bytes).collect();
    for size in [1, 7, 8, 9, 100, stream.len()] {
        let mut frames = Frames::default();
        let mut messages = Vec::new();
        for piece in stream.chunks(size) {
            frames.push(piece);
            while let Some(frame) = frames.next_frame().unwrap() {
                messages.push(Message::decode(frame.bytes).unwrap());
            }
        }
        assert_eq!(frames.pending(), &[] as &[u8]);
        let expected: Vec<_> =
            samples.iter().map(|sample| (sample.xid, sample.message.clone())).collect();
        assert!(messages == expected, "in pieces of {size} bytes");
    }
}
