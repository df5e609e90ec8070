//! The session, fed with what a switch might send.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use l2sces_model::{DatapathId, MacAddress};
use l2sces_openflow::*;

const CONFIG: SessionConfig = SessionConfig {
    echo_interval: Duration::from_secs(5),
    echo_misses: 3,
    reply_timeout: Duration::from_secs(60),
    reply_limit: 1 << 20,
};

/// A session, the switch that it talks to, and the time.
struct Talk {
    session: Session,
    now: Instant,
}

impl Talk {
    fn new() -> Self {
        let now = Instant::now();
        Self { session: Session::new(CONFIG, now), now }
    }

    /// A session after the handshake.
    fn ready() -> Self {
        let mut talk = Self::new();
        talk.says(1, &Message::Hello(Hello::OURS)).unwrap();
        talk.says(2, &Message::FeaturesReply(features(0))).unwrap();
        talk.says(4, &ports(false, &[port(1)])).unwrap();
        talk.sent();
        let ready = Event::Ready { features: features(0), ports: vec![port(1)] };
        assert_eq!(talk.events(), [ready]);
        talk
    }

    /// The switch sends a message.
    fn says(&mut self, xid: u32, message: &Message) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        message.encode(xid, &mut bytes).unwrap();
        self.session.receive(&bytes, self.now)
    }

    /// What the session has sent since the last time.
    fn sent(&mut self) -> Vec<(u32, Message)> {
        let mut frames = Frames::default();
        frames.push(&std::mem::take(self.session.output()));
        let mut messages = Vec::new();
        while let Some(frame) = frames.next_frame().unwrap() {
            messages.push(Message::decode(frame.bytes).unwrap());
        }
        assert!(frames.pending().is_empty());
        messages
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.next_event()).collect()
    }

    fn passes(&mut self, time: Duration) -> Result<(), SessionError> {
        self.now += time;
        self.session.tick(self.now)
    }
}

fn features(auxiliary_id: u8) -> Features {
    let datapath_id = DatapathId::try_from(0x2a).unwrap();
    Features { datapath_id, buffers: 0, tables: 254, auxiliary_id, capabilities: 0 }
}

fn port(number: u32) -> PortDescription {
    PortDescription {
        number,
        name: format!("p{number}"),
        hw_addr: MacAddress::new([2, 0, 0, 0, 0, 1]),
        shut: false,
        link_down: false,
        live: true,
    }
}

fn ports(more: bool, ports: &[PortDescription]) -> Message {
    let body = MultipartBody::Ports(ports.to_vec());
    Message::MultipartReply(MultipartReply { more, body })
}

fn port_status() -> Message {
    Message::PortStatus(PortStatus { reason: PortReason::Added, port: port(7) })
}

fn flow_removed() -> Message {
    Message::FlowRemoved(FlowRemoved {
        key: flow(1).key,
        cookie: 0,
        reason: RemovalReason::IdleTimeout,
        duration: 0,
        idle_timeout: 1,
        hard_timeout: 0,
        packets: 0,
        bytes: 0,
    })
}

fn packet_in() -> Message {
    Message::PacketIn(PacketIn {
        buffer: None,
        total_length: 0,
        reason: PacketInReason::Action,
        table: 0,
        cookie: 0,
        matching: Match::any(),
        data: vec![],
    })
}

fn error() -> OpenFlowError {
    OpenFlowError { kind: 5, code: 1, data: vec![] }
}

fn flow(number: u32) -> Flow {
    let key = FlowKey { table: 0, priority: 1, matching: Match::any().in_port(number) };
    Flow { key, cookie: 0, idle_timeout: 0, instructions: vec![] }
}

fn flows(more: bool, numbers: std::ops::Range<u32>) -> Message {
    let stats = |number| FlowStats {
        flow: flow(number),
        duration: 0,
        hard_timeout: 0,
        packets: 0,
        bytes: 0,
    };
    let body = MultipartBody::Flows(numbers.map(stats).collect());
    Message::MultipartReply(MultipartReply { more, body })
}

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

