//! What is measured of questions.

use std::time::Duration;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use hickory_server::net::xfer::Protocol;
use metrics::{Unit, describe_histogram, histogram};

const DURATION: &str = "l2sces_dns_query_duration_seconds";

/// Describes what is measured.
pub(super) fn describe() {
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time from a DNS query to its response, in seconds, without the network."
    );
}

/// A query has been answered. A `question` of `None` is none that could be read.
pub(super) fn answered(
    protocol: Protocol,
    question: Option<RecordType>,
    code: ResponseCode,
    duration: Duration,
) {
    histogram!(
        DURATION,
        "transport" => if protocol == Protocol::Udp { "udp" } else { "tcp" },
        "type" => type_name(question),
        "rcode" => code_name(code)
    )
    .record(duration.as_secs_f64());
}

/// The type of question as RFC 1035 and its successors write it: of those that there is data of, or
/// that are refused. Types are the client's choice, out of 65,536.
fn type_name(question: Option<RecordType>) -> &'static str {
    match question {
        Some(RecordType::A) => "A",
        Some(RecordType::AAAA) => "AAAA",
        Some(RecordType::PTR) => "PTR",
        Some(RecordType::NS) => "NS",
        Some(RecordType::SOA) => "SOA",
        Some(RecordType::ANY) => "ANY",
        Some(RecordType::AXFR | RecordType::IXFR) => "AXFR",
        Some(_) => "other",
        None => "none",
    }
}

/// The name of a response code at IANA, of those that are answered with.
fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        _ => "other",
    }
}
