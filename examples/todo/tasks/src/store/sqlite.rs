//! Tasks in SQLite.

super::backend::backend!(
    Sqlite,
    sqlx::SqlitePool,
    sqlx::Sqlite,
    bowline::outbox::Sqlite,
    bowline::idempotency::inbox::Sqlite,
    "CREATE TABLE IF NOT EXISTS tasks (
        id BLOB PRIMARY KEY, user_id BLOB NOT NULL, title TEXT NOT NULL,
        created_at TEXT NOT NULL, completed_at TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS tasks_of_user ON tasks (user_id, id);"
);
