//! From an event of a task to a notification, and from an account to its address.

use bowline::broker::Delivery;
use bowline::error::{BoxError, Error, Kind};
use bowline::idempotency::Key;
use bowline::message::Message;
use todo_contracts::events::{TaskCompleted, TaskCreated, TaskDeleted, UserRegistered};
use todo_platform::faults::Refusal;
use todo_platform::messages;
use uuid::Uuid;

use crate::store::{Notice, Store};

/// Handles the events of tasks. Clones share the database and the fault.
#[derive(Debug, Clone)]
pub(crate) struct Notifier<S> {
    pub(crate) store: S,
    pub(crate) refusal: Refusal,
}

impl<S: Store> Notifier<S> {
    pub(crate) async fn created(
        self,
        event: TaskCreated,
        delivery: Delivery,
    ) -> Result<(), BoxError> {
        let text = format!("New task: {}", event.title);
        self.notify(&delivery, event.task, text).await
    }

    pub(crate) async fn completed(
        self,
        event: TaskCompleted,
        delivery: Delivery,
    ) -> Result<(), BoxError> {
        let text = format!("Done: {}", event.title);
        self.notify(&delivery, event.task, text).await
    }

    pub(crate) async fn deleted(
        self,
        event: TaskDeleted,
        delivery: Delivery,
    ) -> Result<(), BoxError> {
        let text = format!("Deleted: {}", event.title);
        self.notify(&delivery, event.task, text).await
    }

    pub(crate) async fn registered(
        self,
        event: UserRegistered,
        _delivery: Delivery,
    ) -> Result<(), BoxError> {
        // The same however often it is done.
        self.store.set_address(event.user, &event.email).await?;
        Ok(())
    }

    async fn notify(&self, delivery: &Delivery, task: Uuid, text: String) -> Result<(), BoxError> {
        let message: &Message = delivery.try_message()?;
        let user = messages::user_of(message)?;
        if self.refusal.refuses(&text) {
            return Err(Error::new(Kind::Invalid, "notifications", "notify")
                .with_detail("the text contains a word that is refused")
                .into());
        }
        let key = Key::of(delivery)?;
        self.store
            .notify(&key, &Notice { user, task, text }, message)
            .await?;
        Ok(())
    }
}
