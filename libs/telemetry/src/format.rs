//! The forms of `tracing_subscriber`, with the trace id added.

use std::fmt;

use l2sces_trace::TraceContext;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, JsonFields, Writer},
    },
    registry::LookupSpan,
};

/// A line for people: time, level, spans, target, message, fields, `trace_id=...`.
pub(crate) struct TextFormat(Format<Full>);

/// A JSON object: timestamp, level, target, fields, span, spans, `trace_id`.
pub(crate) struct JsonFormat(Format<Json>);

impl TextFormat {
    pub(crate) fn new() -> Self {
        Self(tracing_subscriber::fmt::format())
    }
}

impl JsonFormat {
    pub(crate) fn new() -> Self {
        Self(tracing_subscriber::fmt::format().json().flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match TraceContext::current().map(|context| context.trace_id()) {
            Some(trace_id) => writeln!(writer, "{} trace_id={trace_id}", line.trim_end()),
            None => writer.write_str(&line),
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let trace_id = TraceContext::current().map(|context| context.trace_id());
        match (trace_id, line.trim_end().strip_suffix('}')) {
            (Some(trace_id), Some(open)) => writeln!(writer, r#"{open},"trace_id":"{trace_id}"}}"#),
            _ => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use opentelemetry::trace::{TraceContextExt, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{info, info_span};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::{Layer, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Two lines, the second in a span, and the trace id of that span.
    fn logged<L>(logs: impl FnOnce(Lines) -> L) -> (Vec<String>, String)
    where
        L: Layer<tracing_subscriber::Registry> + Send + Sync,
    {
        let lines = Lines::default();
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber = tracing_subscriber::registry()
            .with(logs(lines.clone()))
            .with(tracing_opentelemetry::layer().with_tracer(tracer));
        let trace_id = tracing::subscriber::with_default(subscriber, || {
            info!("outside");
            let span = info_span!("work", key = "a");
            span.in_scope(|| info!(port = "p1", "inside"));
            span.context().span().span_context().trace_id().to_string()
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(ToOwned::to_owned).collect(), trace_id)
    }

    #[test]
    fn a_line_in_a_span_has_its_trace_id() {
        let (lines, trace_id) = logged(|lines| {
            let layer = tracing_subscriber::fmt::layer().with_ansi(false);
            layer.with_writer(move || lines.clone()).event_format(TextFormat::new())
        });
        assert_eq!(lines.len(), 2);
        assert!(!lines[0].contains("trace_id"), "{}", lines[0]);
        assert!(lines[1].contains("inside port=\"p1\""), "{}", lines[1]);
        assert!(lines[1].ends_with(&format!(" trace_id={trace_id}")), "{}", lines[1]);
    }

    #[test]
    fn a_json_line_is_one_object_with_the_trace_id() {
        let (lines, trace_id) = logged(|lines| {
            let layer = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new());
            layer.with_writer(move || lines.clone()).event_format(JsonFormat::new())
        });
        let lines: Vec<serde_json::Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["trace_id"], serde_json::Value::Null);
        assert_eq!(lines[1]["trace_id"], trace_id);
        assert_eq!(lines[1]["message"], "inside");
        assert_eq!(lines[1]["port"], "p1");
        assert_eq!(lines[1]["span"]["key"], "a");
    }
}
