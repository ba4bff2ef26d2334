use tracing::Span;
use tracing::field::Empty;

use super::catch::Panicked;
use crate::broker::Delivery;
use crate::error::{BoxError, Error, Rejected};

/// The span of one attempt, with the attributes that OpenTelemetry wants of a consumer.
///
/// It has one message, so it goes on in the trace of that and links to it too, as the conventions allow.
pub(super) fn open(system: &'static str, delivery: &Delivery) -> Span {
    let message = || delivery.message().ok();
    let position = delivery.position();
    let span = tracing::info_span!(
        "bowline.consumer.deliver",
        otel.kind = "consumer",
        otel.name = format_args!("process {}", position.partition.topic),
        otel.status_code = Empty,
        messaging.system = system,
        messaging.operation.name = "process",
        messaging.operation.r#type = "process",
        messaging.destination.name = &*position.partition.topic,
        messaging.destination.partition.id = %position.partition.partition,
        messaging.kafka.offset = (system == "kafka").then_some(position.offset),
        offset = (system != "kafka").then_some(position.offset),
        messaging.consumer.group.name = &**delivery.group(),
        messaging.message.id = message().map(|message| message.id().as_str()),
        trace_id = message().and_then(|message| message.trace().trace_id()),
        error.r#type = Empty,
    );
    #[cfg(feature = "otel")]
    if let Some(message) = message().filter(|_| !span.is_disabled()) {
        message.trace().lead(&span);
    }
    span
}

/// The attempt of `span` has failed.
pub(super) fn failed(span: &Span, error: &BoxError) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind(error));
}

/// A name out of few, as far as the type of the error is known.
fn kind(error: &BoxError) -> &'static str {
    if let Some(error) = error.downcast_ref::<Error>() {
        return error.kind().as_str();
    }
    match error.downcast_ref::<Rejected>() {
        Some(Rejected::Elapsed { .. }) => "timeout",
        Some(_) => "rejected",
        None if error.is::<Panicked>() => "panic",
        None => "_OTHER",
    }
}
