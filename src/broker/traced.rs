use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{Appended, PublishError, Publisher, Record};

/// Publishes in a span, which the records carry along.
///
/// Each call of [`publish`](Publisher::publish) is one span with the attributes that OpenTelemetry wants
/// of a producer. With the feature `otel`, and a layer of `tracing-opentelemetry` that listens, a record
/// without a trace context gets that of the span; of one that has a context of its own, as one from an
/// outbox does, that stays, and the span links to it. Without a subscriber that wants the span, records
/// go through as they are.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use bowline::broker::{Memory, Publisher, Record, Topics, Traced};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Memory::new();
/// broker.create("tasks", NonZeroU32::MIN).await?;
/// let publisher = Traced::new(broker);
/// for result in publisher.publish(vec![Record::new("tasks", "done")]).await {
///     assert_eq!(result?.offset, Some(0));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Traced<P> {
    inner: P,
}

impl<P: Publisher> Traced<P> {
    /// Publishes through `inner`.
    #[must_use]
    pub fn new(inner: P) -> Self {
        Self { inner }
    }
}

impl<P: Publisher> Publisher for Traced<P> {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let span = span(self.inner.system(), &batch);
        if span.is_disabled() {
            return self.inner.publish(batch).await;
        }
        #[cfg(feature = "otel")]
        let batch = in_trace(&span, batch);
        let results = self.inner.publish(batch).instrument(span.clone()).await;
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", error.error().kind().as_str());
        }
        results
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }
}

fn span(system: &'static str, batch: &[Record]) -> Span {
    let mut topics = batch.iter().map(|record| &*record.topic);
    let first = topics.next();
    let topic = first.filter(|first| topics.all(|topic| topic == *first));
    let span = tracing::info_span!(
        "bowline.broker.publish",
        otel.kind = "producer",
        otel.name = Empty,
        otel.status_code = Empty,
        messaging.system = system,
        messaging.operation.name = "send",
        messaging.operation.r#type = "send",
        messaging.destination.name = topic,
        messaging.batch.message_count = (batch.len() > 1).then_some(batch.len()),
        error.r#type = Empty,
    );
    match topic {
        Some(topic) => span.record("otel.name", format_args!("send {topic}")),
        None => span.record("otel.name", "send"),
    };
    span
}

/// Every record has a context: its own, or that of `span`.
#[cfg(feature = "otel")]
fn in_trace(span: &Span, mut batch: Vec<Record>) -> Vec<Record> {
    use crate::message::TraceContext;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for record in &mut batch {
        let parent = record.headers.text(TraceContext::TRACEPARENT);
        match parent.and_then(TraceContext::parse) {
            Some(context) => theirs.push(match record.headers.text(TraceContext::TRACESTATE) {
                Some(state) => context.with_state(state),
                None => context,
            }),
            None => ours.push(record),
        }
    }
    // Links come first: asking for the context begins the span.
    for context in &theirs {
        context.link(span);
    }
    if ours.is_empty() {
        return batch;
    }
    let context = TraceContext::of_span(span);
    for record in ours {
        let headers = &mut record.headers;
        headers.remove(TraceContext::TRACESTATE);
        if let Some(parent) = context.traceparent() {
            headers.set(TraceContext::TRACEPARENT, parent.to_owned());
        }
        if let Some(state) = context.tracestate() {
            headers.set(TraceContext::TRACESTATE, state.to_owned());
        }
    }
    batch
}
