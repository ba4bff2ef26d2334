//! Accounts in SQLite.

super::backend::backend!(
    Sqlite,
    sqlx::SqlitePool,
    sqlx::Sqlite,
    bowline::outbox::Sqlite,
    "CREATE TABLE IF NOT EXISTS users (
        id BLOB PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, hash TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;"
);
