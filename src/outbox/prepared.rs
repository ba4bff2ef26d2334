use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::Routing;
use crate::broker::Record;
use crate::error::{Error, Kind};
use crate::message::{Message, blob};

/// The columns that a writer fills, in the order of the parameters.
macro_rules! insert {
    ($values:literal) => {
        concat!(
            "INSERT INTO bowline_outbox \
             (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload) ",
            $values
        )
    };
}

/// Writes, and wakes the relay when the transaction commits, if it sleeps: a notification is dear, as
/// transactions that send one commit one after the other.
macro_rules! waking {
    ($insert:expr) => {
        concat!(
            "WITH written AS (",
            $insert,
            ") SELECT pg_notify('bowline_outbox', '') \
             FROM bowline_outbox_relay WHERE sleeps"
        )
    };
}

#[cfg(feature = "postgres")]
pub(super) use {insert, waking};

/// As [`insert`], for what is due later.
macro_rules! schedule {
    ($values:literal) => {
        concat!(
            "INSERT INTO bowline_outbox_scheduled \
             (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload, due_at) ",
            $values
        )
    };
}

const WRITE: &str = insert!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
const WRITE_WAKING: &str = waking!(insert!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"));
const SCHEDULE: &str = schedule!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::timestamptz)");
const SCHEDULE_WAKING: &str = waking!(schedule!(
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::timestamptz)"
));
const SCHEDULE_IN_SQLITE: &str =
    schedule!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CAST($9 AS INTEGER))");

/// The statement that writes a message into an outbox, and its values: for a transaction of any driver.
///
/// An outbox has no transaction of its own, so whoever changes the database through tokio-postgres,
/// diesel, SeaORM or rusqlite writes the message by the same driver, as a part of the same transaction.
///
/// # Examples
///
/// With tokio-postgres, or with deadpool-postgres, whose transactions are the same:
///
/// ```
/// use bowline::message::Message;
/// use bowline::outbox::{Bind, Prepared, Routing};
/// use tokio_postgres::{Error, Transaction, types::ToSql};
///
/// async fn enqueue(tx: &Transaction<'_>, prepared: &Prepared<'_>) -> Result<(), Error> {
///     let binds = prepared.binds();
///     let binds: Vec<&(dyn ToSql + Sync)> = binds
///         .iter()
///         .map(|bind| match bind {
///             Bind::Text(text) => text as &(dyn ToSql + Sync),
///             Bind::Bytes(bytes) => bytes,
///         })
///         .collect();
///     tx.execute(prepared.sql(), &binds).await.map(drop)
/// }
///
/// let message = Message::new("task.created", "{}").with_key("7");
/// let prepared = Prepared::postgres(&Routing::to("tasks"), &message)?;
/// assert_eq!(prepared.binds()[4], Bind::Text(Some("tasks")));
/// # let _ = enqueue;
/// # Ok::<_, bowline::Error>(())
/// ```
#[derive(Clone)]
pub struct Prepared<'a> {
    database: Database,
    notify: bool,
    row: NewRow<'a>,
    /// As the database reads it.
    due: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Database {
    Postgres,
    Sqlite,
}

