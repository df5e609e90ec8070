//! How a session begins.

use l2sces_openflow::*;

use super::{Talk, features, port, ports};

#[test]
fn the_handshake_asks_one_thing_after_the_other() {
    let mut talk = Talk::new();
    assert_eq!(talk.sent(), [(1, Message::Hello(Hello::OURS))]);
    talk.says(9, &Message::Hello(Hello { version: 6, bitmap: Some(0x7e) })).unwrap();
    assert_eq!(talk.sent(), [(2, Message::FeaturesRequest)]);
    talk.says(2, &Message::FeaturesReply(features(0))).unwrap();
    assert_eq!(
        talk.sent(),
        [
            (3, Message::SetConfig { miss_send_length: 0xffff }),
            (4, Message::MultipartRequest(MultipartRequest::Ports)),
        ]
    );
    talk.says(4, &ports(true, &[port(1), port(2)])).unwrap();
    assert_eq!(talk.events(), []);
    talk.says(4, &ports(false, &[port(3)])).unwrap();
    let ports = vec![port(1), port(2), port(3)];
    assert_eq!(talk.events(), [Event::Ready { features: features(0), ports }]);
}

#[test]
fn versions_are_negotiated_as_the_standard_says() {
    let cases = [
        (4, None, true),
        (6, None, true),
        (3, None, false),
        (1, None, false),
        (6, Some(0b0101_0010), true),
        (6, Some(0b0100_0010), false),
        (1, Some(0b0000_0010), false),
    ];
    for (version, bitmap, agrees) in cases {
        let mut talk = Talk::new();
        talk.sent();
        let result = talk.says(5, &Message::Hello(Hello { version, bitmap }));
        let sent = talk.sent();
        if agrees {
            assert_eq!(result, Ok(()), "{version} {bitmap:?}");
            assert_eq!(sent, [(2, Message::FeaturesRequest)], "{version} {bitmap:?}");
        } else {
            assert_eq!(result, Err(SessionError::Version), "{version} {bitmap:?}");
            assert_eq!(sent, [(5, Message::Error(OpenFlowError::incompatible()))]);
        }
    }
}
