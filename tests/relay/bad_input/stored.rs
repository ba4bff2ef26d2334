use bowline::broker::Memory;
use sqlx::AssertSqlSafe;

use super::*;

/// An outbox in a database.
trait Stored: Outbox {
    /// Of another pool, and with tables or without.
    async fn fresh(name: &'static str, tables: bool) -> Self;

    /// Runs `sql` as another program.
    async fn sql(&self, sql: &str);

    /// The same, of a pool that may only read.
    async fn reading_only(&self) -> Self;

    /// Makes the tables.
    async fn migrate(&self) -> Result<(), Error>;

    /// Begins a transaction and enqueues `message`.
    async fn try_enqueue(&self, message: &Message) -> Result<(), Error>;
}

macro_rules! outbox {
    ($name:ident, $store:ty, $pool:ty) => {
        pub(super) struct $name {
            pool: $pool,
            store: $store,
            _directory: Option<tempfile::TempDir>,
        }

        impl Outbox for $name {
            type Store = $store;

            fn store(&self) -> &$store {
                &self.store
            }

            async fn enqueue(&self, messages: &[Message]) -> Vec<Result<(), Error>> {
                let mut tx = self.store.begin().await.unwrap();
                let mut said = Vec::new();
                for message in messages {
                    said.push(self.store.enqueue(&mut tx, message).await);
                }
                tx.commit().await.unwrap();
                said
            }
        }

        impl $name {
            fn of(pool: $pool, directory: Option<tempfile::TempDir>) -> Self {
                let store = <$store>::new(pool.clone()).with_routing(routing());
                Self {
                    pool,
                    store,
                    _directory: directory,
                }
            }
        }
    };
}

macro_rules! stored {
    () => {
        async fn sql(&self, sql: &str) {
            let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
            sql.execute(&self.pool).await.unwrap();
        }

        async fn migrate(&self) -> Result<(), Error> {
            self.store.migrate().await
        }

        async fn try_enqueue(&self, message: &Message) -> Result<(), Error> {
            let mut tx = self.store.begin().await?;
            self.store.enqueue(&mut tx, message).await
        }
    };
}

/// One of the rows was damaged by whoever can write into the table.
async fn headers_that_cannot_be_read_park_their_row_alone(outbox: &impl Stored, cut: &str) {
    let damaged = [
        order("1", "damaged"),
        order("2", "first"),
        order("1", "behind"),
        order("2", "second"),
    ];
    enqueue(outbox, &damaged).await;
    let damage = "UPDATE bowline_outbox SET headers = ";
    let of_one = "WHERE id = (SELECT min(id) FROM bowline_outbox)";
    outbox.sql(&format!("{damage} {cut} {of_one}")).await;
    assert_eq!(relayed(outbox.store(), 1).await, ["first", "second"]);
    let parked = is_parked_alone_because(outbox.store(), "headers end too early").await;
    assert!(parked.reason.contains("corrupt data"), "{}", parked.reason);
    let record = &parked.entry.record;
    assert_eq!(record.payload.as_deref(), Some(&b"damaged"[..]));
    assert!(parked.entry.unreadable.is_some());
    outbox.store().discard(parked.entry.id).await.unwrap();
    assert_eq!(relayed(outbox.store(), 0).await, ["behind"]);
}

async fn a_payload_that_is_null_is_a_tombstone(outbox: &impl Stored) {
    enqueue(outbox, &[order("1", "lost"), order("1", "next")]).await;
    let first = "(SELECT min(id) FROM bowline_outbox)";
    let lose = format!("UPDATE bowline_outbox SET payload = NULL WHERE id = {first}");
    outbox.sql(&lose).await;
    assert_eq!(relayed(outbox.store(), 0).await, ["NULL", "next"]);
}

async fn tables_that_were_never_made_are_named(outbox: &impl Stored) {
    let enqueued = outbox.try_enqueue(&order("1", "lost")).await;
    says(&enqueued.unwrap_err(), Kind::Schema, "bowline_outbox");
    says(&ends(outbox.store()).await, Kind::Schema, "bowline_outbox");
    let status = outbox.store().status().await;
    says(&status.unwrap_err(), Kind::Schema, "bowline_outbox");
    outbox.migrate().await.unwrap();
    enqueue(outbox, &[order("1", "one")]).await;
    assert_eq!(relayed(outbox.store(), 0).await, ["one"]);
}

/// It is not a relay that goes on as if there was nothing to do.
async fn tables_that_are_dropped_under_a_relay_end_it(outbox: &impl Stored) {
    let broker = Memory::new();
    broker.create("order", NonZeroU32::MIN).await.unwrap();
    let relay = Relay::builder(outbox.store().clone(), broker);
    let relay = relay.build().unwrap().run(Shutdown::new().token());
    let relay = tokio::spawn(relay);
    enqueue(outbox, &[order("1", "one")]).await;
    until_left(outbox.store(), 0).await;
    outbox.sql("DROP TABLE bowline_outbox").await;
    let ended = timeout(PATIENCE, relay).await.expect("it does not wait");
    let error = ended.unwrap().unwrap_err();
    says(&error, Kind::Schema, "bowline_outbox");
}

/// As after a failover to a replica: nobody enqueues, and the relay says why it ends.
async fn a_database_that_may_only_be_read_is_said_to_be(outbox: &impl Stored) {
    enqueue(outbox, &[order("1", "one")]).await;
    let reading = outbox.reading_only().await;
    let enqueued = reading.try_enqueue(&order("1", "lost")).await;
    let migrated = reading.migrate().await;
    for error in [
        enqueued.unwrap_err(),
        migrated.unwrap_err(),
        ends(reading.store()).await,
    ] {
        says(&error, Kind::ReadOnly, "read");
    }
    let pending = reading.store().status().await.unwrap().pending;
    assert_eq!(pending, 1, "it may be looked at");
    assert_eq!(relayed(outbox.store(), 0).await, ["one"]);
}

/// Each test for one back-end.
macro_rules! on {
    ($outbox:ident, $cut:literal) => {
        #[tokio::test]
        async fn what_is_refused_by_enqueue_harms_nothing_else() {
            let outbox = $outbox::fresh("bad_refused", true).await;
            super::super::what_is_refused_by_enqueue_harms_nothing_else(&outbox).await;
        }

        #[tokio::test]
        async fn headers_that_cannot_be_read_park_their_row_alone() {
            let outbox = $outbox::fresh("bad_headers", true).await;
            super::headers_that_cannot_be_read_park_their_row_alone(&outbox, $cut).await;
        }

        #[tokio::test]
        async fn a_payload_that_is_null_is_a_tombstone() {
            let outbox = $outbox::fresh("bad_payload", true).await;
            super::a_payload_that_is_null_is_a_tombstone(&outbox).await;
        }

        #[tokio::test]
        async fn tables_that_were_never_made_are_named() {
            let outbox = $outbox::fresh("bad_missing", false).await;
            super::tables_that_were_never_made_are_named(&outbox).await;
        }

        #[tokio::test]
        async fn tables_that_are_dropped_under_a_relay_end_it() {
            let outbox = $outbox::fresh("bad_dropped", true).await;
            super::tables_that_are_dropped_under_a_relay_end_it(&outbox).await;
        }

        #[tokio::test]
        async fn a_database_that_may_only_be_read_is_said_to_be() {
            let outbox = $outbox::fresh("bad_reading", true).await;
            super::a_database_that_may_only_be_read_is_said_to_be(&outbox).await;
        }
    };
}

#[cfg(feature = "postgres")]
mod postgres {
    use bowline_test_services::shared;
    use sqlx::PgPool;
    use tokio::task::spawn_blocking;