/// The value of a parameter. `None` is `NULL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever binds values has to bind every one of them"
)]
pub enum Bind<'a> {
    /// `text`.
    Text(Option<&'a str>),
    /// `bytea` in PostgreSQL, `BLOB` in SQLite.
    Bytes(Option<&'a [u8]>),
}

impl<'a> Prepared<'a> {
    /// Writes `message` into the outbox of a PostgreSQL database, for the topic that `routing` says.
    ///
    /// It needs no pool; `Postgres::prepare` is the same with the outbox's own routing.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`].
    pub fn postgres(routing: &Routing, message: &'a Message) -> Result<Self, Error> {
        Ok(Self {
            database: Database::Postgres,
            notify: true,
            row: NewRow::new("postgres", routing, message)?,
            due: None,
        })
    }

    /// As [`postgres`](Self::postgres), for a SQLite database.
    ///
    /// # Errors
    ///
    /// As [`postgres`](Self::postgres).
    pub fn sqlite(routing: &Routing, message: &'a Message) -> Result<Self, Error> {
        Ok(Self {
            database: Database::Sqlite,
            notify: false,
            row: NewRow::new("sqlite", routing, message)?,
            due: None,
        })
    }

    /// Does not wake the relay: it then finds the row when it polls.
    #[must_use]
    pub fn without_notify(mut self) -> Self {
        self.notify = false;
        self
    }

    /// Has it published at `due` by the database's clock, and not earlier.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the year has not four digits.
    pub fn with_due(mut self, due: DateTime<Utc>) -> Result<Self, Error> {
        check_due(self.database.name(), due)?;
        // Rounded up: not earlier.
        self.due = Some(match self.database {
            Database::Postgres => {
                let due = due + TimeDelta::nanoseconds(999);
                due.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
            }
            Database::Sqlite => {
                let due = due + TimeDelta::nanoseconds(999_999);
                due.timestamp_millis().to_string()
            }
        });
        Ok(self)
    }

    /// The statement, with its parameters as `$1`, `$2`... There are few, so that they may be kept
    /// prepared. What it returns means nothing.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        match (self.database, self.due.is_some(), self.notify) {
            (Database::Postgres, false, true) => WRITE_WAKING,
            (_, false, _) => WRITE,
            (Database::Postgres, true, true) => SCHEDULE_WAKING,
            (Database::Postgres, true, false) => SCHEDULE,
            (Database::Sqlite, true, _) => SCHEDULE_IN_SQLITE,
        }
    }

    /// The values of the parameters, in order.
    #[must_use]
    pub fn binds(&self) -> Vec<Bind<'_>> {
        let row = &self.row;
        let mut binds = vec![
            Bind::Text(Some(row.event_id)),
            Bind::Text(Some(row.aggregate_type)),
            Bind::Text(row.aggregate_id),
            Bind::Text(Some(row.kind)),
            Bind::Text(Some(&row.topic)),
            Bind::Bytes(row.key),
            Bind::Bytes(Some(&row.headers)),
            Bind::Bytes(row.payload.as_deref()),
        ];
        if let Some(due) = &self.due {
            binds.push(Bind::Text(Some(due)));
        }
        binds
    }
}

/// Says what it writes, and not what is in it: a payload may be a secret.
impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("sql", &self.sql())
            .field("event_id", &self.row.event_id)
            .field("topic", &self.row.topic)
            .finish_non_exhaustive()
    }
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Whether every store can hold `due`.
pub(super) fn check_due(backend: &'static str, due: DateTime<Utc>) -> Result<(), Error> {
    if (1..=9999).contains(&due.year()) {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, backend, "enqueue")
        .with_detail(format!("due at {due}, allowed: the years 1 to 9999")))
}

/// The values of a new row.
#[derive(Clone)]
pub(super) struct NewRow<'a> {
    pub(super) event_id: &'a str,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) topic: Arc<str>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) headers: Bytes,
    pub(super) payload: Option<Bytes>,
}

impl<'a> NewRow<'a> {
    pub(super) fn new(
        backend: &'static str,
        routing: &Routing,
        message: &'a Message,
    ) -> Result<Self, Error> {
        let topic = routing.topic(backend, message)?;
        let record = Record::from_message(Arc::clone(&topic), message)?;
        Ok(Self {
            event_id: message.id().as_str(),
            // What Debezium's event router calls the aggregate: its type is the type's first word.
            aggregate_type: message.kind().split('.').next().unwrap_or_default(),
            aggregate_id: message.subject().or_else(|| {
                message
                    .key()
                    .and_then(|key| std::str::from_utf8(key.as_bytes()).ok())
            }),
            kind: message.kind(),
            topic,
            key: message.key().map(|key| &**key.as_bytes()),
            headers: blob::encode(&record.headers)?,
            payload: record.payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due<'a>(prepared: &Prepared<'a>) -> Prepared<'a> {
        let due = DateTime::from_timestamp_nanos(1_000_000_001);
        let scheduled = prepared.clone().with_due(due);
        scheduled.expect("a year of four digits")
    }

    #[test]
    fn every_parameter_has_its_value() {
        let message = Message::new("task.created", "secret").with_key("7");
        let routing = Routing::to("tasks");
        let postgres = Prepared::postgres(&routing, &message).expect("a topic");
        let sqlite = Prepared::sqlite(&routing, &message).expect("a topic");
        for (prepared, written) in [
            (&postgres, "1970-01-01T00:00:01.000001Z"),
            (&sqlite, "1001"),
        ] {
            assert_eq!(due(prepared).binds()[8], Bind::Text(Some(written)));
        }
        for prepared in [
            due(&postgres).without_notify(),
            due(&postgres),
            due(&sqlite),
            postgres.clone().without_notify(),
            postgres,
            sqlite,
        ] {
            let last = format!("${}", prepared.binds().len());
            assert!(prepared.sql().contains(&last), "{last}");
            assert!(!format!("{prepared:?}").contains("secret"));
        }
        let refused = Prepared::postgres(&Routing::default(), &message);
        assert!(refused.is_err(), "nobody knows where it is to go");
        for never in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            let prepared = Prepared::postgres(&routing, &message).expect("a topic");
            assert!(prepared.with_due(never).is_err());
        }
    }
}
