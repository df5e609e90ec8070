//! A process that is told of a collector exports its spans there before it ends.
#![allow(clippy::unwrap_used, reason = "test")]

use std::{
    convert::Infallible,
    env,
    future::Future,
    pin::Pin,
    process::{Command, Stdio},
    task::{Context, Poll},
    time::Duration,
};

use l2sces_telemetry::{LogFormat, TelemetryArgs, init};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use tower::Service;

/// Set in the process that makes spans: this test program, started again.
const CHILD: &str = "L2SCES_TEST_EXPORTING_CHILD";

/// An OTLP collector that passes on what it gets, undecoded.
#[derive(Clone)]
struct Collector(mpsc::Sender<Vec<u8>>);

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

/// `ExportTraceServiceRequest` has one field, number 1, which is read as bytes here.
impl UnaryService<Vec<u8>> for Collector {
    type Response = ();
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, Status>> + Send>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let spans = self.0.clone();
        Box::pin(async move {
            spans.send(request.into_inner()).await.unwrap();
            Ok(Response::new(()))
        })
    }
}

impl Service<http::Request<Body>> for Collector {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let collector = self.clone();
        Box::pin(async move {
            Ok(Grpc::new(ProstCodec::<(), Vec<u8>>::default()).unary(collector, request).await)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_the_collector_before_the_process_ends() {
    if env::var_os(CHILD).is_some() {
        let args = TelemetryArgs {
            log_format: LogFormat::Json,
            log_filter: "off,elsewhere=debug".into(),
            metrics_listen: None,
        };
        let guard = init("test-service", &args).unwrap();
        // Whatever the answer is, it is about this only.
        let _ = log::log_enabled!(target: "nobody", log::Level::Debug);
        tracing::info_span!("a-span-to-export").in_scope(|| {});
        drop(guard);
        return;
    }

    let (sender, mut exported) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(Collector(sender));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let child = Command::new(env::current_exe().unwrap())
        .env(CHILD, "yes")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .stdout(Stdio::null())
        .spawn();
    let mut child = child.unwrap();
    let spans = timeout(Duration::from_secs(20), exported.recv()).await;
    let spans = spans.expect("spans in time").unwrap();
    let contains = |text: &str| spans.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("test-service") && contains("a-span-to-export"), "{spans:?}");
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}
