//! Notifications in PostgreSQL.

super::backend::backend!(
    Postgres,
    sqlx::PgPool,
    sqlx::Postgres,
    bowline::outbox::Postgres,
    bowline::idempotency::inbox::Postgres,
    bowline::dlq::Postgres,
    "CREATE TABLE IF NOT EXISTS notifications (
        id uuid PRIMARY KEY, user_id uuid NOT NULL, task_id uuid NOT NULL, event text NOT NULL,
        text text NOT NULL, trace_id text, created_at timestamptz NOT NULL, read_at timestamptz
    );
    CREATE INDEX IF NOT EXISTS notifications_of_user ON notifications (user_id, id);
    CREATE TABLE IF NOT EXISTS recipients (user_id uuid PRIMARY KEY, email text NOT NULL);
    CREATE TABLE IF NOT EXISTS deliveries (
        channel text NOT NULL, notification_id uuid NOT NULL, delivered_at timestamptz NOT NULL,
        PRIMARY KEY (channel, notification_id)
    );"
);
