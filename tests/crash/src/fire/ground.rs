use std::sync::Arc;
use std::time::Duration;

use bowline::message::Message;
use bowline::outbox::{self, Routing};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{TOPICS, truth};

/// Rows in a part of the log.
const PART: i64 = 1 << 18;

/// How an outbox is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a plain value of the tests")]
pub enum Engine {
    /// In order, by one at a time.
    Log,
    /// In order, by lanes whose number changes meanwhile.
    Lanes,
    /// By all at once.
    Queue,
}

impl Engine {
    /// The most lanes that there are at any time.
    pub(super) fn lanes(self) -> u32 {
        match self {
            Self::Log | Self::Queue => 1,
            Self::Lanes => 3,
        }
    }
}

/// Where one outbox is: a schema of its own, in a database that it shares.
#[derive(Debug, Clone)]
pub struct Ground {
    pub(super) url: String,
    pub(super) schema: String,
    /// What the names of its topics begin with.
    prefix: String,
}

impl Ground {
    /// The outbox of this name, which is there.
    #[must_use]
    pub fn new(url: &str, schema: &str) -> Self {
        Self {
            url: url.to_owned(),
            schema: schema.to_owned(),
            prefix: String::new(),
        }
    }

    /// With topics that no other outbox has.
    #[must_use]
    pub fn with_own_topics(mut self) -> Self {
        self.prefix = format!("{}.", self.schema);
        self
    }

    /// An empty outbox in the database at `url`, for `seed`.
    pub async fn make(url: &str, seed: u64) -> Self {
        let ground = Self::new(url, &format!("seed_{seed}"));
        let pool = ground.pool(1);
        let create = format!("CREATE SCHEMA {}", ground.schema);
        let create = sqlx::raw_sql(sqlx::AssertSqlSafe(create));
        create.execute(&pool).await.expect("a new schema");
        let outbox = outbox::Postgres::new(pool.clone());
        outbox.migrate().await.expect("migrated");
        truth::tables(&pool).await.expect("made");
        // Some go over the end of a part soon.
        let before = i64::try_from(seed % 300).expect("small");
        let first = sqlx::query("SELECT setval('bowline_outbox_id', $1, FALSE)");
        let first = first.bind(PART - before);
        first.execute(&pool).await.expect("set");
        ground
    }

    /// The topics that messages go to.
    pub(super) fn topics(&self) -> [String; 3] {
        TOPICS.map(|topic| self.topic(topic))
    }

    /// What is called `name` among [`TOPICS`].
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The outbox by connections of its own.
    pub(super) fn outbox(&self, connections: u32) -> outbox::Postgres {
        self.over(self.pool(connections))
    }

    /// The outbox by the connections of `pool`. Messages go where the first word of their kind says.
    pub(super) fn over(&self, pool: PgPool) -> outbox::Postgres {
        let ground = self.clone();
        let routing = Routing::by(move |message: &Message| {
            let first = message.kind().split('.').next();
            first.map(|word| Arc::from(ground.topic(word)))
        });
        outbox::Postgres::new(pool).with_routing(routing)
    }

    pub(super) fn pool(&self, connections: u32) -> PgPool {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.options([("search_path", &self.schema)]))
    }
}
