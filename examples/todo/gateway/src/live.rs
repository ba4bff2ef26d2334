//! Live events: what the notifications service sends goes on to the persons who are looking.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(crate) struct Live(Arc<Mutex<Pages>>);

/// `None` once the end has begun: a page that comes back then must not keep the server waiting.
#[derive(Debug)]
struct Pages(Option<HashMap<Uuid, broadcast::Sender<Notice>>>);

impl Default for Pages {
    fn default() -> Self {
        Self(Some(HashMap::new()))
    }
}

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
        let mut pages = self.pages();
        let Some(pages) = &mut pages.0 else {
            return Ok(());
        };
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

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all streams, and those that are opened from now on, so that the server need not wait for
    /// the pages to be closed.
    pub(crate) fn close(&self) {
        self.pages().0 = None;
    }

    /// The events of `user` from now on.
    pub(crate) fn open(
        &self,
        user: Uuid,
    ) -> Sse<impl Stream<Item = Result<ServerEvent, Infallible>> + use<>> {
        let fresh = || broadcast::channel(BUFFER).0;
        let receiver = match &mut self.pages().0 {
            Some(pages) => pages.entry(user).or_insert_with(fresh).subscribe(),
            // Its sender is gone: the stream ends at once.
            None => fresh().subscribe(),
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
