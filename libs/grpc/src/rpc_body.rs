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

use crate::trace;

pin_project! {
    /// The body of a response: keeps the RPC's span open until it ends, records the status in its
    /// trailers, and, at a server that shuts down, ends a stream that has nothing to say.
    pub(crate) struct RpcBody<B> {
        #[pin]
        inner: B,
        span: Span,
        #[pin]
        shutdown: Option<WaitForCancellationFutureOwned>,
        ended: bool,
    }
}

impl<B> RpcBody<B> {
    pub(crate) fn new(
        inner: B,
        span: Span,
        shutdown: Option<WaitForCancellationFutureOwned>,
    ) -> Self {
        Self { inner, span, shutdown, ended: false }
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
                return Poll::Ready(shutdown_trailers().map(Ok));
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(status) = frame.trailers_ref().and_then(Status::from_header_map)
        {
            trace::record_status(this.span, status.code());
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

/// A client that watches reconnects on UNAVAILABLE, here or to another replica.
fn shutdown_trailers() -> Option<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    let status = Status::new(Code::Unavailable, "the server is shutting down");
    status.add_header(&mut trailers).ok()?;
    Some(Frame::trailers(trailers))
}
