//! The session, fed with what a switch might send.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod handshake;
mod liveness;
mod table;

use std::time::{Duration, Instant};

use l2sces_model::{DatapathId, MacAddress};
use l2sces_openflow::*;

const CONFIG: SessionConfig = SessionConfig {
    echo_interval: Duration::from_secs(5),
    echo_misses: 3,
    reply_timeout: Duration::from_secs(60),
    reply_limit: 1 << 20,
};

const OPTION: TunnelOption = TunnelOption { class: 0xfff2, kind: 0x81, length: 8, index: 0 };

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
