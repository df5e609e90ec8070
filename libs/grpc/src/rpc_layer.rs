use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::{
    Access, Peer,
    measure::{Call, Methods},
    rpc_body::RpcBody,
    trace,
};

/// In the extensions of a request: cancelled when its client has gone.
#[derive(Clone)]
struct Departure(CancellationToken);

/// Cancelled when nobody waits for the answer to a request any more: the client has gone, or its deadline
/// has passed. The handler runs to its end all the same; one that waits for something can stop waiting.
pub fn departure<T>(request: &tonic::Request<T>) -> CancellationToken {
    let departure = request.extensions().get::<Departure>();
    departure.map(|departure| departure.0.clone()).unwrap_or_default()
}

/// What every RPC of a server passes through: span, measuring, access control, errors as gRPC wants them.
#[derive(Clone)]
pub(crate) struct RpcLayer {
    pub(crate) access: Arc<Access>,
    pub(crate) methods: Methods,
    pub(crate) shutdown: CancellationToken,
}

impl Layer<Routes> for RpcLayer {
    type Service = RpcService;

    fn layer(&self, routes: Routes) -> RpcService {
        RpcService { routes, layer: self.clone() }
    }
}

/// See [`RpcLayer`].
#[derive(Clone)]
pub(crate) struct RpcService {
    routes: Routes,
    layer: RpcLayer,
}

impl Service<Request<Body>> for RpcService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>();
        let path = request.uri().path();
        let span = trace::server_span(request.headers(), path, peer);
        let measured = Some(self.layer.methods.begin(path));
        let shutdown = self.layer.shutdown.clone();
        let (service, method) = trace::service_and_method(path);
        span.in_scope(|| tracing::trace!("call begins"));
        let allowed = match peer {
            Some(peer) => self.layer.access.check(peer, service, method),
            None => Err(Status::internal("a connection without a peer")),
        };
        match allowed {
            Ok(()) => {
                let departure = CancellationToken::new();
                request.extensions_mut().insert(Departure(departure.clone()));
                let departure = Some(departure.drop_guard());
                let handler = span.in_scope(|| self.routes.call(request));
                // A task of its own, so that a handler runs to its end even if the client goes
                // away: one that is dropped in the middle of a transaction could leave the
                // database connection in it. And a panic would take down the connection, with
                // everybody else's calls on it.
                let handler = tokio::spawn(handler.instrument(span.clone()));
                let handler = Some(handler);
                RpcFuture { handler, departure, refused: None, span, measured, shutdown }
            }
            Err(status) => {
                span.in_scope(|| tracing::warn!(reason = status.message(), "call refused"));
                let (handler, departure, refused) = (None, None, Some(status));
                RpcFuture { handler, departure, refused, span, measured, shutdown }
            }
        }
    }
}

pin_project! {
    /// The response of [`RpcService`].
    pub(crate) struct RpcFuture {
        #[pin]
        handler: Option<JoinHandle<Result<Response<Body>, Infallible>>>,
        // With this goes whoever waits for the response.
        departure: Option<DropGuard>,
        refused: Option<Status>,
        span: Span,
        measured: Option<Call>,
        shutdown: CancellationToken,
    }
}

impl Future for RpcFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let response = match this.handler.as_pin_mut() {
            Some(handler) => match ready!(handler.poll(cx)) {
                Ok(Ok(response)) => response,
                Err(error) => abandoned(error).into_http(),
            },
            None => {
                let refused = this.refused.take();
                refused.unwrap_or_else(|| Status::internal("polled after completion")).into_http()
            }
        };
        let mut response = blame_the_client(response);
        if let Some(status) = Status::from_header_map(response.headers()) {
            trace::record_status(this.span, status.code());
            if let Some(call) = this.measured {
                call.answered(status.code());
            }
            log(&status);
            if status.code() != Code::Ok {
                response = trace::name_in(status, this.span).into_http();
            }
        }
        let (span, measured) = (this.span.clone(), this.measured.take());
        let shutdown = Some(this.shutdown.clone().cancelled_owned());
        let response = response.map(|body| Body::new(RpcBody::new(body, span, measured, shutdown)));
        Poll::Ready(Ok(response))
    }
}

/// tonic answers a request that is too large with OUT_OF_RANGE, and one that is no protobuf with
/// INTERNAL; either is bad input, which repeating does not make better.
fn blame_the_client(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let too_large = status.code() == Code::OutOfRange
        && status.message().contains("decoded message length too large");
    let garbled = status.code() == Code::Internal
        && status.message().starts_with("failed to decode Protobuf message");
    if too_large || garbled {
        return Status::invalid_argument(status.message()).into_http();
    }
    response
}

fn log(status: &Status) {
    let (code, message) = (status.code(), status.message());
    match code {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(?code, message, "call failed");
        }
        _ => tracing::debug!(?code, message, "call answered"),
    }
}

/// What the client learns of a handler that did not come to its end.
fn abandoned(error: JoinError) -> Status {
    match error.try_into_panic() {
        Ok(panic) => {
            tracing::error!(panic = panic_message(&*panic), "handler panicked");
            Status::internal("the server has a bug: the call was abandoned")
        }
        Err(_) => Status::unavailable("the server is shutting down"),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
