use std::str::FromStr as _;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TraceContext;

impl TraceContext {
    /// The context of the current span, for a message that is written in it and published later, as one
    /// in an outbox is. Empty when no layer of OpenTelemetry listens. Baggage is not in it.
    #[must_use]
    pub fn current() -> Self {
        Self::of_span(&Span::current())
    }

    /// The context of `span`.
    pub(crate) fn of_span(span: &Span) -> Self {
        if span.is_disabled() {
            return Self::default();
        }
        let context = span.context();
        let context = context.span().span_context().clone();
        if !context.is_valid() {
            return Self::default();
        }
        let parent = format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8() & super::KNOWN_FLAGS
        );
        let parent = Self::parse(&parent).unwrap_or_default();
        match context.trace_state().header() {
            state if state.is_empty() => parent,
            state => parent.with_state(state),
        }
    }

    /// Lets `span`, which has not begun, go on in this trace, and links it to where that comes from.
    pub(crate) fn lead(&self, span: &Span) {
        if let Some(context) = self.to_span_context() {
            // Nobody listens, or the trace is the span's already.
            drop(span.set_parent(
                opentelemetry::Context::new().with_remote_span_context(context.clone()),
            ));
            span.add_link(context);
        }
    }

    /// Links `span` to where this trace comes from.
    pub(crate) fn link(&self, span: &Span) {
        if let Some(context) = self.to_span_context() {
            span.add_link(context);
        }
    }

    fn to_span_context(&self) -> Option<SpanContext> {
        let parent = self.traceparent()?;
        let trace = TraceId::from_hex(parent.get(3..35)?).ok()?;
        let span = SpanId::from_hex(parent.get(36..52)?).ok()?;
        let state = self.tracestate().map(TraceState::from_str);
        let state = state.and_then(Result::ok).unwrap_or_default();
        let flags = TraceFlags::new(self.flags());
        Some(SpanContext::new(trace, span, flags, true, state))
    }
}
