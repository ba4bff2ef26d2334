//! The spans of a consumer and of a publisher, as OpenTelemetry sees them.
//!
//! On their own: what is traced on a thread where nobody listens may be off on all threads for a while.

#![cfg(feature = "otel")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bowline::broker::{Delivery, Memory, Publisher as _, Record, Topics as _, Traced};
use bowline::consumer::Consumer;
use bowline::error::BoxError;
use bowline::message::{Message, TraceContext};
use bowline::shutdown::Shutdown;
use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::task::yield_now;
use tower::service_fn;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

/// Until it is dropped the spans of this thread are kept.
struct Seen {
    spans: InMemorySpanExporter,
    _guard: DefaultGuard,
}

impl Seen {
    fn new() -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            spans,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Those of this name that have ended, oldest first.
    fn named(&self, name: &str) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        spans.into_iter().filter(|span| span.name == name).collect()
    }
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let mut all = span.attributes.iter();
    let found = all.find(|one| one.key.as_str() == name)?;
    Some(found.value.to_string())
}

/// The traceparent that messages carry which were made in `span`.
fn traceparent(span: &SpanData) -> String {
    let context = &span.span_context;
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

/// Handles what is in `topic` until `handler` has succeeded with one record.
async fn consume_one<H, F>(broker: &Memory, topic: &'static str, mut handler: H)
where
    H: FnMut(Delivery) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let handler = service_fn(move |delivery: Delivery| {
        let (handled, stop) = (handler(delivery), stop.clone());
        async move {
            handled.await?;
            stop.trigger();
            Ok::<_, BoxError>(())
        }
    });
    let consumer = Consumer::builder(broker.subscriber(), handler)
        .group("notifications")
        .topics([topic])
        .build()
        .unwrap();
    consumer.run(shutdown.token()).await.unwrap();
}

async fn topics(names: &[&str]) -> Memory {
    let broker = Memory::new();
    for name in names {
        broker.create(name, NonZeroU32::MIN).await.unwrap();
    }
    broker
}

fn record(topic: &'static str) -> Record {
    Record::from_message(topic, &Message::new("task.created", "{}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_on_from_publisher_to_consumer_to_what_it_publishes() {
    let seen = Seen::new();
    let broker = topics(&["a", "b"]).await;
    let publisher = Traced::new(broker.clone());
    assert!(publisher.publish(vec![record("a")]).await[0].is_ok());
    let mut failures = 1;
    consume_one(&broker, "a", move |_| {
        let (publisher, fails) = (publisher.clone(), failures > 0);
        failures = 0;
        async move {
            if fails {
                return Err("not yet".into());
            }
            assert!(publisher.publish(vec![record("b")]).await[0].is_ok());
            Ok(())
        }
    })
    .await;
    consume_one(&broker, "b", |_| async { Ok(()) }).await;

    let [sent_a, sent_b] = ["send a", "send b"].map(|name| seen.named(name).remove(0));
    let [first, second] = <[_; 2]>::try_from(seen.named("process a")).unwrap();
    let handled_b = seen.named("process b").remove(0);
    for span in [&first, &second, &sent_b, &handled_b] {
        assert_eq!(span.span_context.trace_id(), sent_a.span_context.trace_id());
    }
    for (span, cause) in [(&first, &sent_a), (&second, &sent_a), (&handled_b, &sent_b)] {
        assert_eq!(span.span_kind, SpanKind::Consumer);
        assert_eq!(span.parent_span_id, cause.span_context.span_id());
        let links: Vec<_> = span.links.iter().map(|link| &link.span_context).collect();
        assert_eq!(links.len(), 1);
        assert_eq!(links[0].span_id(), cause.span_context.span_id());
        assert!(links[0].is_remote());
    }
    assert_eq!(sent_b.parent_span_id, second.span_context.span_id());
    assert_eq!(sent_b.span_kind, SpanKind::Producer);

    assert_eq!(attribute(&first, "error.type").as_deref(), Some("_OTHER"));
    assert!(
        matches!(first.status, Status::Error { .. }),
        "{:?}",
        first.status
    );
    assert_eq!(attribute(&second, "error.type"), None);
    assert_eq!(second.status, Status::Unset);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_on_its_way_is_an_error_of_its_span() {
    let seen = Seen::new();
    let broker = topics(&["a"]).await;
    let publisher = Traced::new(broker.clone());
    assert!(publisher.publish(vec![record("a")]).await[0].is_ok());
    let tried = Arc::new(AtomicBool::new(false));
    consume_one(&broker, "a", move |_| {
        let tried = Arc::clone(&tried);
        async move {
            yield_now().await;
            assert!(tried.swap(true, Ordering::SeqCst), "the first time");
            Ok(())
        }
    })
    .await;
    let spans = seen.named("process a");
    let errors: Vec<_> = spans.iter().map(|s| attribute(s, "error.type")).collect();
    assert_eq!(errors, [Some("panic".to_owned()), None]);
    assert!(matches!(spans[0].status, Status::Error { .. }));
}

#[tokio::test(start_paused = true)]
async fn spans_have_the_attributes_of_the_conventions() {
    let seen = Seen::new();
    let broker = topics(&["a"]).await;
    let message = Message::new("task.created", "{}");
    let record = Record::from_message("a", &message).unwrap();
    let results = Traced::new(broker.clone())
        .publish(vec![record.clone(), record])
        .await;
    assert!(results.iter().all(Result::is_ok));
    let missing = Traced::new(broker.clone())
        .publish(vec![Record::new("b", "")])
        .await;
    assert!(missing[0].is_err());
    consume_one(&broker, "a", |_| async { Ok(()) }).await;

    let sent = seen.named("send a").remove(0);
    let refused = seen.named("send b").remove(0);
    let handled = seen.named("process a").remove(0);
    let of = |span, names: &[&str]| -> Vec<_> {
        names
            .iter()
            .map(|name| attribute(span, name).unwrap_or_default())
            .collect()
    };
    let common = [
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
    ];
    assert_eq!(of(&sent, &common), ["memory", "send", "send"]);
    assert_eq!(of(&handled, &common), ["memory", "process", "process"]);
    let names = [
        "messaging.destination.name",
        "messaging.batch.message_count",
    ];
    assert_eq!(of(&sent, &names), ["a", "2"]);
    assert_eq!(of(&refused, &["error.type"]), ["not found"]);
    let names = [
        "messaging.destination.name",
        "messaging.destination.partition.id",
        "messaging.consumer.group.name",
        "messaging.message.id",
        "offset",
    ];
    let wanted = ["a", "0", "notifications", message.id().as_str(), "0"];
    assert_eq!(of(&handled, &names), wanted);
}

/// As a relay does it: the request is long over, and the record says where it comes from.
#[tokio::test(start_paused = true)]
async fn a_context_that_a_record_has_stays_and_its_sending_links_to_it() {
    let seen = Seen::new();
    let broker = topics(&["a"]).await;
    let message = tracing::info_span!("request").in_scope(|| {
        let message = Message::new("task.created", "{}");
        message.with_trace(TraceContext::current())
    });
    let batch = [
        Record::from_message("a", &message),
        Record::structured("a", &message),
    ];
    let batch = batch.map(|record| record.unwrap());
    let results = Traced::new(broker.clone()).publish(batch.to_vec()).await;
    assert!(results.iter().all(Result::is_ok));
    consume_one(&broker, "a", |_| async { Ok(()) }).await;

    let request = seen.named("request").remove(0);
    assert_eq!(message.trace().traceparent(), Some(&*traceparent(&request)));
    let sent = seen.named("send a").remove(0);
    let linked: Vec<_> = sent
        .links
        .iter()
        .map(|link| link.span_context.span_id())
        .collect();
    assert_eq!(linked, [request.span_context.span_id(); 2]);
    let handled = seen.named("process a").remove(0);
    assert_eq!(handled.parent_span_id, request.span_context.span_id());
}

#[tokio::test(start_paused = true)]
async fn structured_records_get_a_context_too() {
    let seen = Seen::new();
    let broker = topics(&["a"]).await;
    let record = Record::structured("a", &Message::new("task.created", "{}")).unwrap();
    let results = Traced::new(broker.clone()).publish(vec![record]).await;
    assert!(results[0].is_ok());
    consume_one(&broker, "a", |_| async { Ok(()) }).await;
    let (sent, handled) = (
        seen.named("send a").remove(0),
        seen.named("process a").remove(0),
    );
    assert_eq!(handled.parent_span_id, sent.span_context.span_id());
}

#[tokio::test(start_paused = true)]
async fn without_a_layer_of_opentelemetry_records_go_as_they_are() {
    let subscriber =
        tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_test_writer());
    let _guard = tracing::subscriber::set_default(subscriber);
    assert!(TraceContext::current().is_empty());
    let broker = topics(&["a"]).await;
    let publisher = Traced::new(broker.clone());
    assert!(publisher.publish(vec![record("a")]).await[0].is_ok());
    consume_one(&broker, "a", |delivery| async move {
        assert!(delivery.message().unwrap().trace().is_empty());
        Ok(())
    })
    .await;
}
