use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use hickory_proto::{
    ProtoError,
    op::{Edns, Header, MessageType, Metadata, OpCode, ResponseCode},
    rr::{
        DNSClass, LowerName, Name, RData, Record, RecordType,
        rdata::{A, AAAA, NS, PTR, SOA},
    },
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};
use hickory_server::{
    net::xfer::Protocol,
    server::Request,
    zone_handler::{MessageResponseBuilder, Queries},
};

use super::measure;
use crate::zone::{Authority, Data, Index, Lookup, QuestionType, StartOfAuthority};

/// Largest UDP message, in bytes, that is sent or asked for: what passes every path unfragmented
/// (the value of DNS flag day 2020).
pub(super) const UDP_SIZE: u16 = 1232;

/// Largest UDP message to a client that does not say what it takes (RFC 1035, section 4.2.1).
const UDP_SIZE_WITHOUT_EDNS: u16 = 512;

/// Messages in, messages out.
#[derive(Debug)]
pub struct Responder {
    authority: Arc<Authority>,
    index: Arc<RwLock<Index>>,
    /// How long, in seconds, anything that is answered may be believed.
    ttl: u32,
}

/// What a request is answered with.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    /// Of a negative answer.
    authority: Option<Record>,
}

impl Reply {
    fn code(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Responder {
    /// Answers for `authority` from `index`; what is said holds for `ttl` seconds.
    pub fn new(authority: Arc<Authority>, index: Arc<RwLock<Index>>, ttl: u32) -> Self {
        Self { authority, index, ttl }
    }

    /// The response to a message, if there is to be one. Whatever the bytes are, this neither
    /// fails nor takes longer than their number and the bounds of [`Index`] allow.
    ///
    /// None: it has no header to answer to; it is itself a response, and answering it could make
    /// two servers talk forever.
    pub(super) fn respond(
        &self,
        message: Vec<u8>,
        from: SocketAddr,
        protocol: Protocol,
    ) -> Option<Vec<u8>> {
        let begin = Instant::now();
        let header = Header::read(&mut BinDecoder::new(&message)).ok()?;
        if header.metadata.message_type == MessageType::Response {
            return None;
        }
        let without_question = |code| Ok((code, without_question(&header.metadata, code)?));
        let (question, response) = match Request::from_bytes(message, from, protocol) {
            Ok(request) => (question_type(&request), self.respond_to(&request)),
            Err(_) => (None, without_question(ResponseCode::FormErr)),
        };
        let response = response.or_else(|_| without_question(ResponseCode::ServFail));
        let (code, response) = response.ok()?;
        measure::answered(protocol, question, code, begin.elapsed());
        Some(response)
    }

    fn respond_to(&self, request: &Request) -> Result<(ResponseCode, Vec<u8>), ProtoError> {
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_SIZE);
            // RFC 3225, section 3: copied, though nothing here is signed.
            edns.flags_mut().dnssec_ok = asked.flags().dnssec_ok;
            edns
        });
        let reply = self.reply(request)?;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        // RFC 4035, section 3.1.6: cleared in an authoritative answer.
        metadata.checking_disabled = false;

