//! Accounts in a database, each new one together with its event in one transaction.

use std::future::Future;

use bowline::message::TraceContext;
use bowline::outbox;
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

    /// The outbox that the changes are enqueued in.
    fn outbox(&self) -> Self::Outbox;

    /// Brings the tables to this version.
    fn migrate(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes an account; `None` when its address is taken.
    fn create(
        &self,
        account: &Account,
        trace: &TraceContext,
    ) -> impl Future<Output = Result<Option<()>, Failure>> + Send;

    /// The account with this address.
    fn by_email(
        &self,
        email: &str,
    ) -> impl Future<Output = Result<Option<Account>, Failure>> + Send;

    /// The account with this id.
    fn by_id(&self, id: Uuid) -> impl Future<Output = Result<Option<Account>, Failure>> + Send;
}

/// An account as it is stored.
#[derive(Clone)]
pub struct Account {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its address, in lower case.
    pub(crate) email: String,
    /// What to call the person.
    pub(crate) name: String,
    /// The password's hash.
    pub(crate) hash: String,
}

/// Shows everything but the hash.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}
