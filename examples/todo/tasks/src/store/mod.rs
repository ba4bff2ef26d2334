//! Tasks in a database, each change together with its event in one transaction.

use std::future::Future;
use std::time::Duration;

use bowline::error::Error;
use bowline::idempotency::Fingerprint;
use bowline::message::TraceContext;
use bowline::outbox;
use todo_contracts::api::Task;
use todo_platform::http::Failure;
use uuid::Uuid;

mod backend;
#[cfg(feature = "distributed")]
mod postgres;
mod sqlite;

#[cfg(feature = "distributed")]
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// What the service needs of its database. Every query carries the user's id.
pub trait Store: Clone + Send + Sync + 'static {
    /// The outbox in the same database.
    type Outbox: outbox::Store + Clone;

    /// The outbox that the changes are enqueued in.
    fn outbox(&self) -> Self::Outbox;

    /// Brings the tables to this version.
    fn migrate(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Forgets which requests older than `keep` were handled; says how many.
    fn sweep(&self, keep: Duration) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Creates a task. With a key, the same request again gives the first answer again.
    fn create(
        &self,
        by: &By,
        title: &str,
        request: Option<&Request>,
    ) -> impl Future<Output = Result<Created, Failure>> + Send;

    /// Tasks of `user`, newest first, those before `after`.
    fn list(
        &self,
        user: Uuid,
        after: Option<Uuid>,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Task>, Failure>> + Send;

    /// Completes a task; doing it again changes nothing. `None` when the user has no such task.
    fn complete(
        &self,
        by: &By,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<Task>, Failure>> + Send;

    /// Deletes a task; `false` when the user has no such task.
    fn delete(&self, by: &By, id: Uuid) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// Who asks for a change, and under which trace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct By {
    /// The account.
    pub user: Uuid,
    /// The trace of the request.
    pub trace: TraceContext,
}

/// A request that may come more than once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The idempotency key.
    pub key: bowline::idempotency::Key,
    /// What was asked under it.
    pub fingerprint: Fingerprint,
}

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the three answers")]
pub enum Created {
    /// The task is new.
    New(Task),
    /// The same request made this task before.
    Before(Task),
    /// The key was used for another request.
    Mismatch,
}

impl By {
    /// `user`, under `trace`.
    #[must_use]
    pub fn new(user: Uuid, trace: TraceContext) -> Self {
        Self { user, trace }
    }
}

impl Request {
    /// What `fingerprint` stands for, asked under `key`.
    #[must_use]
    pub fn new(key: bowline::idempotency::Key, fingerprint: Fingerprint) -> Self {
        Self { key, fingerprint }
    }
}
