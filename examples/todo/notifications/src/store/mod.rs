//! Notifications in a database. Each is written in one transaction with the row that says its event
//! was handled and with the event that says it was sent.

use std::future::Future;
use std::time::Duration;

use bowline::idempotency::Key;
use bowline::message::Message;
use bowline::{dlq, outbox};
use todo_contracts::api::Notification;
use todo_platform::http::Failure;
use uuid::Uuid;

mod backend;
#[cfg(feature = "distributed")]
mod postgres;
mod sqlite;

#[cfg(feature = "distributed")]
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// What the service needs of its database.
pub trait Store: Clone + Send + Sync + 'static {
    /// The outbox in the same database.
    type Outbox: outbox::Store + Clone;
    /// The dead letters in the same database.
    type DeadLetters: dlq::Store + Clone;

    /// The outbox that the changes are enqueued in.
    fn outbox(&self) -> Self::Outbox;

    /// Events that could not be handled.
    fn dead_letters(&self) -> Self::DeadLetters;

    /// Brings the tables to this version.
    fn migrate(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Forgets which events were handled, and which notifications were sent, longer ago than `keep`;
    /// says how many.
    fn sweep(&self, keep: Duration) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Notifies `user` of what `cause` says, once however often it is asked for.
    fn notify(
        &self,
        key: &Key,
        notice: &Notice,
        cause: &Message,
    ) -> impl Future<Output = Result<Notified, Failure>> + Send;

    /// Notes where `user` is reached.
    fn set_address(
        &self,
        user: Uuid,
        email: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Where `user` is reached, if that is known.
    fn address(&self, user: Uuid) -> impl Future<Output = Result<Option<String>, Failure>> + Send;

    /// Whether `channel` has sent `notification`.
    fn was_delivered(
        &self,
        channel: &str,
        notification: Uuid,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Notes that `channel` has sent `notification`.
    fn note_delivered(
        &self,
        channel: &str,
        notification: Uuid,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Notifications of `user`, newest first, those before `after`.
    fn list(
        &self,
        user: Uuid,
        after: Option<Uuid>,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Notification>, Failure>> + Send;

    /// Marks a notification as read; `false` when the user has no such notification.
    fn mark_read(&self, user: Uuid, id: Uuid)
    -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// What a person is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who.
    pub(crate) user: Uuid,
    /// About which task.
    pub(crate) task: Uuid,
    /// In one line.
    pub(crate) text: String,
}

/// Whether the person was told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two answers")]
pub enum Notified {
    /// The event was handled before.
    Before,
    /// The notification is new.
    Now,
}
