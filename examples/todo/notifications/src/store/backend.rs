//! The implementation for both databases: their SQL is the same but for the tables.

/// Makes `$store`, a [`Store`](super::Store) over `$pool`.
macro_rules! backend {
    (
        $store:ident, $pool:ty, $database:ty, $outbox:ty, $inbox:ty, $letters:ty, $tables:expr
    ) => {
        use std::time::Duration;

        use bowline::idempotency::Key;
        use bowline::idempotency::inbox::Seen;
        use bowline::message::Message;
        use sqlx::Row;
        use todo_contracts::api::Notification;
        use todo_contracts::events::NotificationSent;
        use todo_platform::http::Failure;
        use todo_platform::messages;
        use uuid::Uuid;

        use super::{Notice, Notified, Store};

        /// Notifications in one kind of database.
        #[derive(Debug, Clone)]
        pub struct $store {
            pool: $pool,
            outbox: $outbox,
            inbox: $inbox,
            letters: $letters,
        }

        impl $store {
            /// Notifications in the database behind `pool`, events for `topic`.
            #[must_use]
            pub fn new(pool: $pool, topic: &str) -> Self {
                Self {
                    outbox: <$outbox>::new(pool.clone()).with_topic(topic),
                    inbox: <$inbox>::new(pool.clone()),
                    letters: <$letters>::new(pool.clone()),
                    pool,
                }
            }
        }

        impl Store for $store {
            type Outbox = $outbox;
            type DeadLetters = $letters;

            fn outbox(&self) -> $outbox {
                self.outbox.clone()
            }

            fn dead_letters(&self) -> $letters {
                self.letters.clone()
            }

            async fn migrate(&self) -> Result<(), Failure> {
                self.outbox.migrate().await?;
                self.inbox.migrate().await?;
                self.letters.migrate().await?;
                sqlx::raw_sql($tables).execute(&self.pool).await?;
                Ok(())
            }

            async fn sweep(&self, keep: Duration) -> Result<u64, Failure> {
                let delivered = sqlx::query("DELETE FROM deliveries WHERE delivered_at < $1")
                    .bind(messages::now() - keep)
                    .execute(&self.pool)
                    .await?;
                Ok(self.inbox.sweep(keep).await? + delivered.rows_affected())
            }

            async fn set_address(&self, user: Uuid, email: &str) -> Result<(), Failure> {
                sqlx::query(
                    "INSERT INTO recipients (user_id, email) VALUES ($1, $2) \
                     ON CONFLICT (user_id) DO UPDATE SET email = excluded.email",
                )
                .bind(user)
                .bind(email)
                .execute(&self.pool)
                .await?;
                Ok(())
            }

            async fn address(&self, user: Uuid) -> Result<Option<String>, Failure> {
                let found = sqlx::query_scalar("SELECT email FROM recipients WHERE user_id = $1")
                    .bind(user)
                    .fetch_optional(&self.pool)
                    .await?;
                Ok(found)
            }

            async fn was_delivered(&self, channel: &str, notification: Uuid) -> Result<bool, Failure> {
                let found = sqlx::query(
                    "SELECT 1 FROM deliveries WHERE channel = $1 AND notification_id = $2",
                )
                .bind(channel)
                .bind(notification)
                .fetch_optional(&self.pool)
                .await?;
                Ok(found.is_some())
            }

            async fn note_delivered(&self, channel: &str, notification: Uuid) -> Result<(), Failure> {
                sqlx::query(
                    "INSERT INTO deliveries (channel, notification_id, delivered_at) \
                     VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                )
                .bind(channel)
                .bind(notification)
                .bind(messages::now())
                .execute(&self.pool)
                .await?;
                Ok(())
            }

            async fn notify(
                &self,
                key: &Key,
                notice: &Notice,
                cause: &Message,
            ) -> Result<Notified, Failure> {
                let mut tx = self.outbox.begin().await?;
                if self.inbox.claim(&mut tx, key).await? == Seen::Duplicate {
                    return Ok(Notified::Before);
                }
                let id = Uuid::now_v7();
                sqlx::query(
                    "INSERT INTO notifications \
                     (id, user_id, task_id, event, text, trace_id, created_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(id)
                .bind(notice.user)
                .bind(notice.task)
                .bind(cause.kind())
                .bind(&notice.text)
                .bind(cause.trace().trace_id())
                .bind(messages::now())
                .execute(&mut *tx)
                .await?;
                let sent = NotificationSent {
                    notification: id,
                    user: notice.user,
                    task: notice.task,
                    text: notice.text.clone(),
                };
                let message = Message::event(&sent)?
                    .with_source("/todo/notifications")
                    .with_trace(cause.trace().child())
                    .caused_by(cause);
                self.outbox.enqueue(&mut tx, &message).await?;
                tx.commit().await?;
                Ok(Notified::Now)
            }

            async fn list(
                &self,
                user: Uuid,
                after: Option<Uuid>,
                limit: i64,
            ) -> Result<Vec<Notification>, Failure> {
                let rows = sqlx::query(
                    "SELECT id, task_id, event, text, trace_id, created_at, read_at \
                     FROM notifications WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                )
                .bind(user)
                .bind(after.unwrap_or(Uuid::max()))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
                rows.iter().map(notification).collect()
            }

            async fn mark_read(&self, user: Uuid, id: Uuid) -> Result<bool, Failure> {
                let done = sqlx::query(
                    "UPDATE notifications SET read_at = COALESCE(read_at, $3) \
                     WHERE id = $1 AND user_id = $2",
                )
                .bind(id)
                .bind(user)
                .bind(messages::now())
                .execute(&self.pool)
                .await?;
                Ok(done.rows_affected() > 0)
            }
        }

        fn notification(
            row: &<$database as sqlx::Database>::Row,
        ) -> Result<Notification, Failure> {
            let read_at: Option<chrono::DateTime<chrono::Utc>> = row.try_get("read_at")?;
            Ok(Notification {
                id: row.try_get("id")?,
                task: row.try_get("task_id")?,
                event: row.try_get("event")?,
                text: row.try_get("text")?,
                trace_id: row.try_get("trace_id")?,
                created_at: row.try_get("created_at")?,
                read: read_at.is_some(),
            })
        }
    };
}

pub(super) use backend;
