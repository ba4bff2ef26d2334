//! The implementation for both databases: their SQL is the same but for the tables.

/// Makes `$store`, a [`Store`](super::Store) over `$pool`.
macro_rules! backend {
    ($store:ident, $pool:ty, $database:ty, $outbox:ty, $inbox:ty, $tables:expr) => {
        use std::time::Duration;

        use bowline::error::Error;
        use bowline::idempotency::inbox::Claimed;
        use bowline::message::Event;
        use serde::Serialize;
        use sqlx::{Row, Transaction};
        use todo_contracts::api::Task;
        use todo_contracts::events::{TaskCompleted, TaskCreated, TaskDeleted};
        use todo_platform::http::Failure;
        use todo_platform::messages;
        use uuid::Uuid;

        use super::{By, Created, Request, Store};

        /// Tasks in one kind of database.
        #[derive(Debug, Clone)]
        pub struct $store {
            pool: $pool,
            outbox: $outbox,
            inbox: $inbox,
        }

        impl $store {
            /// Tasks in the database behind `pool`, events for `topic`.
            #[must_use]
            pub fn new(pool: $pool, topic: &str) -> Self {
                let outbox = <$outbox>::new(pool.clone()).with_topic(topic);
                Self {
                    inbox: <$inbox>::new(pool.clone()),
                    outbox,
                    pool,
                }
            }

            async fn enqueue<E: Event + Serialize>(
                &self,
                tx: &mut Transaction<'static, $database>,
                by: &By,
                event: &E,
            ) -> Result<(), Error> {
                let message = messages::from_request("/todo/tasks", event, by.user, &by.trace)?;
                self.outbox.enqueue(tx, &message).await.map(drop)
            }
        }

        impl Store for $store {
            type Outbox = $outbox;

            fn outbox(&self) -> $outbox {
                self.outbox.clone()
            }

            async fn migrate(&self) -> Result<(), Failure> {
                self.outbox.migrate().await?;
                self.inbox.migrate().await?;
                sqlx::raw_sql($tables).execute(&self.pool).await?;
                Ok(())
            }

            async fn sweep(&self, keep: Duration) -> Result<u64, Error> {
                self.inbox.sweep(keep).await
            }

            async fn create(
                &self,
                by: &By,
                title: &str,
                request: Option<&Request>,
            ) -> Result<Created, Failure> {
                let mut tx = self.outbox.begin().await?;
                if let Some(Request { key, fingerprint }) = request {
                    match self.inbox.claim_with(&mut tx, key, fingerprint).await? {
                        Claimed::First => {}
                        Claimed::Done(answer) => {
                            return messages::stored(&answer).map(Created::Before);
                        }
                        Claimed::Mismatch => return Ok(Created::Mismatch),
                    }
                }
                let id = Uuid::now_v7();
                let row = sqlx::query(
                    "INSERT INTO tasks (id, user_id, title, created_at) VALUES ($1, $2, $3, $4) \
                     RETURNING id, title, created_at, completed_at",
                )
                .bind(id)
                .bind(by.user)
                .bind(title)
                .bind(messages::now())
                .fetch_one(&mut *tx)
                .await?;
                let task = task(&row)?;
                let event = TaskCreated {
                    task: id,
                    title: title.to_owned(),
                };
                self.enqueue(&mut tx, by, &event).await?;
                if let Some(Request { key, .. }) = request {
                    self.inbox
                        .finish(&mut tx, key, messages::answer(&task)?)
                        .await?;
                }
                tx.commit().await?;
                Ok(Created::New(task))
            }

            async fn list(
                &self,
                user: Uuid,
                after: Option<Uuid>,
                limit: i64,
            ) -> Result<Vec<Task>, Failure> {
                let rows = sqlx::query(
                    "SELECT id, title, created_at, completed_at FROM tasks \
                     WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                )
                .bind(user)
                .bind(after.unwrap_or(Uuid::max()))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
                rows.iter().map(task).collect()
            }

            async fn complete(&self, by: &By, id: Uuid) -> Result<Option<Task>, Failure> {
                let mut tx = self.outbox.begin().await?;
                let completed = sqlx::query(
                    "UPDATE tasks SET completed_at = $3 \
                     WHERE id = $1 AND user_id = $2 AND completed_at IS NULL \
                     RETURNING id, title, created_at, completed_at",
                )
                .bind(id)
                .bind(by.user)
                .bind(messages::now())
                .fetch_optional(&mut *tx)
                .await?;
                if let Some(row) = completed {
                    let task = task(&row)?;
                    let event = TaskCompleted {
                        task: id,
                        title: task.title.clone(),
                    };
                    self.enqueue(&mut tx, by, &event).await?;
                    tx.commit().await?;
                    return Ok(Some(task));
                }
                let before = sqlx::query(
                    "SELECT id, title, created_at, completed_at FROM tasks \
                     WHERE id = $1 AND user_id = $2",
                )
                .bind(id)
                .bind(by.user)
                .fetch_optional(&mut *tx)
                .await?;
                before.as_ref().map(task).transpose()
            }

            async fn delete(&self, by: &By, id: Uuid) -> Result<bool, Failure> {
                let mut tx = self.outbox.begin().await?;
                let title: Option<String> = sqlx::query_scalar(
                    "DELETE FROM tasks WHERE id = $1 AND user_id = $2 RETURNING title",
                )
                .bind(id)
                .bind(by.user)
                .fetch_optional(&mut *tx)
                .await?;
                let Some(title) = title else { return Ok(false) };
                self.enqueue(&mut tx, by, &TaskDeleted { task: id, title })
                    .await?;
                tx.commit().await?;
                Ok(true)
            }
        }

        fn task(row: &<$database as sqlx::Database>::Row) -> Result<Task, Failure> {
            let completed_at = row.try_get("completed_at")?;
            Ok(Task {
                id: row.try_get("id")?,
                title: row.try_get("title")?,
                completed: Option::is_some(&completed_at),
                created_at: row.try_get("created_at")?,
                completed_at,
            })
        }
    };
}

pub(super) use backend;
