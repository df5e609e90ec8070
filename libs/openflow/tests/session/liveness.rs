//! How a silent switch is noticed.

use std::time::Duration;

use l2sces_openflow::*;

use super::{CONFIG, Talk, flows, port_status};

#[test]
fn a_silent_switch_is_asked_for_an_echo_and_then_given_up() {
    let mut talk = Talk::ready();
    let start = talk.now;
    for echo in 1..=3 {
        assert_eq!(talk.session.deadline(), start + echo * CONFIG.echo_interval);
        talk.passes(CONFIG.echo_interval - Duration::from_millis(1)).unwrap();
        assert_eq!(talk.sent(), [], "too early");
        talk.passes(Duration::from_millis(1)).unwrap();
        assert!(matches!(&talk.sent()[..], [(_, Message::EchoRequest(_))]), "echo {echo}");
    }
    assert_eq!(talk.session.deadline(), start + 4 * CONFIG.echo_interval);
    let dead = talk.passes(CONFIG.echo_interval);
    assert_eq!(dead, Err(SessionError::Dead(4 * CONFIG.echo_interval)));
}

#[test]
fn whatever_is_heard_is_a_sign_of_life() {
    let mut talk = Talk::ready();
    for _ in 0..10 {
        talk.passes(CONFIG.echo_interval).unwrap();
        assert_eq!(talk.sent().len(), 1);
        talk.says(0, &port_status()).unwrap();
    }
}

#[test]
fn nothing_but_the_handshake_is_sent_before_it_is_finished() {
    let mut talk = Talk::new();
    talk.sent();
    let start = talk.now;
    assert_eq!(talk.session.deadline(), start + 4 * CONFIG.echo_interval);
    talk.passes(3 * CONFIG.echo_interval).unwrap();
    assert_eq!(talk.sent(), []);
    assert!(matches!(talk.passes(CONFIG.echo_interval), Err(SessionError::Dead(_))));
}

#[test]
fn a_switch_that_lives_and_does_not_answer_is_given_up() {
    let mut talk = Talk::ready();
    let xid = talk.session.request(Request::Flows, talk.now);
    for _ in 0..11 {
        talk.passes(CONFIG.echo_interval).unwrap();
        talk.says(0, &Message::EchoReply(vec![])).unwrap();
    }
    // A part of the answer is progress.
    talk.says(xid, &flows(true, 0..1)).unwrap();
    for _ in 0..11 {
        talk.passes(CONFIG.echo_interval).unwrap();
        talk.says(0, &Message::EchoReply(vec![])).unwrap();
    }
    let given_up = talk.passes(CONFIG.echo_interval);
    assert_eq!(given_up, Err(SessionError::Unanswered(CONFIG.reply_timeout)));
}
