//! Live events: what the notifications service sends goes on to the persons who are looking.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::sse::{Event as ServerEvent, KeepAlive, Sse};
use bowline::broker::Delivery;
use bowline::error::BoxError;
use serde::Serialize;
use todo_contracts::events::NotificationSent;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use uuid::Uuid;

/// How many events one person's page may be behind before it misses some; it then reads the list.
const BUFFER: usize = 64;

/// The open pages by person. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live(Arc<Mutex<HashMap<Uuid, broadcast::Sender<Notice>>>>);

/// One event as a page gets it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notice {
    notification: Uuid,
    task: Uuid,
    text: String,
    trace_id: Option<String>,
}

impl Live {
    /// Hands a sent notification to the pages of its person.
    pub(crate) async fn sent(
        self,
        event: NotificationSent,
        delivery: Delivery,
    ) -> Result<(), BoxError> {
        let trace_id = delivery
            .try_message()?
            .trace()
            .trace_id()
            .map(str::to_owned);
        let NotificationSent {
            notification,
            user,
            task,
            text,
        } = event;
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = pages.get(&user) {
            // It fails only when the last page has just been closed.
            if sender
                .send(Notice {
                    notification,
                    task,
                    text,
                    trace_id,
                })
                .is_err()
            {
                pages.remove(&user);
            }
        }
        Ok(())
    }

    /// Ends all streams, so that the server need not wait for the pages to be closed.
    pub(crate) fn close(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The events of `user` from now on.
    pub(crate) fn open(
        &self,
        user: Uuid,
    ) -> Sse<impl Stream<Item = Result<ServerEvent, Infallible>> + use<>> {
        let receiver = {
            let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pages
                .entry(user)
                .or_insert_with(|| broadcast::channel(BUFFER).0)
                .subscribe()
        };
        let events = BroadcastStream::new(receiver).filter_map(|notice| {
            // A page that fell behind reads the list anyway when the next event comes.
            let event = ServerEvent::default()
                .event("notification")
                .json_data(notice.ok()?);
            event.ok().map(Ok)
        });
        Sse::new(events).keep_alive(KeepAlive::default())
    }
}
