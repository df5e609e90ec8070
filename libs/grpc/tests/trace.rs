//! One trace from the client's span through the wire to the server's handler.

mod support;

use l2sces_grpc::TlsArgs;
use l2sces_proto::dns::v1::{DeleteRecordRequest, ListRecordsRequest};
use opentelemetry::{
    global,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use support::{TestServer, apply};
use tonic_types::StatusExt;
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::test]
async fn the_handler_runs_in_the_callers_trace() {
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer)).init();
    global::set_text_map_propagator(TraceContextPropagator::new());

    let tls = TlsArgs { insecure_plaintext: true, ..TlsArgs::default() };
    let server = TestServer::start(tls.clone()).await;
    let mut client = server.client(&tls);

    let mut seen = Vec::new();
    for _ in 0..2 {
        let caller = info_span!("caller");
        let answer = client.list_records(ListRecordsRequest::default());
        let answer = answer.instrument(caller.clone()).await.unwrap().into_inner();
        let trace_id = caller.context().span().span_context().trace_id().to_string();
        assert_eq!(answer.records[0].addresses, std::slice::from_ref(&trace_id));
        seen.push(trace_id);
    }
    assert_ne!(seen[0], seen[1], "each caller has a trace of its own");

    // One that failed can be looked up by its trace; one that was refused need not be.
    let caller = info_span!("caller");
    let failed = client.delete_record(DeleteRecordRequest::default());
    let failed = failed.instrument(caller.clone()).await.unwrap_err();
    let trace_id = caller.context().span().span_context().trace_id().to_string();
    assert_eq!(failed.get_details_request_info().unwrap().request_id, trace_id);
    let refused = client.apply_record(apply("")).await.unwrap_err();
    assert!(refused.get_details_request_info().is_none());
    assert!(refused.get_details_bad_request().is_some());
}
