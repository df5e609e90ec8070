use tracing::Span;

use crate::TraceContext;

/// Most causes that are remembered: one that has many more is caused by none in particular.
const MOST: usize = 16;

/// The spans that something follows from: one in each trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    spans: Vec<TraceContext>,
}

impl Causes {
    /// Adds a cause. Of those in one trace the first is kept.
    pub fn add(&mut self, cause: Option<TraceContext>) {
        let Some(cause) = cause else { return };
        let is_known = self.spans.iter().any(|known| known.is_same_trace(&cause));
        if !is_known && self.spans.len() < MOST {
            self.spans.push(cause);
        }
    }

    /// The first cause.
    pub fn first(&self) -> Option<TraceContext> {
        self.spans.first().copied()
    }

    /// Makes a span, which must not have been entered yet, the child of the first cause, and links it
    /// to the others; without any cause it begins a trace.
    pub fn set_on(&self, span: &Span) {
        let mut spans = self.spans.iter();
        TraceContext::set_parent(spans.next().copied(), span);
        spans.for_each(|cause| cause.link(span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trace_is_one_cause_and_there_are_not_many() {
        let cause = |trace: usize, span: usize| {
            format!("00-{:032x}-{:016x}-01", trace + 1, span + 1).parse::<TraceContext>().ok()
        };
        let mut causes = Causes::default();
        causes.add(None);
        assert_eq!(causes.first(), None);
        for number in 0..100 {
            causes.add(cause(number / 2, number));
        }
        let kept: Vec<_> = causes.spans.iter().copied().map(Some).collect();
        let first: Vec<_> = (0..MOST).map(|trace| cause(trace, 2 * trace)).collect();
        assert_eq!(kept, first);
    }
}
