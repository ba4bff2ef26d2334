//! The implementation for both databases: their SQL is the same but for the tables.

/// Makes `$store`, a [`Store`](super::Store) over `$pool`.
macro_rules! backend {
    ($store:ident, $pool:ty, $database:ty, $outbox:ty, $tables:expr) => {
        use bowline::message::TraceContext;
        use sqlx::Row;
        use todo_contracts::events::UserRegistered;
        use todo_platform::http::Failure;
        use todo_platform::messages;
        use uuid::Uuid;

        use super::{Account, Store};

        /// Accounts in one kind of database.
        #[derive(Debug, Clone)]
        pub struct $store {
            pool: $pool,
            outbox: $outbox,
        }

        impl $store {
            /// Accounts in the database behind `pool`, events for `topic`.
            #[must_use]
            pub fn new(pool: $pool, topic: &str) -> Self {
                let outbox = <$outbox>::new(pool.clone()).with_topic(topic);
                Self { pool, outbox }
            }
        }

        impl Store for $store {
            type Outbox = $outbox;

            fn outbox(&self) -> $outbox {
                self.outbox.clone()
            }

            async fn migrate(&self) -> Result<(), Failure> {
                self.outbox.migrate().await?;
                sqlx::raw_sql($tables).execute(&self.pool).await?;
                Ok(())
            }

            async fn create(
                &self,
                account: &Account,
                trace: &TraceContext,
            ) -> Result<Option<()>, Failure> {
                let mut tx = self.outbox.begin().await?;
                let made = sqlx::query(
                    "INSERT INTO users (id, email, name, hash, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (email) DO NOTHING",
                )
                .bind(account.id)
                .bind(&account.email)
                .bind(&account.name)
                .bind(&account.hash)
                .bind(messages::now())
                .execute(&mut *tx)
                .await?;
                if made.rows_affected() == 0 {
                    return Ok(None);
                }
                let event = UserRegistered {
                    user: account.id,
                    email: account.email.clone(),
                    name: account.name.clone(),
                };
                let message = messages::from_request("/todo/users", &event, account.id, trace)?;
                self.outbox.enqueue(&mut tx, &message).await?;
                tx.commit().await?;
                Ok(Some(()))
            }

            async fn by_email(&self, email: &str) -> Result<Option<Account>, Failure> {
                let row = sqlx::query("SELECT id, email, name, hash FROM users WHERE email = $1")
                    .bind(email)
                    .fetch_optional(&self.pool)
                    .await?;
                row.as_ref().map(account).transpose()
            }

            async fn by_id(&self, id: Uuid) -> Result<Option<Account>, Failure> {
                let row = sqlx::query("SELECT id, email, name, hash FROM users WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&self.pool)
                    .await?;
                row.as_ref().map(account).transpose()
            }
        }

        fn account(row: &<$database as sqlx::Database>::Row) -> Result<Account, Failure> {
            Ok(Account {
                id: row.try_get("id")?,
                email: row.try_get("email")?,
                name: row.try_get("name")?,
                hash: row.try_get("hash")?,
            })
        }
    };
}

pub(super) use backend;
