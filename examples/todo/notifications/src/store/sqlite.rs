//! Notifications in SQLite.

super::backend::backend!(
    Sqlite,
    sqlx::SqlitePool,
    sqlx::Sqlite,
    bowline::outbox::Sqlite,
    bowline::idempotency::inbox::Sqlite,
    bowline::dlq::Sqlite,
    "CREATE TABLE IF NOT EXISTS notifications (
        id BLOB PRIMARY KEY, user_id BLOB NOT NULL, task_id BLOB NOT NULL, event TEXT NOT NULL,
        text TEXT NOT NULL, trace_id TEXT, created_at TEXT NOT NULL, read_at TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS notifications_of_user ON notifications (user_id, id);
    CREATE TABLE IF NOT EXISTS recipients (user_id BLOB PRIMARY KEY, email TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS deliveries (
        channel TEXT NOT NULL, notification_id BLOB NOT NULL, delivered_at TEXT NOT NULL,
        PRIMARY KEY (channel, notification_id)
    ) STRICT;"
);