    use super::*;

    outbox!(InPostgres, outbox::Postgres, PgPool);

    impl Stored for InPostgres {
        async fn fresh(name: &'static str, tables: bool) -> Self {
            let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
            let url = server.create_database(name).unwrap();
            let outbox = Self::of(PgPool::connect(&url).await.unwrap(), None);
            if tables {
                outbox.migrate().await.unwrap();
            }
            outbox
        }

        async fn reading_only(&self) -> Self {
            let options = (*self.pool.connect_options()).clone();
            let options = options.options([("default_transaction_read_only", "on")]);
            Self::of(PgPool::connect_with(options).await.unwrap(), None)
        }

        stored!();
    }

    on!(InPostgres, "substr(headers, 1, 7)");
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::SqlitePool;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

    use super::*;

    outbox!(InSqlite, outbox::Sqlite, SqlitePool);

    impl Stored for InSqlite {
        async fn fresh(_name: &'static str, tables: bool) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let options = SqliteConnectOptions::new()
                .filename(directory.path().join("test.db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .busy_timeout(Duration::from_secs(10));
            let pool = SqlitePool::connect_with(options).await.unwrap();
            let outbox = Self::of(pool, Some(directory));
            if tables {
                outbox.migrate().await.unwrap();
            }
            outbox
        }

        async fn reading_only(&self) -> Self {
            let options = SqliteConnectOptions::new()
                .filename(self.pool.connect_options().get_filename())
                .read_only(true);
            Self::of(SqlitePool::connect_with(options).await.unwrap(), None)
        }

        stored!();
    }

    on!(InSqlite, "substr(headers, 1, 7)");

    /// What another program wrote there: SQLite looks at no range.
    #[tokio::test]
    async fn a_time_that_is_none_stops_nobody() {
        let outbox = InSqlite::fresh("", true).await;
        enqueue(&outbox, &[order("1", "one"), order("2", "two")]).await;
        let max = "UPDATE bowline_outbox SET created_at = 9223372036854775807 WHERE id = 1";
        outbox.sql(max).await;
        assert_eq!(relayed(outbox.store(), 0).await, ["one", "two"]);
    }

    /// Whoever starts with an older build than the tables are of is told, and nothing is changed.
    #[tokio::test]
    async fn tables_of_a_newer_version_are_left_alone() {
        let outbox = InSqlite::fresh("", true).await;
        enqueue(&outbox, &[order("1", "one")]).await;
        outbox.sql("UPDATE bowline_schema SET version = 7").await;
        let refused = outbox.migrate().await.unwrap_err();
        says(&refused, Kind::Schema, "version 7, this build knows 0 to 1");
    }
}