        let size = match request.protocol() {
            Protocol::Udp if edns.is_some() => request.max_payload().min(UDP_SIZE),
            Protocol::Udp => UDP_SIZE_WITHOUT_EDNS,
            _ => u16::MAX,
        };
        let queries = &request.queries;
        let whole = encode(queries, metadata, &reply, edns.as_ref(), size)?;
        if let Some(whole) = whole {
            return Ok((reply.code, whole));
        }
        // Half a set of addresses could be taken for all: say only that it did not fit
        // (RFC 2181, section 9), and the client asks again over TCP.
        metadata.truncation = true;
        let empty = Reply::code(reply.code);
        let cut = encode(queries, metadata, &empty, edns.as_ref(), size)?
            .ok_or(ProtoError::Message("a question that does not fit in its own answer"))?;
        Ok((reply.code, cut))
    }

    fn reply(&self, request: &Request) -> Result<Reply, ProtoError> {
        if request.version() > 0 {
            return Ok(Reply::code(ResponseCode::BADVERS));
        }
        if request.metadata.op_code != OpCode::Query {
            return Ok(Reply::code(ResponseCode::NotImp));
        }
        // RFC 9619: one question.
        let [query] = request.queries.queries() else {
            return Ok(Reply::code(ResponseCode::FormErr));
        };
        if query.query_class() != DNSClass::IN {
            return Ok(Reply::code(ResponseCode::Refused));
        }
        let question = match query.query_type() {
            RecordType::A => QuestionType::A,
            RecordType::AAAA => QuestionType::Aaaa,
            RecordType::PTR => QuestionType::Ptr,
            RecordType::NS => QuestionType::Ns,
            RecordType::SOA => QuestionType::Soa,
            RecordType::ANY => QuestionType::Any,
            // Whole zones are for nobody: tenants share them.
            RecordType::AXFR | RecordType::IXFR => {
                return Ok(Reply::code(ResponseCode::Refused));
            }
            _ => QuestionType::Other,
        };
        match self.lookup(&text(query.name()), question) {
            Lookup::Refused => Ok(Reply::code(ResponseCode::Refused)),
            Lookup::Found(data) => {
                // As it was asked, upper and lower case alike.
                let owner = query.original().name();
                let answers = data.into_iter().map(|data| self.record(owner, data));
                Ok(Reply {
                    authoritative: true,
                    answers: answers.collect::<Result<_, _>>()?,
                    ..Reply::default()
                })
            }
            Lookup::Nothing { exists, zone, authority } => {
                let soa = self.record(&Name::from_ascii(&zone)?, Data::Authority(authority))?;
                Ok(Reply {
                    code: if exists { ResponseCode::NoError } else { ResponseCode::NXDomain },
                    authoritative: true,
                    authority: Some(soa),
                    ..Reply::default()
                })
            }
        }
    }

    fn lookup(&self, name: &str, question: QuestionType) -> Lookup {
        // The index is whole after every change, so it is even if a writer panicked.
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        self.authority.lookup(&index, name, question)
    }

    fn record(&self, owner: &Name, data: Data) -> Result<Record, ProtoError> {
        let data = match data {
            Data::Address(IpAddr::V4(address)) => RData::A(A(address)),
            Data::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
            Data::Pointer(name) => RData::PTR(PTR(absolute(name.as_str())?)),
            Data::NameServer(name) => RData::NS(NS(absolute(name.as_str())?)),
            Data::Authority(authority) => RData::SOA(self.soa(&authority)?),
        };
        let mut owner = owner.clone();
        owner.set_fqdn(true);
        Ok(Record::from_rdata(owner, self.ttl, data))
    }

    /// Nobody transfers these zones, so the times for secondaries are those that RFC 1912, section
    /// 2.2, suggests.
    fn soa(&self, authority: &StartOfAuthority) -> Result<SOA, ProtoError> {
        let name_server = absolute(authority.name_server.as_str())?;
        let zone = name_server.base_name();
        // A zone whose name leaves no room for a mailbox has none.
        let mailbox = Name::from_ascii("hostmaster")?.append_domain(&zone);
        let mailbox = mailbox.unwrap_or_else(|_| Name::root());
        Ok(SOA::new(name_server, mailbox, authority.serial, 1200, 180, 1_209_600, self.ttl))
    }
}

/// What a request asks for, if it asks for one thing.
fn question_type(request: &Request) -> Option<RecordType> {
    let [query] = request.queries.queries() else { return None };
    Some(query.query_type())
}

fn absolute(name: &str) -> Result<Name, ProtoError> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}

/// A name as the zones know it. A label with bytes that no name of theirs has becomes `?`, so that
/// no such label (one with a dot in it, for instance) can pass for another.
fn text(name: &LowerName) -> String {
    let label = |label: &[u8]| match std::str::from_utf8(label) {
        Ok(text) if label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') => {
            text.to_owned()
        }
        _ => "?".to_owned(),
    };
    name.iter().map(label).collect::<Vec<_>>().join(".")
}