/// What a session does with a message.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Goes on, without a sign.
    Passes,
    /// Goes on, and sends messages, by their names in the standard.
    Sends(&'static str),
    /// Goes on, and has an event.
    Tells,
    /// Ends.
    Ends(SessionError),
}

#[test]
fn every_message_in_every_state_has_its_outcome() {
    use Outcome::{Ends, Passes, Sends, Tells};
    let unexpected = |name| Ends(SessionError::Unexpected(name));
    let group = Group { id: GroupId(1), kind: GroupKind::All, buckets: vec![] };
    let role = RoleState { role: Role::Equal, generation: 0 };
    let flow_mod = FlowMod { command: FlowModCommand::Add, flow: flow(1), cookie_mask: 0 };
    let flags = BundleFlags::default();
    let control = BundleControl { bundle: 0, kind: BundleControlKind::OpenReply, flags };
    let add = BundleAdd { bundle: 0, flags, message: Box::new(Message::BarrierRequest) };
    let packet_out = PacketOut { buffer: None, in_port: 1, actions: vec![], data: vec![] };
    let limit = MeterLimit::Frames { rate: 1, burst: 1 };
    let meter = Meter { id: MeterId(1), limit };
    let meter_mod = MeterMod { command: MeterModCommand::Add, meter };
    let group_mod = GroupMod { command: GroupModCommand::Add, group };
    let experimenter = Message::Experimenter { experimenter: 1, kind: 2, data: vec![] };
    let refused = || Ends(SessionError::Refused(error()));
    // Message; its outcome before the hello, before the features, before the ports, when ready.
    let table: Vec<(Message, [Outcome; 4])> = vec![
        (
            Message::Hello(Hello::OURS),
            [Sends("features request"), unexpected("hello"), unexpected("hello"), Passes],
        ),
        (Message::Error(error()), [refused(), refused(), refused(), Tells]),
        (
            Message::EchoRequest(vec![1]),
            [Sends("echo reply"), Sends("echo reply"), Sends("echo reply"), Sends("echo reply")],
        ),
        (Message::EchoReply(vec![1]), [Passes, Passes, Passes, Passes]),
        (
            Message::BundleControl(control),
            [
                unexpected("bundle control"),
                unexpected("bundle control"),
                unexpected("bundle control"),
                Passes,
            ],
        ),
        (
            Message::BundleAdd(add),
            [
                unexpected("bundle add"),
                unexpected("bundle add"),
                unexpected("bundle add"),
                Sends("error"),
            ],
        ),
        (
            experimenter,
            [
                unexpected("experimenter message"),
                unexpected("experimenter message"),
                unexpected("experimenter message"),
                Passes,
            ],
        ),
        (
            Message::AddTunnelOptions(vec![OPTION]),
            [
                unexpected("addition of tunnel options"),
                unexpected("addition of tunnel options"),
                unexpected("addition of tunnel options"),
                Sends("error"),
            ],
        ),
        (
            Message::TunnelOptionsRequest,
            [
                unexpected("request for tunnel options"),
                unexpected("request for tunnel options"),
                unexpected("request for tunnel options"),
                Sends("error"),
            ],
        ),
        (
            Message::CancelFlowMonitor(0),
            [
                unexpected("end of a flow monitor"),
                unexpected("end of a flow monitor"),
                unexpected("end of a flow monitor"),
                Sends("error"),
            ],
        ),
        (
            Message::TunnelOptionsReply(TunnelOptions::default()),
            [
                unexpected("reply with tunnel options"),
                unexpected("reply with tunnel options"),
                unexpected("reply with tunnel options"),
                Passes,
            ],
        ),
        (
            Message::FeaturesRequest,
            [
                unexpected("features request"),
                unexpected("features request"),
                unexpected("features request"),
                Sends("error"),
            ],
        ),
        (
            Message::FeaturesReply(features(0)),
            [
                unexpected("features reply"),
                Sends("set config, multipart request"),
                unexpected("features reply"),
                Passes,
            ],
        ),
        (
            Message::FeaturesReply(features(3)),
            [
                unexpected("features reply"),
                Ends(SessionError::Auxiliary(3)),
                unexpected("features reply"),
                Passes,
            ],
        ),
        (
            Message::SetConfig { miss_send_length: 0 },
            [
                unexpected("set config"),
                unexpected("set config"),
                unexpected("set config"),
                Sends("error"),
            ],
        ),
        (packet_in(), [unexpected("packet-in"), Passes, Passes, Tells]),
        (port_status(), [unexpected("port status"), Passes, Passes, Tells]),
        (flow_removed(), [unexpected("flow-removed"), Passes, Passes, Tells]),
        (
            Message::PacketOut(packet_out),
            [
                unexpected("packet-out"),
                unexpected("packet-out"),
                unexpected("packet-out"),
                Sends("error"),
            ],
        ),
        (
            Message::FlowMod(flow_mod),
            [
                unexpected("flow-mod"),
                unexpected("flow-mod"),
                unexpected("flow-mod"),
                Sends("error"),
            ],
        ),
        (
            Message::GroupMod(group_mod),
            [
                unexpected("group-mod"),
                unexpected("group-mod"),
                unexpected("group-mod"),
                Sends("error"),
            ],
        ),
        (
            Message::MeterMod(meter_mod),
            [
                unexpected("meter-mod"),
                unexpected("meter-mod"),
                unexpected("meter-mod"),
                Sends("error"),
            ],
        ),
        (
            Message::MultipartRequest(MultipartRequest::Groups),
            [
                unexpected("multipart request"),
                unexpected("multipart request"),
                unexpected("multipart request"),
                Sends("error"),
            ],
        ),
        (
            ports(false, &[]),
            [unexpected("multipart reply"), unexpected("multipart reply"), Tells, Passes],
        ),
        (
            flows(false, 0..1),
            [
                unexpected("multipart reply"),
                unexpected("multipart reply"),
                unexpected("multipart reply"),
                Passes,
            ],
        ),
        (
            Message::BarrierRequest,
            [
                unexpected("barrier request"),
                unexpected("barrier request"),
                unexpected("barrier request"),
                Sends("error"),
            ],
        ),
        (
            Message::BarrierReply,
            [
                unexpected("barrier reply"),
                unexpected("barrier reply"),
                unexpected("barrier reply"),
                Passes,
            ],
        ),
        (
            Message::RoleRequest(role),
            [
                unexpected("role request"),
                unexpected("role request"),
                unexpected("role request"),
                Sends("error"),
            ],
        ),
        (
            Message::RoleReply(role),
            [unexpected("role reply"), unexpected("role reply"), unexpected("role reply"), Passes],
        ),
        (
            Message::Other { kind: 7, body: vec![] },
            [
                unexpected("other message"),
                unexpected("other message"),
                unexpected("other message"),
                Passes,
            ],
        ),
    ];
    for (message, outcomes) in table {
        for (state, expected) in outcomes.into_iter().enumerate() {
            let mut talk = Talk::new();
            let steps = [
                Message::Hello(Hello::OURS),
                Message::FeaturesReply(features(0)),
                ports(false, &[port(1)]),
            ];
            steps[..state].iter().for_each(|step| talk.says(1, step).unwrap());
            talk.sent();
            talk.events();

            let result = talk.says(99, &message);
            let sent: Vec<_> = talk.sent().iter().map(|(_, message)| name(message)).collect();
            let told = !talk.events().is_empty();
            let outcome = match (result, &sent[..], told) {
                (Err(error), _, _) => Ends(error),
                (Ok(()), [], false) => Passes,
                (Ok(()), [], true) => Tells,
                (Ok(()), sent, _) => Sends(sent.join(", ").leak()),
            };
            assert_eq!(outcome, expected, "{message:?} in state {state}");
        }
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::FeaturesRequest => "features request",
        Message::EchoReply(_) => "echo reply",
        Message::Error(_) => "error",
        Message::SetConfig { .. } => "set config",
        Message::MultipartRequest(_) => "multipart request",
        other => panic!("{other:?}"),
    }
}

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

const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

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
