//! What answers, refusals and changes by others become.

use l2sces_openflow::*;

use super::{CONFIG, OPTION, Talk, error, flow, flows};

#[test]
fn the_parts_of_answers_are_put_together_even_if_they_alternate() {
    let mut talk = Talk::ready();
    let first = talk.session.request(Request::Flows, talk.now);
    let second = talk.session.request(Request::Flows, talk.now);
    assert_ne!(first, second);
    talk.says(first, &flows(true, 0..2)).unwrap();
    talk.says(second, &flows(true, 10..11)).unwrap();
    talk.says(first, &flows(false, 2..3)).unwrap();
    talk.says(second, &flows(false, 11..11)).unwrap();
    let answers: Vec<_> = talk
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Answer { xid, answer: Ok(Reply::Flows(flows)) } => {
                (xid, flows.into_iter().map(|stats| stats.flow).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answers, [(first, vec![flow(0), flow(1), flow(2)]), (second, vec![flow(10)])]);
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let mut talk = Talk::ready();
    let xid = talk.session.request(Request::Flows, talk.now);
    let result = (0..100).try_for_each(|_| talk.says(xid, &flows(true, 0..1000)));
    assert_eq!(result, Err(SessionError::ReplyTooLong(CONFIG.reply_limit)));
}

#[test]
fn an_answer_to_another_question_ends_the_session() {
    let mut talk = Talk::ready();
    let xid = talk.session.request(Request::Groups, talk.now);
    let result = talk.says(xid, &flows(false, 0..1));
    assert_eq!(result, Err(SessionError::Unexpected("multipart reply")));
}

#[test]
fn a_refusal_finds_the_change_the_request_or_nobody() {
    let mut talk = Talk::ready();
    let changes: Vec<_> = (0..3).map(|number| Change::AddFlow(flow(number))).collect();
    let early = talk.session.packet_out(PacketOut {
        buffer: None,
        in_port: 1,
        actions: vec![],
        data: vec![],
    });
    let early = early.unwrap();
    let barrier = talk.session.apply(&changes, talk.now);
    let request = talk.session.request(Request::Groups, talk.now);
    let xids: Vec<_> = talk.sent().iter().map(|(xid, _)| *xid).collect();
    assert_eq!(xids, [early, early + 1, early + 2, early + 3, barrier, request]);

    // In any order.
    talk.says(early + 3, &Message::Error(error())).unwrap();
    talk.says(early + 1, &Message::Error(error())).unwrap();
    talk.says(early, &Message::Error(error())).unwrap();
    talk.says(request, &Message::Error(error())).unwrap();
    talk.says(barrier, &Message::BarrierReply).unwrap();
    // Everything is answered: a late one is nobody's.
    talk.says(early + 2, &Message::Error(error())).unwrap();
    assert_eq!(
        talk.events(),
        [
            Event::Refused { xid: early, error: error() },
            Event::Answer { xid: request, answer: Err(error()) },
            Event::Answer {
                xid: barrier,
                answer: Ok(Reply::Applied(vec![(0, error()), (2, error())])),
            },
            Event::Refused { xid: early + 2, error: error() },
        ]
    );
}

#[test]
fn a_tunnel_option_is_mapped_when_the_barrier_behind_it_is_passed() {
    let mut talk = Talk::ready();
    let barrier = talk.session.request(Request::MapTunnelOption(OPTION), talk.now);
    let change = barrier - 1;
    assert_eq!(
        talk.sent(),
        [(change, Message::AddTunnelOptions(vec![OPTION])), (barrier, Message::BarrierRequest)]
    );
    talk.says(change, &Message::Error(error())).unwrap();
    assert_eq!(talk.events(), []);
    talk.says(barrier, &Message::BarrierReply).unwrap();
    let answer = Ok(Reply::Applied(vec![(0, error())]));
    assert_eq!(talk.events(), [Event::Answer { xid: barrier, answer }]);

    let question = talk.session.request(Request::TunnelOptions, talk.now);
    assert_eq!(talk.sent(), [(question, Message::TunnelOptionsRequest)]);
    let options = TunnelOptions { mapped: vec![OPTION], ..TunnelOptions::default() };
    talk.says(question + 1, &Message::TunnelOptionsReply(options.clone())).unwrap();
    assert_eq!(talk.events(), [], "nobody asked this");
    talk.says(question, &Message::TunnelOptionsReply(options)).unwrap();
    let answer = Ok(Reply::TunnelOptions(vec![OPTION]));
    assert_eq!(talk.events(), [Event::Answer { xid: question, answer }]);
}

#[test]
fn only_the_changes_of_others_are_told() {
    let mut talk = Talk::ready();
    let updates = |updates| {
        let body = MultipartBody::FlowUpdates(updates);
        Message::MultipartReply(MultipartReply { more: false, body })
    };
    let foreign = || {
        FlowUpdate::Foreign(ForeignUpdate {
            event: FlowEvent::Added,
            reason: 0,
            flow: flow(1),
            hard_timeout: 0,
        })
    };
    let question = talk.session.request(Request::MonitorFlows, talk.now);
    talk.says(question, &updates(vec![])).unwrap();
    let answer = Ok(Reply::MonitorsFlows);
    assert_eq!(talk.events(), [Event::Answer { xid: question, answer }]);
    talk.says(0, &updates(vec![FlowUpdate::Own { xid: 7 }])).unwrap();
    assert_eq!(talk.events(), []);
    talk.says(0, &updates(vec![FlowUpdate::Own { xid: 8 }, foreign()])).unwrap();
    talk.says(0, &updates(vec![foreign(), foreign()])).unwrap();
    assert_eq!(talk.events(), [Event::FlowsChanged], "once until somebody looks");
    let gone = |reason: u16| {
        let event = FlowEvent::Deleted;
        let update = ForeignUpdate { event, reason, flow: flow(1), hard_timeout: 0 };
        updates(vec![FlowUpdate::Foreign(update)])
    };
    talk.says(0, &gone(0)).unwrap();
    assert_eq!(talk.events(), [], "it was idle for too long: nobody has changed it");
    talk.says(0, &gone(2)).unwrap();
    assert_eq!(talk.events(), [Event::FlowsChanged]);
}

#[test]
fn no_changes_are_applied_when_the_barrier_is_passed() {
    let mut talk = Talk::ready();
    let barrier = talk.session.apply(&[], talk.now);
    assert_eq!(talk.sent(), [(barrier, Message::BarrierRequest)]);
    talk.says(barrier, &Message::BarrierReply).unwrap();
    let answer = Ok(Reply::Applied(vec![]));
    assert_eq!(talk.events(), [Event::Answer { xid: barrier, answer }]);
}

#[test]
fn one_damaged_message_does_not_end_a_session_that_is_ready() {
    let mut talk = Talk::ready();
    let request = talk.session.request(Request::Flows, talk.now);
    talk.sent();
    let xid = request.to_be_bytes();
    // A flow entry that claims to be longer than its message.
    let mut damaged = vec![4, 19, 0, 18, xid[0], xid[1], xid[2], xid[3], 0, 1, 0, 0, 0, 0, 0, 0];
    damaged.extend([0xff, 0xff]);
    talk.session.receive(&damaged, talk.now).unwrap();
    let [Event::Answer { xid, answer: Err(error) }] = &talk.events()[..] else { panic!() };
    assert_eq!((*xid, error.to_string().as_str()), (request, "BAD_REQUEST: BAD_LEN"));
    assert!(matches!(&talk.sent()[..], [(_, Message::Error(_))]));

    // No error is answered by an error, or two ends would never stop.
    talk.session.receive(&[4, 1, 0, 9, 0, 0, 0, 1, 0], talk.now).unwrap();
    assert_eq!(talk.sent(), []);

    // But where the next message begins must be known.
    let lost = talk.session.receive(&[4, 1, 0, 3, 0, 0, 0, 1], talk.now);
    assert_eq!(lost, Err(DecodeError::MessageLength(3).into()));
    assert!(matches!(&talk.sent()[..], [(_, Message::Error(_))]));
}
