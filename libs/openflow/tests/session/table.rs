//! Every message in every state.

use l2sces_openflow::*;

use super::{
    OPTION, Talk, error, features, flow, flow_removed, flows, packet_in, port, port_status, ports,
};

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