/// The message in at most `size` bytes; `None` if it does not fit.
fn encode(
    queries: &Queries,
    metadata: Metadata,
    reply: &Reply,
    edns: Option<&Edns>,
    size: u16,
) -> Result<Option<Vec<u8>>, ProtoError> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(size);
    let cut_before = metadata.truncation;
    let info = MessageResponseBuilder::new(queries, edns)
        .build(metadata, &reply.answers, [], &reply.authority, [])
        .destructive_emit(&mut encoder)?;
    Ok((info.truncation == cut_before).then_some(bytes))
}

/// A response with nothing but a header, to a message that could not be read.
fn without_question(request: &Metadata, code: ResponseCode) -> Result<Vec<u8>, ProtoError> {
    let mut metadata = Metadata::response_from_request(request);
    metadata.response_code = code;
    let header = Header { metadata, counts: Default::default() };
    let mut bytes = Vec::with_capacity(12);
    header.emit(&mut BinEncoder::new(&mut bytes))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hickory_proto::op::{Message, Query};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::zone::{Addresses, Contents, RecordKey};

    fn responder() -> Responder {
        let zone = "inter.l2sces".parse().unwrap();
        let authority = Authority::new(vec![zone], &[], None, Vec::new()).unwrap();
        Responder::new(Arc::new(authority), Arc::new(RwLock::new(index())), 5)
    }

    /// `web.blue` has 64 addresses.
    fn index() -> Index {
        let name = |text: &str| text.parse().unwrap();
        let key = RecordKey {
            slice: name("s"),
            network: name("blue"),
            cluster: name("c"),
            host: name("web"),
        };
        let addresses = (1..=64).map(|n| IpAddr::from([10, 0, 0, n])).collect::<Vec<_>>();
        let mut index = Index::default();
        let addresses = Addresses::try_from(addresses).unwrap();
        index.set(key, Some(Contents { addresses, aliases: BTreeSet::new() }));
        index
    }

    fn question(name: &str) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        message
    }

    fn send_bytes(bytes: Vec<u8>, protocol: Protocol) -> Option<Vec<u8>> {
        responder().respond(bytes, ([127, 0, 0, 1], 5353).into(), protocol)
    }

    fn send(message: &Message, protocol: Protocol) -> Message {
        let response = send_bytes(message.to_vec().unwrap(), protocol).unwrap();
        Message::from_vec(&response).unwrap()
    }

    #[test]
    fn cuts_everything_when_it_cannot_say_all_over_udp() {
        let mut request = question("web.blue.inter.l2sces.");
        for edns in [None, Some(512), Some(900), Some(65_535)] {
            request.edns = edns.map(|size| {
                let mut edns = Edns::new();
                edns.set_max_payload(size);
                edns
            });
            let response = send(&request, Protocol::Udp);
            // 64 addresses of 16 bytes need 1,079 bytes.
            let fits = edns.is_some_and(|size| size > 1100);
            assert_eq!(response.metadata.truncation, !fits, "{edns:?}");
            assert_eq!(response.answers.len(), if fits { 64 } else { 0 }, "{edns:?}");
            assert_eq!(response.edns.is_some(), edns.is_some());
        }
        request.edns = None;
        let response = send(&request, Protocol::Tcp);
        assert_eq!((response.metadata.truncation, response.answers.len()), (false, 64));
    }

    #[test]
    fn refuses_what_is_no_single_question() {
        let mut two = question("web.blue.inter.l2sces.");
        two.add_query(Query::query(Name::from_ascii("a.").unwrap(), RecordType::A));
        assert_eq!(send(&two, Protocol::Udp).metadata.response_code, ResponseCode::FormErr);

        let none = Message::new(7, MessageType::Query, OpCode::Query);
        assert_eq!(send(&none, Protocol::Udp).metadata.response_code, ResponseCode::FormErr);

        for op_code in [OpCode::Update, OpCode::Notify, OpCode::Status, OpCode::Unknown(9)] {
            let mut other = question("inter.l2sces.");
            other.metadata.op_code = op_code;
            let response = send(&other, Protocol::Udp).metadata;
            assert_eq!(response.response_code, ResponseCode::NotImp, "{op_code:?}");
            assert_eq!(response.op_code, op_code);
        }

        let mut cut = question("web.blue.inter.l2sces.").to_vec().unwrap();
        cut.truncate(20);
        let response = Message::from_vec(&send_bytes(cut, Protocol::Udp).unwrap()).unwrap();
        assert_eq!(response.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(response.metadata.id, 7);
    }

    #[test]
    fn every_answer_is_counted_by_what_was_asked_and_how_it_ended() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            super::measure::describe();
            let mut request = question("web.blue.inter.l2sces.");
            send(&request, Protocol::Udp);
            send(&request, Protocol::Tcp);
            send(&request, Protocol::Tcp);
            send(&question("nobody.inter.l2sces."), Protocol::Udp);
            for kind in [RecordType::MX, RecordType::Unknown(4_711)] {
                request.queries[0].set_query_type(kind);
                send(&request, Protocol::Udp);
            }
            request.edns = Some(Edns::new());
            request.edns.as_mut().unwrap().set_version(1);
            send(&request, Protocol::Udp);
            let mut cut = request.to_vec().unwrap();
            cut.truncate(20);
            send_bytes(cut, Protocol::Udp).unwrap();
            request.metadata.message_type = MessageType::Response;
            assert_eq!(send_bytes(request.to_vec().unwrap(), Protocol::Udp), None);
        });
        let text = recorder.handle().render();
        let counts: BTreeSet<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("l2sces_dns_query_duration_seconds_count"))
            .collect();
        let expected = [
            r#"{transport="udp",type="A",rcode="NOERROR"} 1"#,
            r#"{transport="tcp",type="A",rcode="NOERROR"} 2"#,
            r#"{transport="udp",type="A",rcode="NXDOMAIN"} 1"#,
            r#"{transport="udp",type="other",rcode="NOERROR"} 2"#,
            r#"{transport="udp",type="other",rcode="BADVERS"} 1"#,
            r#"{transport="udp",type="none",rcode="FORMERR"} 1"#,
        ];
        assert_eq!(counts, expected.into(), "{text}");
    }

    #[test]
    fn answers_no_response_and_nothing_without_a_header() {
        let mut response = question("web.blue.inter.l2sces.");
        response.metadata.message_type = MessageType::Response;
        assert_eq!(send_bytes(response.to_vec().unwrap(), Protocol::Udp), None);
        assert_eq!(send_bytes(vec![0; 11], Protocol::Udp), None);
    }

    #[test]
    fn a_label_with_a_dot_in_it_is_no_two_labels() {
        let mut request = Message::new(7, MessageType::Query, OpCode::Query);
        let labels: [&[u8]; 3] = [b"web.blue", b"inter", b"l2sces"];
        let name = Name::from_labels(labels).unwrap();
        request.add_query(Query::query(name, RecordType::A));
        let response = send(&request, Protocol::Udp);
        assert_eq!(response.metadata.response_code, ResponseCode::NXDomain);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, tcp: bool) {
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            let id = bytes.get(..2).map(<[u8]>::to_vec);
            if let Some(response) = send_bytes(bytes, protocol) {
                prop_assert_eq!(response.get(..2).map(<[u8]>::to_vec), id);
                prop_assert!(response.len() >= 12 && response[2] & 0x80 != 0);
            }
        }

        #[test]
        fn damaged_questions_are_survived(at in 0..60_usize, bits: u8, tcp: bool) {
            let mut request = question("web.c.blue.s.inter.l2sces.");
            request.edns = Some(Edns::new());
            let mut bytes = request.to_vec().unwrap();
            let at = at % bytes.len();
            bytes[at] ^= bits;
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            if let Some(response) = send_bytes(bytes, protocol) {
                prop_assert!(tcp || response.len() <= usize::from(UDP_SIZE));
            }
        }
    }
}
