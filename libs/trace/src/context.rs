use std::{fmt, str::FromStr};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use thiserror::Error;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The version of W3C Trace Context that is written, and the one that says that it is none.
const VERSION: u8 = 0;
const NO_VERSION: u8 = 0xff;

/// A span, as those know it that follow from it: its trace, its identifier, and whether it is
/// sampled. As a text it is a `traceparent` of W3C Trace Context. The `tracestate` travels with calls
/// only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

/// A text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a traceparent of W3C Trace Context")]
pub struct TraceContextError;

impl TraceContext {
    /// The current span, if there is one.
    pub fn current() -> Option<Self> {
        Context::map_current(|context| Self::of(context.span().span_context()))
    }

    /// Reads what another process has written; none if it has written none, or nothing that can be
    /// understood: a trace begins anew then.
    pub fn received(traceparent: &str) -> Option<Self> {
        traceparent.parse().ok()
    }

    /// What to write of a context that may be none: nothing, then.
    pub fn traceparent(context: Option<Self>) -> String {
        context.map(|context| context.to_string()).unwrap_or_default()
    }

    /// Does something that follows from a span, or (none) from nothing that is known: what is current
    /// has no part in it.
    pub fn within<T>(cause: Option<Self>, act: impl FnOnce() -> T) -> T {
        let _guard = Self::context(cause).attach();
        act()
    }

    /// Makes a span, which must not have been entered yet, the child of another, or (none) the first
    /// of a trace.
    pub fn set_parent(parent: Option<Self>, span: &Span) {
        // An error says that nobody collects spans.
        let _ = span.set_parent(Self::context(parent));
    }

    /// Says of a span that it has to do with this one, in another trace.
    pub fn link(&self, span: &Span) {
        span.add_link(self.span_context());
    }

    /// Links the current span to the one in which something was changed last, unless that is in the
    /// same trace.
    pub fn link_current(origin: Option<Self>) {
        let Some(origin) = origin else { return };
        if Self::current().is_some_and(|current| !current.is_same_trace(&origin)) {
            origin.link(&Span::current());
        }
    }

    /// Its trace, as logs name it.
    pub fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// Whether both are in one trace.
    pub fn is_same_trace(&self, other: &Self) -> bool {
        self.trace == other.trace
    }

    fn of(span: &SpanContext) -> Option<Self> {
        span.is_valid().then(|| Self {
            trace: span.trace_id(),
            span: span.span_id(),
            flags: span.trace_flags(),
        })
    }

    fn span_context(&self) -> SpanContext {
        SpanContext::new(self.trace, self.span, self.flags, true, TraceState::NONE)
    }

    fn context(span: Option<Self>) -> Context {
        match span {
            Some(span) => Context::new().with_remote_span_context(span.span_context()),
            None => Context::new(),
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "{VERSION:02x}-{trace}-{span}-{:02x}", flags.to_u8())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    /// Later versions may have more parts, and the ones that are known stay where they are.
    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let mut parts = text.split('-');
        let mut part = |digits| {
            let part = parts.next().filter(|part| part.len() == digits);
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            part.filter(|part| part.bytes().all(is_digit)).ok_or(TraceContextError)
        };
        let version = u8::from_str_radix(part(2)?, 16).map_err(|_| TraceContextError)?;
        let trace = TraceId::from_hex(part(32)?).map_err(|_| TraceContextError)?;
        let span = SpanId::from_hex(part(16)?).map_err(|_| TraceContextError)?;
        let flags = u8::from_str_radix(part(2)?, 16).map_err(|_| TraceContextError)?;
        let is_over = parts.next().is_none();
        let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
        let context = Self { trace, span, flags };
        let is_valid = version != NO_VERSION
            && (is_over || version != VERSION)
            && context.span_context().is_valid();
        is_valid.then_some(context).ok_or(TraceContextError)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SdkTracerProvider, SpanData, SpanExporter},
    };
    use tracing::info_span;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[derive(Clone, Debug, Default)]
    struct Spans(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Spans {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    /// The spans that are made meanwhile, in the order in which they end.
    fn collected(act: impl FnOnce()) -> Vec<SpanData> {
        let spans = Spans::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        std::mem::take(&mut *spans.0.lock().unwrap())
    }

    #[test]
    fn a_text_is_read_as_w3c_has_it() {
        assert_eq!(TEXT.parse::<TraceContext>().unwrap().to_string(), TEXT);
        let later = format!("cc-{}-more", &TEXT[3..]);
        assert_eq!(later.parse::<TraceContext>(), TEXT.parse());
        for text in [
            "",
            &TEXT[..54],
            &TEXT.to_uppercase(),
            &format!("{TEXT}-more"),
            &format!("ff-{}", &TEXT[3..]),
            &TEXT.replace('b', "g"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceContextError), "{text}");
        }
    }

    #[test]
    fn what_follows_from_a_span_is_its_child() {
        let cause = TraceContext::received(TEXT);
        let spans = collected(|| {
            let outer = info_span!("outer").entered();
            assert_ne!(TraceContext::current(), None);
            TraceContext::within(cause, || {
                assert_eq!(TraceContext::current(), cause);
                drop(info_span!("child").entered());
            });
            TraceContext::within(None, || drop(info_span!("first").entered()));
            drop(outer);
        });
        let [child, first, outer] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(child.span_context.trace_id().to_string(), TEXT[3..35]);
        assert_eq!(child.parent_span_id.to_string(), TEXT[36..52]);
        assert_eq!(first.parent_span_id, SpanId::INVALID);
        assert_ne!(first.span_context.trace_id(), outer.span_context.trace_id());
    }

    #[test]
    fn only_another_trace_is_linked() {
        let origin = TraceContext::received(TEXT);
        let spans = collected(|| {
            for parent in [origin, None] {
                let span = info_span!("run");
                TraceContext::set_parent(parent, &span);
                span.in_scope(|| TraceContext::link_current(origin));
            }
        });
        let links = |span: &SpanData| -> Vec<_> {
            span.links.iter().map(|link| TraceContext::of(&link.span_context)).collect()
        };
        assert_eq!(links(&spans[0]), []);
        assert_eq!(links(&spans[1]), [origin]);
    }
}
