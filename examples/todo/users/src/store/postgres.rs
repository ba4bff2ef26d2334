//! Accounts in PostgreSQL.

super::backend::backend!(
    Postgres,
    sqlx::PgPool,
    sqlx::Postgres,
    bowline::outbox::Postgres,
    "CREATE TABLE IF NOT EXISTS users (
        id uuid PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, hash text NOT NULL,
        created_at timestamptz NOT NULL
    );"
);
