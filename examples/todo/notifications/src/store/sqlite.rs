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
    CREATE INDEX IF NOT EXISTS notifications_of_user ON notifications (user_id, id);"
);
