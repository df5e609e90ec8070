//! The forms of `tracing_subscriber`, with the trace id added.

use std::fmt;

use opentelemetry::{
    Context,
    trace::{TraceContextExt, TraceId},
};
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
        match trace_id() {
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
        match (trace_id(), line.trim_end().strip_suffix('}')) {
            (Some(trace_id), Some(open)) => writeln!(writer, r#"{open},"trace_id":"{trace_id}"}}"#),
            _ => writer.write_str(&line),
        }
    }
}

/// The trace that the current span belongs to.
fn trace_id() -> Option<TraceId> {
    Context::map_current(|context| {
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id())
    })
}
