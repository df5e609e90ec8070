use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::time::timeout;
use tonic::{Code, Status, TimeoutExpired, body::Body, transport};
use tower::Service;
use tracing::{Instrument, Span};

use crate::{deadline, rpc_body::RpcBody, trace};

/// What is said of a call whose connection broke before it was answered.
const BROKEN: &str = "the connection broke before there was an answer";

/// A connection to a service, for any generated client. Cheap to clone. Every call on it has a
/// span, whose context the server gets, and a deadline: the caller's, else
/// [`DEFAULT_DEADLINE`](crate::DEFAULT_DEADLINE), else (`Watch...`) none.
#[derive(Clone)]
pub struct Channel {
    inner: transport::Channel,
    server: Arc<str>,
}

impl Channel {
    pub(crate) fn new(inner: transport::Channel, server: &str) -> Self {
        Self { inner, server: server.into() }
    }

    /// The server's host and port.
    pub fn server(&self) -> &str {
        &self.server
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("server", &self.server).finish_non_exhaustive()
    }
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx).map_err(unanswered)
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        let path = request.uri().path().to_owned();
        let (_, method) = trace::service_and_method(&path);
        let span = trace::client_span(&path, &self.server);
        trace::inject(&span, request.headers_mut());
        let limit = deadline::impose(request.headers_mut(), method);
        let response = self.inner.call(request);
        let body_span = span.clone();
        let call = async move {
            // The limit also covers connecting, which tonic's own does not.
            let response = match limit {
                Some(limit) => timeout(limit, response).await.unwrap_or_else(|_| Ok(too_late())),
                None => response.await,
            };
            finish(response, body_span)
        };
        Box::pin(call.instrument(span))
    }
}

fn finish(
    response: Result<Response<Body>, transport::Error>,
    span: Span,
) -> Result<Response<Body>, Status> {
    let response = match response {
        Err(error) if is_timeout(&error) => too_late(),
        Err(error) => {
            let status = unanswered(error);
            trace::record_status(&span, status.code());
            return Err(status);
        }
        Ok(response) if is_timeout_answer(&response) => too_late(),
        Ok(response) => response,
    };
    if let Some(status) = Status::from_header_map(response.headers()) {
        trace::record_status(&span, status.code());
    }
    Ok(response.map(|body| Body::new(RpcBody::new(body, span, None, None))))
}

/// What becomes of a call whose connection cannot be made, or breaks before there is an answer. Of the
/// latter tonic knows no code, or says CANCELLED if the call was still to be sent. The cause is its source.
fn unanswered(error: transport::Error) -> Status {
    let source: Arc<dyn Error + Send + Sync> = match Status::try_from_error(Box::new(error)) {
        Ok(status) if !matches!(status.code(), Code::Unknown | Code::Cancelled) => return status,
        Ok(status) => Arc::new(status),
        Err(error) => error.into(),
    };
    let mut status = Status::unavailable(BROKEN);
    status.set_source(source);
    status
}

fn too_late() -> Response<Body> {
    Status::deadline_exceeded("no answer in time").into_http()
}

/// A tonic server that gave up says CANCELLED, as if somebody had wanted that.
fn is_timeout_answer(response: &Response<Body>) -> bool {
    Status::from_header_map(response.headers()).is_some_and(|status| {
        status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
    })
}

/// tonic's own timer may be faster than ours by a millisecond.
fn is_timeout(error: &transport::Error) -> bool {
    let mut source = Some(error as &dyn Error);
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        source = error.source();
    }
    false
}
