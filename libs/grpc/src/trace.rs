//! Spans of RPCs, named as OpenTelemetry's semantic conventions for gRPC say, and the W3C trace
//! context that joins the two ends.

use http::{HeaderMap, HeaderName, HeaderValue};
use l2sces_trace::TraceContext;
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Peer;

/// Service and method that the path of a request names: `/package.Service/Method`.
pub(crate) fn service_and_method(path: &str) -> (&str, &str) {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or(("", path))
}

/// The span of an RPC at its server, a child of the client's.
pub(crate) fn server_span(headers: &HeaderMap, path: &str, peer: Option<&Peer>) -> Span {
    let (service, method) = service_and_method(path);
    let span = info_span!(
        "rpc",
        otel.name = format!("{service}/{method}"),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        client.address = peer.and_then(Peer::address).map(tracing::field::display),
        client.identity = peer.and_then(Peer::identity).map(tracing::field::display),
        rpc.grpc.status_code = Empty,
        otel.status_code = Empty,
    );
    let parent =
        global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // An error says that nobody collects spans.
    let _ = span.set_parent(parent);
    span
}

/// The span of an RPC at its client.
pub(crate) fn client_span(path: &str, server: &str) -> Span {
    let (service, method) = service_and_method(path);
    info_span!(
        "rpc",
        otel.name = format!("{service}/{method}"),
        otel.kind = "client",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        server.address = server,
        rpc.grpc.status_code = Empty,
        otel.status_code = Empty,
    )
}

/// Tells the server which span its own is a child of.
pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    let context = span.context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers));
    });
}

/// Writes how the RPC ended into its span.
pub(crate) fn record_status(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    if is_failure(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether an RPC failed, in the words of the semantic conventions. At a server only these are the
/// server's fault; at a client any is worth a look, but the conventions' list for servers keeps
/// expected answers such as NOT_FOUND from looking broken.
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Names the trace in the answer to an RPC that failed, as google.rpc.RequestInfo: whoever is told of
/// the failure can have it looked up in the logs of all services.
pub(crate) fn name_in(status: Status, span: &Span) -> Status {
    let trace = span.in_scope(TraceContext::current).filter(|_| is_failure(status.code()));
    let Some(trace) = trace else { return status };
    let mut details = status.get_error_details();
    if details.request_info().is_some() {
        // Of a service that this one has called, in the same trace.
        return status;
    }
    details.set_request_info(trace.trace_id().to_string(), "");
    let metadata = status.metadata().clone();
    Status::with_error_details_and_metadata(status.code(), status.message(), details, metadata)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
