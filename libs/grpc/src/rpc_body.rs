use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status};
use tracing::Span;

use crate::{measure::Call, trace};

pin_project! {
    /// The body of a response: keeps the RPC's span open until it ends, records the status in its
    /// trailers, measures it until there, and, at a server that shuts down, ends a stream that has nothing to say.
    pub(crate) struct RpcBody<B> {
        #[pin]
        inner: B,
        span: Span,
        measured: Option<Call>,
        #[pin]
        shutdown: Option<WaitForCancellationFutureOwned>,
        ended: bool,
    }
}

impl<B> RpcBody<B> {
    pub(crate) fn new(
        inner: B,
        span: Span,
        measured: Option<Call>,
        shutdown: Option<WaitForCancellationFutureOwned>,
    ) -> Self {
        Self { inner, span, measured, shutdown, ended: false }
    }
}

impl<B: Body<Data = Bytes>> Body for RpcBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let _entered = this.span.enter();
        if *this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = this.inner.poll_frame(cx) else {
            if let Some(shutdown) = this.shutdown.as_pin_mut() {
                ready!(shutdown.poll(cx));
                *this.ended = true;
                end(this.measured, Some(Code::Unavailable));
                return Poll::Ready(shutdown_trailers().map(Ok));
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(status) = frame.trailers_ref().and_then(Status::from_header_map)
        {
            trace::record_status(this.span, status.code());
            end(this.measured, Some(status.code()));
        }
        if frame.is_none() {
            end(this.measured, None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The call ends with its body's last frame, although whoever sends it may keep the body longer. A
/// code that came before, with the headers, stands.
fn end(measured: &mut Option<Call>, code: Option<Code>) {
    if let (Some(mut call), Some(code)) = (measured.take(), code) {
        call.answered(code);
    }
}

/// A client that watches reconnects on UNAVAILABLE, here or to another replica.
fn shutdown_trailers() -> Option<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    let status = Status::new(Code::Unavailable, "the server is shutting down");
    status.add_header(&mut trailers).ok()?;
    Some(Frame::trailers(trailers))
}
