use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time;
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span};

use super::catch::CatchPanic;
use crate::backoff::Backoff;
use crate::broker::{Assignment, Delivery, REDRIVE_GROUP, Received};
use crate::consumer::status::{Gauge, Status};
use crate::error::{BoxError, Chain, rejected};
use crate::shutdown::Token;

/// The record at `offset` of an assignment is done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) assignment: Assignment,
    pub(super) offset: u64,
}

/// Handles the records of one assignment one after the other.
pub(super) struct Worker<H> {
    pub(super) group: Arc<str>,
    pub(super) assignment: Assignment,
    /// Never called: replaces a service that panicked.
    pub(super) handler: H,
    pub(super) service: H,
    pub(super) queue: UnboundedReceiver<Received>,
    pub(super) done: UnboundedSender<Done>,
    pub(super) backoff: Backoff,
    pub(super) status: Status,
    pub(super) gauge: Arc<Gauge>,
    pub(super) stop: Token,
}

impl<H> Worker<H>
where
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    /// Works until told to stop; a record that is running then is finished, none is begun.
    pub(super) async fn run(mut self) {
        while let Some(received) = self.next().await {
            let delivery = Delivery::new(Arc::clone(&self.group), received);
            let span = span(&delivery);
            if !self.finish(delivery).instrument(span).await {
                break;
            }
        }
    }

    async fn next(&mut self) -> Option<Received> {
        tokio::select! {
            biased;
            () = self.stop.stopped() => None,
            received = self.queue.recv() => received,
        }
    }

    /// Tries until the record is done. Says `false` when told to stop before it was.
    async fn finish(&mut self, delivery: Delivery) -> bool {
        let mut delays = None;
        while !is_for_another_group(&delivery) {
            self.gauge.running(true);
            let result = self.attempt(delivery.clone()).await;
            self.gauge.running(false);
            let Err(error) = result else { break };
            self.status.attempt_failed(&self.gauge);
            let delay = delays
                .get_or_insert_with(|| self.backoff.delays())
                .next()
                .unwrap_or_default()
                .max(retry_after(&error));
            tracing::warn!(
                error = %Chain(&*error),
                retry_in = ?delay,
                "handler failed, its partition waits"
            );
            tokio::select! {
                biased;
                () = self.stop.stopped() => return false,
                () = time::sleep(delay) => {}
            }
        }
        self.status.record_done(&self.gauge);
        // Nobody listens any more when the consumer has been dropped.
        self.done
            .send(Done {
                assignment: self.assignment.clone(),
                offset: delivery.position().offset,
            })
            .is_ok()
    }

    async fn attempt(&mut self, delivery: Delivery) -> Result<(), BoxError> {
        let call = async {
            let service = self.service.ready().await?;
            service.call(delivery).await
        };
        match CatchPanic::new(call).await {
            Ok(result) => result.map_err(Into::into),
            Err(panicked) => {
                self.service = self.handler.clone();
                Err(panicked.into())
            }
        }
    }
}

fn span(delivery: &Delivery) -> Span {
    let message = delivery.message().ok();
    let position = delivery.position();
    tracing::info_span!(
        "bowline.consumer.deliver",
        group = &**delivery.group(),
        topic = &*position.partition.topic,
        partition = position.partition.partition,
        offset = position.offset,
        message_id = message.map(|message| message.id().as_str()),
        trace_id = message.and_then(|message| message.trace().trace_id()),
    )
}

/// A letter that was redriven for one group has been handled by the others already.
fn is_for_another_group(delivery: &Delivery) -> bool {
    let addressee = delivery.record().headers.last(REDRIVE_GROUP);
    addressee.is_some_and(|group| group != delivery.group().as_bytes())
}

/// When a pattern inside the handler says it makes sense to try again.
fn retry_after(error: &BoxError) -> std::time::Duration {
    rejected(error)
        .and_then(crate::error::Rejected::retry_after)
        .unwrap_or_default()
}
