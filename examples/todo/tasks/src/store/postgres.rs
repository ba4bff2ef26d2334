//! Tasks in PostgreSQL.

super::backend::backend!(
    Postgres,
    sqlx::PgPool,
    sqlx::Postgres,
    bowline::outbox::Postgres,
    bowline::idempotency::inbox::Postgres,
    "CREATE TABLE IF NOT EXISTS tasks (
        id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL,
        created_at timestamptz NOT NULL, completed_at timestamptz
    );
    CREATE INDEX IF NOT EXISTS tasks_of_user ON tasks (user_id, id);"
);
